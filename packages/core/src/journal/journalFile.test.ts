import { spawnSync } from "node:child_process"
import { chmod, chown, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as fc from "fast-check"
import type { FullDisk } from "../testing/fillDisk.ts"
import { sampleRecord } from "../testing/journalLaws.ts"
import type { JournalShape } from "./JournalShape.ts"
import type { JournalError } from "./JournalErrors.ts"
import { guardOfFile } from "./journalGuard.ts"
import { makeSqliteJournal } from "./sqliteJournal.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-journal-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const reasonOf = <A>(effect: Effect.Effect<A, JournalError>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason._tag)

describe("a journal file", () => {
  it.live("outlives-its-process-and-opens-again", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* directory, "journal")
        yield* Effect.scoped(
          Effect.flatMap(makeSqliteJournal({ path }), (journal) => journal.append("a", [sampleRecord(1)]))
        )
        const again = yield* makeSqliteJournal({ path })
        assert.strictEqual((yield* again.read("a")).length, 1)
      })
    )
  )

  it.live("a-disk-that-is-really-full-costs-no-acknowledged-event-and-works-on-when-there-is-space-again", (context) =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const small = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "-o", "size=4m", "none", where])
        if (small.status !== 0) return context.skip(`no small file system to fill: ${small.error ?? small.stderr}`)
        const program = fileURLToPath(new URL("../testing/fillDisk.ts", import.meta.url))
        const mountAndRun = `mount -t tmpfs -o size=4m,nr_inodes=64 none "$0" && exec "$1" --conditions=stillpoint-source --no-warnings "$2" "$0"`
        const { status, stderr, stdout } = spawnSync(
          "unshare",
          ["-rm", "sh", "-c", mountAndRun, where, process.execPath, program],
          { encoding: "utf8" }
        )
        assert.strictEqual(status, 0, stderr)
        const found = JSON.parse(stdout) as FullDisk
        const { afterwards, whileAppending } = found
        assert.strictEqual(whileAppending.reason, "DiskFull")
        assert.isAbove(whileAppending.acknowledged, 0)
        assert.strictEqual(whileAppending.read, whileAppending.acknowledged)
        assert.deepStrictEqual([...new Set(found.withLittleLeft)].toSorted(), ["DiskFull", null])
        assert.strictEqual(found.withoutFiles, "DiskFull")
        assert.isAbove(afterwards.version, whileAppending.acknowledged)
        assert.deepStrictEqual([afterwards.read, afterwards.readAgain], [afterwards.version, afterwards.version])
      })
    )
  )

  it.live("a-journal-at-its-size-limit-refuses-an-append-whole-and-keeps-what-was-there", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* directory, "journal")
        const journal = yield* makeSqliteJournal({ path, maxSizeBytes: 64 * 4096 })
        const large = Array.from({ length: 50 }, (_, value) => ({
          ...sampleRecord(value),
          json: JSON.stringify("x".repeat(1_000))
        }))
        let acknowledged = 0
        const fill = Effect.gen(function* () {
          while (true) acknowledged = (yield* journal.append("a", large)).version
        })
        assert.strictEqual(yield* reasonOf(fill), "DiskFull")
        assert.strictEqual((yield* journal.read("a")).length, acknowledged)
        assert.isAbove(acknowledged, 0)
        yield* journal.append("a", [])
      })
    )
  )

  for (const [what, fileMode, directoryMode] of [
    ["file", 0o444, 0o755],
    ["directory", 0o644, 0o555],
    ["new file", null, 0o555]
  ] as const) {
    it.live(`a-${what.replace(" ", "-")}-that-cannot-be-written-is-refused-as-just-that`, (context) =>
      Effect.scoped(
        Effect.gen(function* () {
          const where = yield* directory
          const path = join(where, "journal")
          const open = <A>(use: (journal: JournalShape) => Effect.Effect<A, JournalError>) =>
            Effect.scoped(Effect.flatMap(makeSqliteJournal({ path }), use))
          if (fileMode !== null) yield* open((journal) => journal.append("a", [sampleRecord(1)]))
          // The superuser may write everything: another user has to try.
          const isRoot = process.getuid?.() === 0
          if (isRoot && process.seteuid === undefined) return context.skip("this system cannot try as another user")
          const nobody = 65_534
          yield* Effect.promise(async () => {
            if (fileMode !== null) {
              if (isRoot) await chown(path, nobody, nobody)
              await chmod(path, fileMode)
            }
            if (isRoot) await chown(where, nobody, nobody)
            await chmod(where, directoryMode)
          })
          if (isRoot) process.seteuid?.(nobody)
          const error = yield* Effect.flip(open((journal) => journal.append("a", [sampleRecord(2)]))).pipe(
            Effect.ensuring(Effect.sync(() => isRoot && process.seteuid?.(0)))
          )
          assert.deepStrictEqual(
            { ...error.reason },
            what === "file"
              ? { _tag: "ReadOnly", what: "file", path }
              : { _tag: "ReadOnly", what: "directory", path: where }
          )
          yield* Effect.promise(async () => {
            await chmod(where, 0o755)
            if (fileMode !== null) await chmod(path, 0o644)
          })
          if (what === "file" && !isRoot) {
            // No unwritable file is left beside it; another's is named.
            assert.deepStrictEqual(yield* Effect.promise(() => readdir(where)), ["journal", "journal-claims"])
            const shared = `${path}-shm`
            yield* Effect.promise(() => writeFile(shared, "", { mode: 0o444 }))
            const other = yield* Effect.flip(open((journal) => journal.append("a", [sampleRecord(2)])))
            assert.deepStrictEqual({ ...other.reason }, { _tag: "ReadOnly", what: "file", path: shared })
            yield* Effect.promise(() => rm(shared))
          }
          const { length } = yield* open((journal) => journal.read("a"))
          assert.strictEqual(length, fileMode === null ? 0 : 1)
        })
      )
    )
  }

  it.live("what-is-no-journal-is-refused", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const text = join(where, "text")
        yield* Effect.promise(() => writeFile(text, "not a database, but long enough to be taken for one ".repeat(100)))
        assert.strictEqual(yield* reasonOf(Effect.scoped(makeSqliteJournal({ path: text }))), "Corrupt")
        const other = join(where, "other")
        const database = new DatabaseSync(other)
        database.exec("CREATE TABLE people (name TEXT)")
        database.close()
        assert.strictEqual(yield* reasonOf(Effect.scoped(makeSqliteJournal({ path: other }))), "Corrupt")
        assert.strictEqual(
          yield* reasonOf(Effect.scoped(makeSqliteJournal({ path: join(where, "no", "such") }))),
          "Unreadable"
        )
      })
    )
  )

  it.live("another-format-is-refused-and-left-as-it-is", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* directory, "journal")
        yield* Effect.scoped(makeSqliteJournal({ path }))
        for (const format of [1, 99]) {
          const database = new DatabaseSync(path)
          database.exec(`PRAGMA user_version = ${format}`)
          database.close()
          const before = yield* Effect.promise(() => readFile(path))
          const error = yield* Effect.flip(Effect.scoped(makeSqliteJournal({ path })))
          assert.deepStrictEqual({ ...error.reason }, { _tag: "FormatUnknown", path, found: format, supported: 3 })
          assert.isTrue(before.equals(yield* Effect.promise(() => readFile(path))))
        }
      })
    )
  )

  it.live("damage-is-named-or-without-effect-and-never-read-as-something-else", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const path = join(where, "journal")
        const written = Array.from({ length: 300 }, (_, value) => sampleRecord(value))
        yield* Effect.scoped(
          Effect.gen(function* () {
            const journal = yield* makeSqliteJournal({ path })
            // One by one, in small batches, in large ones; two streams.
            for (let from = 0, size = 1; from < written.length; from += size, size = (size * 3) % 97) {
              yield* journal.append("a", written.slice(from, from + size))
              yield* journal.append("b", written.slice(0, size % 4))
            }
          })
        )
        const whole = yield* Effect.promise(() => readFile(path))
        const damaged = join(where, "damaged")
        const tags = new Set<string>()
        const readBack = Effect.scoped(
          Effect.gen(function* () {
            const journal = yield* makeSqliteJournal({ path: damaged })
            const all = yield* journal.readAll()
            const own = yield* journal.read("a")
            assert.deepStrictEqual(
              all.filter(({ stream }) => stream === "a"),
              own
            )
            return own
          })
        )
        yield* Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 7 }), async (offset, bit) => {
              const bytes = Uint8Array.from(whole)
              bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit)
              await writeFile(damaged, bytes)
              const result = await Effect.runPromise(Effect.result(readBack))
              if (result._tag === "Failure") {
                tags.add(result.failure.reason._tag)
                return
              }
              // A flip in free space, or in a counter that nothing reads, changes nothing that was written.
              assert.deepStrictEqual(
                result.success.map(({ json }) => json),
                written.map(({ json }) => json)
              )
            }),
            { numRuns: 500 }
          )
        )
        yield* Effect.promise(async () => {
          await writeFile(damaged, whole)
          await truncate(damaged, Math.floor(whole.length / 2))
        })
        assert.strictEqual(yield* reasonOf(readBack), "Corrupt")
        tags.delete("FormatUnknown")
        assert.deepStrictEqual([...tags], ["Corrupt"])
      })
    )
  )

  it.live("a-stream-that-is-longer-than-it-says-is-damage-to-those-who-read-and-to-those-who-append", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* directory, "journal")
        const journal = yield* makeSqliteJournal({ path })
        yield* journal.append("a", [sampleRecord(1)])
        yield* journal.append("a", [sampleRecord(2)])
        const database = new DatabaseSync(path)
        database.exec("UPDATE streams SET version = 1")
        database.close()
        assert.strictEqual(yield* reasonOf(journal.read("a")), "Corrupt")
        assert.strictEqual(yield* reasonOf(journal.append("a", [sampleRecord(3)], { expectedVersion: 1 })), "Corrupt")
      })
    )
  )

  it.live("two-writers-take-turns-and-lose-nothing", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* directory, "journal")
        const one = yield* makeSqliteJournal({ path })
        const two = yield* makeSqliteJournal({ path })
        yield* Effect.forEach(
          Array.from({ length: 100 }, (_, value) => value),
          (value) => (value % 2 === 0 ? one : two).append(`s${value % 3}`, [sampleRecord(value)]),
          { concurrency: 8, discard: true }
        )
        assert.strictEqual((yield* one.readAll()).length, 100)
      })
    )
  )

  it.live("a-lock-that-is-held-too-long-is-an-error-that-says-so", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* directory, "journal")
        const journal = yield* makeSqliteJournal({ path, busyTimeout: "30 millis" })
        const other = new DatabaseSync(path)
        other.exec("BEGIN IMMEDIATE")
        assert.strictEqual(yield* reasonOf(journal.append("a", [sampleRecord(1)])), "Busy")
        other.exec("ROLLBACK")
        other.close()
        yield* journal.append("a", [sampleRecord(1)])
      })
    )
  )

  /** A reader of the journal's content before anything was merged from the log into the file. */
  const readerOf = (path: string): DatabaseSync => {
    const reader = new DatabaseSync(path)
    reader.exec("PRAGMA journal_mode = WAL; BEGIN; SELECT count(*) FROM sqlite_schema")
    return reader
  }

  it.live("that-another-one-keeps-from-its-file-for-a-while-is-waited-for-and-not-said-to-be-displaced", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* directory, "journal")
        const reader = readerOf(path)
        const opening = yield* Effect.forkChild(makeSqliteJournal({ path }), { startImmediately: true })
        yield* Effect.sleep("5 millis")
        assert.isNull(guardOfFile(path))
        reader.close()
        const journal = yield* Fiber.join(opening)
        yield* journal.append("a", [sampleRecord(1)])
        assert.strictEqual(guardOfFile(path)?.state, "open")
      })
    )
  )

  it.live("whose-file-cannot-be-told-of-the-log-at-once-is-told-with-a-later-append", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* directory, "journal")
        const journal = yield* makeSqliteJournal({ path })
        const reader = readerOf(path)
        yield* journal.append("a", [sampleRecord(1)])
        assert.strictEqual(guardOfFile(path)?.state, "closed")
        reader.close()
        yield* journal.append("a", [sampleRecord(2)])
        assert.strictEqual(guardOfFile(path)?.state, "open")
      })
    )
  )

  it.live("a-subscription-sees-what-another-process-appends", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* directory, "journal")
        const reader = yield* makeSqliteJournal({ path, pollInterval: "1 millis" })
        const writer = yield* makeSqliteJournal({ path })
        const follower = yield* Effect.forkChild(reader.subscribe().pipe(Stream.take(30), Stream.runCollect), {
          startImmediately: true
        })
        for (let value = 0; value < 30; value++) yield* writer.append("a", [sampleRecord(value)])
        assert.strictEqual((yield* Fiber.join(follower)).length, 30)
      })
    )
  )
})
