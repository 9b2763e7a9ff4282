import { chmod, chown, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema, Stream } from "effect"
import * as fc from "fast-check"
import { journalLaws, sampleRecord } from "../testing/journalLaws.ts"
import { makeEventCodec } from "./EventCodec.ts"
import type { JournalError } from "./JournalErrors.ts"
import { journalMemory } from "./memoryJournal.ts"
import { journalSqlite, makeSqliteJournal } from "./sqliteJournal.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-journal-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const freshSqlite = Layer.unwrap(Effect.map(directory, (path) => journalSqlite({ path: join(path, "journal") })))

for (const [name, layer] of [
  ["memory", journalMemory],
  ["sqlite", freshSqlite]
] as const) {
  describe(name, () => {
    for (const { check, name } of journalLaws) {
      it.live(name, () => Effect.scoped(check).pipe(Effect.provide(Layer.fresh(layer), { local: true })))
    }
  })
}

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

  it.live("a-full-disk-refuses-an-append-whole-and-keeps-what-was-there", () =>
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

  it.live("a-file-that-cannot-be-written-is-refused-by-name", (context) =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const path = join(where, "journal")
        yield* Effect.scoped(
          Effect.flatMap(makeSqliteJournal({ path }), (journal) => journal.append("a", [sampleRecord(1)]))
        )
        yield* Effect.promise(async () => {
          await chmod(path, 0o444)
          await chmod(where, 0o555)
        })
        // The superuser may write everything: another user has to try.
        const isRoot = process.getuid?.() === 0
        if (isRoot) {
          yield* Effect.promise(async () => {
            await chown(where, 65_534, 65_534)
            await chown(path, 65_534, 65_534)
          })
          process.seteuid?.(65_534)
        }
        const reason = yield* reasonOf(
          Effect.scoped(
            Effect.flatMap(makeSqliteJournal({ path }), (journal) => journal.append("a", [sampleRecord(2)]))
          )
        ).pipe(Effect.ensuring(Effect.sync(() => isRoot && process.seteuid?.(0))))
        yield* Effect.promise(() => chmod(where, 0o755))
        if (isRoot && process.seteuid === undefined) context.skip("this system cannot try as another user")
        assert.include(["ReadOnly", "Unreadable"], reason)
        const again = yield* makeSqliteJournal({ path })
        assert.strictEqual((yield* again.read("a")).length, 1)
      })
    )
  )

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

  it.live("a-later-format-is-refused", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* directory, "journal")
        yield* Effect.scoped(makeSqliteJournal({ path }))
        const database = new DatabaseSync(path)
        database.exec("PRAGMA user_version = 99")
        database.close()
        assert.strictEqual(yield* reasonOf(Effect.scoped(makeSqliteJournal({ path }))), "FormatUnknown")
      })
    )
  )

  it.live("damage-is-named-or-without-effect-and-never-read-as-something-else", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const where = yield* directory
        const path = join(where, "journal")
        yield* Effect.scoped(
          Effect.flatMap(makeSqliteJournal({ path }), (journal) =>
            journal.append(
              "a",
              Array.from({ length: 200 }, (_, value) => sampleRecord(value))
            )
          )
        )
        const whole = yield* Effect.promise(() => readFile(path))
        const damaged = join(where, "damaged")
        const readBack = Effect.scoped(
          Effect.flatMap(makeSqliteJournal({ path: damaged }), (journal) => journal.read("a"))
        )
        yield* Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 7 }), async (offset, bit) => {
              const bytes = Uint8Array.from(whole)
              bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit)
              await writeFile(damaged, bytes)
              const result = await Effect.runPromise(Effect.result(readBack))
              if (result._tag === "Failure") return
              assert.strictEqual(result.success.length, 200)
              // A flip in free space, or in a counter that nothing reads, changes nothing that was written.
              for (const [index, { json }] of result.success.entries())
                assert.strictEqual(json, sampleRecord(index).json)
            }),
            { numRuns: 500 }
          )
        )
        yield* Effect.promise(async () => {
          await writeFile(damaged, whole)
          await truncate(damaged, Math.floor(whole.length / 2))
        })
        assert.strictEqual(yield* reasonOf(readBack), "Corrupt")
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

describe("events and their versions", () => {
  const Renamed = Schema.Struct({ _tag: Schema.Literal("Renamed"), fullName: Schema.String })
  const codec = makeEventCodec<typeof Renamed.Type>({
    schema: Renamed,
    typeOf: (event) => event._tag,
    types: {
      Renamed: {
        version: 3,
        upcast: {
          1: (json) => ({ ...(json as object), name: "was missing" }),
          2: (json) => {
            const { name, ...rest } = json as { readonly name: string }
            return { ...rest, fullName: name }
          }
        }
      }
    }
  })
  const entry = (schemaVersion: number, json: unknown, type = "Renamed") => ({
    position: 1,
    stream: "s",
    version: 1,
    type,
    schemaVersion,
    json: JSON.stringify(json)
  })

  it.effect("an-old-event-is-brought-up-to-date-step-by-step", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* codec.decode(entry(1, { _tag: "Renamed" })), {
        _tag: "Renamed",
        fullName: "was missing"
      })
      assert.deepStrictEqual(yield* codec.decode(entry(2, { _tag: "Renamed", name: "n" })), {
        _tag: "Renamed",
        fullName: "n"
      })
      const record = codec.encode({ _tag: "Renamed", fullName: "f" })
      assert.strictEqual(record.schemaVersion, 3)
    })
  )

  it.effect("an-event-of-a-later-build-is-refused-by-name", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* reasonOf(codec.decode(entry(4, {}))), "EventUnknown")
      assert.strictEqual(yield* reasonOf(codec.decode(entry(1, {}, "Novelty"))), "EventUnknown")
      assert.strictEqual(yield* reasonOf(codec.decode(entry(3, { _tag: "Renamed" }))), "EventMalformed")
    })
  )
})
