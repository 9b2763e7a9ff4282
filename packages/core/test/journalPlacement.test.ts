import { spawn } from "node:child_process"
import { once } from "node:events"
import { copyFile, readdir, readFile, rename, rm, stat, symlink, truncate, unlink, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { sampleRecord } from "../src/testing/journalLaws.ts"
import type { JournalShape } from "../src/journal/JournalShape.ts"
import type { JournalError } from "../src/journal/JournalErrors.ts"
import { makeSqliteJournal } from "../src/journal/sqliteJournal.ts"
import { bundled } from "../../../scripts/testing/bundled.ts"
import { appendedUntilKilled, countIn, directory, use } from "./journalFiles.ts"

const exiting = await bundled(fileURLToPath(new URL("../src/testing/appendAndExit.ts", import.meta.url)))

const append = (journal: JournalShape, value: number) => journal.append("s", [sampleRecord(value)])

const reasonOf = <A>(effect: Effect.Effect<A, JournalError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)

/** The files of a journal as they are while it is in use, copied. */
const copyInUse = (from: string, to: string, names: ReadonlyArray<"" | "-wal">) =>
  Effect.promise(async () => {
    for (const name of ["", "-wal", "-shm"]) await rm(`${to}${name}`, { force: true })
    for (const name of names) await copyFile(`${from}${name}`, `${to}${name}`)
  })

/** Operations that remove a file of an open journal from its path. */
const displacements: Readonly<
  Record<string, { readonly found: "nothing" | "another file"; readonly happens: (file: string) => Promise<void> }>
> = {
  removed: { found: "nothing", happens: (file) => unlink(file) },
  moved: { found: "nothing", happens: (file) => rename(file, `${file}-elsewhere`) },
  "replaced-by-a-copy": {
    found: "another file",
    happens: async (file) => {
      await copyFile(file, `${file}-copy`)
      await rename(`${file}-copy`, file)
    }
  },
  "replaced-by-an-empty-one": {
    found: "another file",
    happens: async (file) => {
      await writeFile(`${file}-empty`, "")
      await rename(`${file}-empty`, file)
    }
  },
  "replaced-by-that-of-another-journal": {
    found: "another file",
    happens: async (file) => {
      const [, beside = ""] = /(-wal|-shm)?$/.exec(file) ?? []
      const other = join(dirname(file), "other")
      await Effect.runPromise(
        use(other, (journal) =>
          Effect.andThen(
            append(journal, 7),
            Effect.promise(() => copyFile(`${other}${beside}`, `${file}-other`))
          )
        )
      )
      await rename(`${file}-other`, file)
    }
  }
}

/** The files of a journal that is open, as they stand beside each other. */
const filesOfOne = { file: "", log: "-wal", "shared-memory": "-shm" }

describe("a journal that is open", () => {
  for (const [what, { found, happens }] of Object.entries(displacements)) {
    for (const [name, beside] of Object.entries(filesOfOne)) {
      it.live(`and-whose-${name}-is-${what}-acknowledges-nothing-any-more-and-says-so`, () =>
        Effect.scoped(
          Effect.gen(function* () {
            const path = join(yield* directory, "journal")
            const journal = yield* makeSqliteJournal({ path })
            yield* append(journal, 1)
            yield* Effect.promise(() => happens(`${path}${beside}`))
            for (const survives of ["host", "process"] as const) {
              const reason = yield* reasonOf(journal.append("s", [sampleRecord(2)], { survives }))
              assert.deepStrictEqual(reason, { _tag: "Displaced", path: `${path}${beside}`, found })
            }
          })
        )
      )
    }
  }

  it.live(
    "acknowledges-everything-whoever-else-uses-it-until-one-of-its-files-is-not-there-any-more-and-then-nothing",
    () =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(
            fc.array(fc.constantFrom("host", "process", "reader", "writer"), { maxLength: 8 }),
            fc.constantFrom(...Object.values(filesOfOne)),
            fc.constantFrom(...Object.values(displacements)),
            (steps, beside, { happens }) =>
              Effect.runPromise(
                Effect.scoped(
                  Effect.gen(function* () {
                    const path = join(yield* directory, "journal")
                    const journal = yield* makeSqliteJournal({ path })
                    let acknowledged = 0
                    for (const step of steps) {
                      if (step === "reader") assert.strictEqual(yield* countIn(path), acknowledged)
                      else if (step === "writer") yield* use(path, (other) => append(other, acknowledged++))
                      else yield* journal.append("s", [sampleRecord(acknowledged++)], { survives: step })
                    }
                    yield* Effect.promise(() => happens(`${path}${beside}`))
                    for (const survives of ["process", "host"] as const) {
                      const reason = yield* reasonOf(journal.append("s", [sampleRecord(0)], { survives }))
                      assert.strictEqual(reason._tag, "Displaced")
                    }
                  })
                )
              )
          ),
          { numRuns: 20 }
        )
      )
  )

  it.live("and-has-lost-its-shared-memory-takes-nothing-from-those-that-use-it-without-it", () =>
    Effect.gen(function* () {
      const path = join(yield* directory, "journal")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const journal = yield* makeSqliteJournal({ path })
          for (let value = 0; value < 3; value++) yield* append(journal, value)
          yield* Effect.promise(() => unlink(`${path}-shm`))
          assert.strictEqual((yield* reasonOf(countIn(path)))._tag, "Displaced")
          // Another process opens it, appends, and leaves its events in the log.
          const acknowledged = yield* appendedUntilKilled(path)
          assert.isAbove(acknowledged, 3)
          assert.strictEqual((yield* reasonOf(append(journal, 3)))._tag, "Displaced")
          return acknowledged
        })
      ).pipe(
        Effect.flatMap((acknowledged) => Effect.map(countIn(path), (count) => assert.isAtLeast(count, acknowledged)))
      )
    }).pipe(Effect.scoped)
  )

  it.live("and-whose-process-ends-without-closing-it-takes-nothing-from-others-and-is-whole-in-one-file", () =>
    Effect.gen(function* () {
      const where = yield* directory
      for (const isLost of [true, false]) {
        const path = join(where, String(isLost))
        const child = spawn(process.execPath, ["--no-warnings", exiting, path], {
          stdio: ["pipe", "pipe", "inherit"]
        })
        yield* Effect.promise(() => once(child.stdout, "data"))
        let acknowledged = 3
        if (isLost) {
          yield* Effect.promise(() => unlink(`${path}-shm`))
          acknowledged = yield* appendedUntilKilled(path)
          assert.isAbove(acknowledged, 3)
        }
        child.stdin.end("end\n")
        yield* Effect.promise(() => once(child, "close"))
        if (!isLost) assert.notInclude(yield* Effect.promise(() => readdir(where)), `${String(isLost)}-wal`)
        assert.isAtLeast(yield* countIn(path), acknowledged)
      }
    }).pipe(Effect.scoped)
  )

  it.live("and-opened-by-a-link-has-the-same-claims", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const path = join(where, "journal")
        const one = yield* makeSqliteJournal({ path })
        yield* Effect.promise(() => symlink("journal", join(where, "link")))
        const other = yield* makeSqliteJournal({ path: join(where, "link") })
        assert.isTrue(yield* one.claim("name"))
        assert.isFalse(yield* other.claim("name"))
        assert.isTrue(yield* other.claim("another"))
      })
    )
  )
})

describe("an empty file", () => {
  it.live("is-a-journal-to-be-made-unless-what-lies-beside-it-says-that-it-was-one", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const path = join(where, "journal")
        yield* Effect.promise(() => writeFile(path, ""))
        yield* use(path, (journal) => append(journal, 1))
        const cut = Effect.promise(() => truncate(path, 0))
        yield* cut
        // Whether or not a run was ever claimed in it.
        assert.include(yield* reasonOf(countIn(path)), { _tag: "Corrupt", path })
        assert.deepStrictEqual((yield* Effect.promise(() => stat(path))).size, 0)
        yield* Effect.promise(() => rm(`${path}-claims`, { recursive: true }))
        assert.strictEqual(yield* countIn(path), 0)
        // Cut while its events were in the log.
        yield* appendedUntilKilled(path)
        yield* cut
        const reason = yield* reasonOf(countIn(path))
        assert.isTrue(reason._tag === "Corrupt" && reason.detail.includes(`${path}-wal`))
        assert.isAbove((yield* Effect.promise(() => stat(`${path}-wal`))).size, 0)
      })
    )
  )
})

describe("a file that is shorter than any journal", () => {
  it.live("is-refused-and-left-as-it-is", () =>
    Effect.gen(function* () {
      const where = yield* directory
      for (const sizeBytes of [1, 2, 16, 99]) {
        const path = join(where, String(sizeBytes))
        yield* Effect.promise(() => writeFile(path, "x".repeat(sizeBytes)))
        assert.include(yield* reasonOf(countIn(path)), { _tag: "Corrupt", path })
        assert.strictEqual(yield* Effect.promise(() => readFile(path, "utf8")), "x".repeat(sizeBytes))
      }
    }).pipe(Effect.scoped)
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
            (yield* Effect.promise(() => readdir(where))).filter((name) => !name.endsWith("-claims")),
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
        yield* appendedUntilKilled(path)
        yield* copyInUse(path, copy, [""])
        assert.strictEqual((yield* reasonOf(countIn(copy)))._tag, "LogMissing")
        assert.isAbove(yield* countIn(path), 0)
        // A process that has opened and closed it since has made it complete.
        yield* copyInUse(path, copy, [""])
        assert.strictEqual(yield* countIn(copy), yield* countIn(path))
      })
    )
  )
})
