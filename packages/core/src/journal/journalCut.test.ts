import { once } from "node:events"
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { sampleRecord } from "../testing/journalLaws.ts"
import type { JournalShape } from "./JournalShape.ts"
import { makeSqliteJournal } from "./sqliteJournal.ts"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-cut-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const append = (journal: JournalShape, value: number) => journal.append("s", [sampleRecord(value)])

/** Appends so much that the log has gone into the file at least once. */
const fill = (journal: JournalShape) =>
  Effect.forEach(Array.from({ length: 6 }), () =>
    journal.append("s", [{ ...sampleRecord(0), json: JSON.stringify("x".repeat(900_000)) }], { survives: "process" })
  )

/** Changes to the content of a file that stays at its path. */
const spoilings: Readonly<Record<string, (file: string) => void>> = {
  "cut to nothing": (file) => truncateSync(file, 0),
  "cut in half": (file) => truncateSync(file, Math.floor(statSync(file).size / 2)),
  "cut by its last byte": (file) => truncateSync(file, statSync(file).size - 1),
  "written over with zeros": (file) => writeFileSync(file, Buffer.alloc(statSync(file).size), { flag: "r+" }),
  "written over with text": (file) => writeFileSync(file, "no journal at all ".repeat(10), { flag: "r+" }),
  "made anew with text": (file) => writeFileSync(file, "no journal at all ".repeat(10_000))
}

describe("a journal that is open", () => {
  for (const [what, spoil] of Object.entries(spoilings)) {
    it.live(`and-whose-file-or-log-is-${what.replaceAll(" ", "-")}-in-its-place-acknowledges-nothing-any-more`, () =>
      Effect.gen(function* () {
        const where = yield* directory
        for (const isLarge of what === "cut to nothing" || what === "written over with text"
          ? [false, true]
          : [false]) {
          for (const beside of ["", "-wal"]) {
            const path = join(where, `journal-${isLarge}${beside}-of`)
            yield* Effect.scoped(
              Effect.gen(function* () {
                const journal = yield* makeSqliteJournal({ path })
                if (isLarge) yield* fill(journal)
                for (let value = 0; value < 3; value++) yield* append(journal, value)
                // Bytes behind the last commit are from an earlier turn of the log, and have no effect.
                if (isLarge && beside !== "" && what.startsWith("cut") && what !== "cut to nothing") return
                spoil(`${path}${beside}`)
                for (const survives of ["host", "process"] as const) {
                  const error = yield* Effect.flip(journal.append("s", [sampleRecord(2)], { survives }))
                  assert.include(error.reason, { _tag: "Displaced", path: `${path}${beside}` })
                  assert.include(error.message, "is not as it was written")
                }
              })
            )
          }
        }
      }).pipe(Effect.scoped)
    )
  }

  it.live("and-whose-file-is-written-over-with-another-journal-or-an-earlier-copy-acknowledges-nothing-any-more", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const [path, other, earlier] = [join(where, "journal"), join(where, "other"), join(where, "earlier")]
      yield* Effect.scoped(Effect.flatMap(makeSqliteJournal({ path: other }), fill))
      for (const from of [other, earlier]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const journal = yield* makeSqliteJournal({ path })
            yield* append(journal, 1)
            copyFileSync(path, earlier)
            yield* fill(journal)
            writeFileSync(path, readFileSync(from))
            assert.include((yield* Effect.flip(append(journal, 2))).reason, { _tag: "Displaced", path })
          })
        )
        for (const file of [path, `${path}-wal`, `${path}-shm`]) rmSync(file, { force: true })
        rmSync(`${path}-claims`, { recursive: true })
      }
    }).pipe(Effect.scoped)
  )

  it.live("and-whose-shared-memory-is-cut-says-so-to-who-appends-and-to-who-reads-and-is-closed", () =>
    Effect.gen(function* () {
      const path = join(yield* directory, "journal")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const journal = yield* makeSqliteJournal({ path })
          yield* append(journal, 1)
          truncateSync(`${path}-shm`, 0)
          const found = { _tag: "Displaced", path: `${path}-shm`, found: "less than was in it" } as const
          assert.deepStrictEqual({ ...(yield* Effect.flip(append(journal, 2))).reason }, found)
          assert.deepStrictEqual({ ...(yield* Effect.flip(journal.read("s"))).reason }, found)
        })
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          assert.strictEqual((yield* (yield* makeSqliteJournal({ path })).read("s")).length, 1)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("and-cut-at-any-moment-of-an-append-has-acknowledged-nothing-that-is-not-read-again-or-named", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const program =
        "const { path, millis } = require('node:worker_threads').workerData; setTimeout(() => require('node:fs').truncateSync(path, 0), millis)"
      let refusals = 0
      for (let round = 0; round < 6; round++) {
        const path = join(where, `journal-${round}`)
        const acknowledged = yield* Effect.scoped(
          Effect.gen(function* () {
            const journal = yield* makeSqliteJournal({ path })
            for (let value = 0; value < 3; value++) yield* append(journal, value)
            const cut = new Worker(program, {
              eval: true,
              workerData: { path: `${path}${round % 2 === 0 ? "-wal" : ""}`, millis: round * 2.3 }
            })
            const ended = once(cut, "exit")
            for (let version = 3; ; version++) {
              const appended = yield* Effect.result(append(journal, version))
              if (Result.isSuccess(appended)) continue
              assert.strictEqual(appended.failure.reason._tag, "Displaced")
              yield* Effect.promise(() => ended)
              return version
            }
          })
        )
        // An append during the truncation was not acknowledged; earlier ones are there, or reported as missing.
        const again = yield* Effect.result(
          Effect.scoped(Effect.flatMap(makeSqliteJournal({ path }), (journal) => journal.read("s")))
        )
        if (Result.isFailure(again)) refusals += 1
        else assert.isAtLeast(again.success.length, acknowledged)
      }
      assert.isAbove(refusals, 0)
    }).pipe(Effect.scoped)
  )

  it.live("and-was-opened-by-a-link-is-appended-to-as-by-its-own-name", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const [path, link] = [join(where, "journal"), join(where, "link")]
      symlinkSync("journal", link)
      for (const each of [link, path, link]) {
        yield* Effect.scoped(Effect.flatMap(makeSqliteJournal({ path: each }), (journal) => append(journal, 1)))
      }
      yield* Effect.scoped(
        Effect.gen(function* () {
          assert.strictEqual((yield* (yield* makeSqliteJournal({ path })).read("s")).length, 3)
        })
      )
    }).pipe(Effect.scoped)
  )
})
