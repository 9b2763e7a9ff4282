import { spawn } from "node:child_process"
import { once } from "node:events"
import { copyFile, mkdtemp, readdir, rename, rm, symlink, unlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { sampleRecord } from "../testing/journalLaws.ts"
import type { JournalShape } from "./JournalShape.ts"
import type { JournalError } from "./JournalErrors.ts"
import { makeSqliteJournal } from "./sqliteJournal.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-placed-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const use = <A>(path: string, work: (journal: JournalShape) => Effect.Effect<A, JournalError>) =>
  Effect.scoped(Effect.flatMap(makeSqliteJournal({ path }), work))

const append = (journal: JournalShape, value: number) => journal.append("s", [sampleRecord(value)])

const countIn = (path: string) =>
  Effect.map(
    use(path, (journal) => journal.readAll()),
    ({ length }) => length
  )

const reasonOf = <A>(effect: Effect.Effect<A, JournalError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)

/** The files of a journal as they are while it is in use, copied. */
const copyInUse = (from: string, to: string, names: ReadonlyArray<"" | "-wal">) =>
  Effect.promise(async () => {
    for (const name of ["", "-wal", "-shm"]) await rm(`${to}${name}`, { force: true })
    for (const name of names) await copyFile(`${from}${name}`, `${to}${name}`)
  })

describe("a journal that is open", () => {
  for (const [what, displace] of [
    ["removed", (path: string) => unlink(path)],
    ["moved", (path: string) => rename(path, `${path}-elsewhere`)],
    [
      "replaced",
      async (path: string) => {
        await copyFile(path, `${path}-copy`)
        await rename(`${path}-copy`, path)
      }
    ],
    ["robbed-of-its-log", (path: string) => unlink(`${path}-wal`)]
  ] as const) {
    it.live(`and-${what}-acknowledges-nothing-any-more-and-says-so`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const path = join(yield* directory, "journal")
          const journal = yield* makeSqliteJournal({ path })
          yield* append(journal, 1)
          yield* Effect.promise(() => displace(path))
          for (const survives of ["host", "process"] as const) {
            const reason = yield* reasonOf(journal.append("s", [sampleRecord(2)], { survives }))
            assert.strictEqual(reason._tag, "Displaced")
            assert.include(
              { found: what === "replaced" ? "another file" : "nothing" },
              { found: reason._tag === "Displaced" ? reason.found : "" }
            )
          }
        })
      )
    )
  }

  it.live("and-opened-by-a-link-has-the-same-claims", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const path = join(where, "journal")
        const one = yield* makeSqliteJournal({ path })
        yield* Effect.promise(() => symlink("journal", join(where, "link")))
        const other = yield* makeSqliteJournal({ path: join(where, "link") })
        const claim = yield* one.claim("name")
        assert.isNotNull(claim)
        assert.isNull(yield* other.claim("name"))
        assert.isNotNull(yield* other.claim("another"))
        yield* claim?.retire ?? Effect.void
      })
    )
  )
})

describe("a copy of a journal", () => {
  it.live("that-was-in-use-needs-its-log", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const [path, copy] = [join(where, "journal"), join(where, "copy")]
        const journal = yield* makeSqliteJournal({ path })
        for (let value = 1; value <= 5; value++) {
          yield* append(journal, value)
          yield* copyInUse(path, copy, [""])
          const reason = yield* reasonOf(countIn(copy))
          assert.strictEqual(reason._tag, "LogMissing")
          yield* copyInUse(path, copy, ["", "-wal"])
          assert.strictEqual(yield* countIn(copy), value)
        }
      })
    )
  )

  it.live("that-was-closed-is-whole-in-one-file-however-often-it-was-opened", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const [path, copy] = [join(where, "journal"), join(where, "copy")]
        for (let value = 1; value <= 4; value++) {
          yield* use(path, (journal) => append(journal, value))
          assert.deepStrictEqual(
            yield* Effect.promise(() => readdir(where)),
            value === 1 ? ["journal"] : ["copy", "journal"]
          )
          yield* copyInUse(path, copy, [""])
          assert.strictEqual(yield* countIn(copy), value)
        }
        // A reader that closes it while another one appends takes nothing from that one.
        const writer = yield* makeSqliteJournal({ path })
        yield* append(writer, 5)
        assert.strictEqual(yield* countIn(path), 5)
        yield* append(writer, 6)
        yield* copyInUse(path, copy, [""])
        assert.strictEqual((yield* reasonOf(countIn(copy)))._tag, "LogMissing")
        yield* copyInUse(path, copy, ["", "-wal"])
        assert.strictEqual(yield* countIn(copy), 6)
      })
    )
  )

  it.live("with-the-log-of-another-one-or-an-earlier-one-of-its-own-is-refused-and-neither-is-touched", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const [one, other, copy] = [join(where, "one"), join(where, "other"), join(where, "copy")]
        const first = yield* makeSqliteJournal({ path: one })
        const second = yield* makeSqliteJournal({ path: other })
        for (let value = 1; value <= 20; value++) yield* append(first, value)
        for (let value = 1; value <= 30; value++) yield* append(second, value)
        for (const closed of [false, true]) {
          yield* copyInUse(one, copy, [""])
          if (closed) {
            yield* copyInUse(one, copy, ["", "-wal"])
            yield* countIn(copy)
          }
          yield* Effect.promise(() => copyFile(`${other}-wal`, `${copy}-wal`))
          const reason = yield* reasonOf(countIn(copy))
          assert.strictEqual(reason._tag, "LogForeign", closed ? "closed" : "in use")
          // With its own log, or none that it needs, it is what it was.
          yield* Effect.promise(() => rm(`${copy}-wal`))
          if (!closed) yield* Effect.promise(() => copyFile(`${one}-wal`, `${copy}-wal`))
          assert.strictEqual(yield* countIn(copy), 20)
        }
        // An earlier log of the same journal, beside a file that has moved on.
        yield* copyInUse(one, copy, ["", "-wal"])
        yield* Effect.promise(() => copyFile(`${copy}-wal`, `${copy}-earlier`))
        yield* use(copy, (journal) => append(journal, 21))
        yield* Effect.promise(() => rename(`${copy}-earlier`, `${copy}-wal`))
        assert.strictEqual((yield* reasonOf(countIn(copy)))._tag, "LogForeign")
        yield* Effect.promise(() => rm(`${copy}-wal`))
        assert.strictEqual(yield* countIn(copy), 21)
      })
    )
  )

  it.live("of-a-process-that-was-killed-needs-its-log-too", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const [path, copy] = [join(where, "journal"), join(where, "copy")]
        const program = fileURLToPath(new URL("../testing/appendUntilKilled.ts", import.meta.url))
        const child = spawn(process.execPath, ["--conditions=stillpoint-source", "--no-warnings", program, "s"], {
          stdio: "pipe"
        })
        yield* Effect.promise(async () => {
          await once(child.stdout, "data")
          child.stdin.write(path)
          await once(child.stdout, "data")
          child.kill("SIGKILL")
          await once(child, "exit")
        })
        yield* copyInUse(path, copy, [""])
        assert.strictEqual((yield* reasonOf(countIn(copy)))._tag, "LogMissing")
        assert.isAbove(yield* countIn(path), 0)
        // Whoever has opened and closed it since has made it whole.
        yield* copyInUse(path, copy, [""])
        assert.strictEqual(yield* countIn(copy), yield* countIn(path))
      })
    )
  )
})
