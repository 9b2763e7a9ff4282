/**
 * The laws of every {@link Journal}.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import { Effect, Fiber, Stream } from "effect"
import * as fc from "fast-check"
import { Journal, type JournalEntry, type JournalRecord } from "../journal/Journal.ts"
import type { Law } from "./Law.ts"

/** A small record that carries a number. */
export const sampleRecord = (value: number): JournalRecord => ({
  type: "Sample",
  schemaVersion: 1,
  json: JSON.stringify({ value })
})

const records = (from: number, count: number): ReadonlyArray<JournalRecord> =>
  Array.from({ length: count }, (_, index) => sampleRecord(from + index))

const valuesOf = (entries: ReadonlyArray<{ readonly json: string }>): ReadonlyArray<number> =>
  entries.map(({ json }) => (JSON.parse(json) as { readonly value: number }).value)

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const law = (name: string, check: (journal: Journal["Service"]) => Effect.Effect<void, unknown>): Law<Journal> => ({
  name,
  check: Effect.flatMap(Journal, check)
})

/** Appends to a few streams: of one event and of many, of kinds and versions that alternate or stay. */
const appends = fc.array(
  fc.record({
    stream: fc.constantFrom("a", "b", "c"),
    records: fc.array(
      fc.record({
        type: fc.constantFrom("One", "Two"),
        schemaVersion: fc.integer({ min: 1, max: 2 }),
        json: fc.oneof(fc.json({ maxDepth: 1 }), fc.constant('"𝄞"'))
      }),
      { maxLength: 6 }
    )
  }),
  { maxLength: 12 }
)

/** The laws; each wants an empty journal. */
export const journalLaws: ReadonlyArray<Law<Journal>> = [
  law("a-name-has-one-owner-until-its-scope-closes-and-a-sweep-takes-none-away", (journal) =>
    Effect.gen(function* () {
      for (const round of [1, 2, 3]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            assert.equal(yield* journal.claim("name"), true, `round ${round}`)
            assert.equal(yield* journal.claim("another"), true)
            assert.equal(yield* journal.claim("name"), false)
            assert.equal(yield* journal.sweepClaims, 0)
            assert.equal(yield* Effect.scoped(journal.claim("name")), false)
          })
        )
      }
    })
  ),
  law("what-was-appended-is-read-in-order", (journal) =>
    Effect.gen(function* () {
      assert.deepEqual(yield* journal.append("a", records(0, 3)), { version: 3, position: 3 })
      assert.deepEqual(yield* journal.append("a", records(3, 2)), { version: 5, position: 5 })
      const entries = yield* journal.read("a")
      assert.deepEqual(valuesOf(entries), upTo(5))
      assert.deepEqual(
        entries.map(({ version }) => version),
        [1, 2, 3, 4, 5]
      )
      assert.deepEqual(valuesOf(yield* journal.read("a", { afterVersion: 2, limit: 2 })), [2, 3])
    })
  ),
  law("an-unknown-stream-is-empty", (journal) =>
    Effect.gen(function* () {
      assert.deepEqual(yield* journal.read("nobody"), [])
      assert.deepEqual(yield* journal.readAll(), [])
      assert.deepEqual(yield* journal.streams(), [])
    })
  ),
  law("the-global-order-keeps-every-streams-order", (journal) =>
    Effect.gen(function* () {
      for (let round = 0; round < 20; round++) {
        yield* journal.append("even", [sampleRecord(2 * round)])
        yield* journal.append("odd", [sampleRecord(2 * round + 1)])
      }
      const all = yield* journal.readAll()
      assert.deepEqual(valuesOf(all), upTo(40))
      assert.ok(all.every((entry, index) => index === 0 || entry.position > (all[index - 1]?.position ?? 0)))
      assert.deepEqual(
        valuesOf(yield* journal.readAll({ afterPosition: all[9]?.position ?? 0, limit: 3 })),
        [10, 11, 12]
      )
    })
  ),
  law("events-appended-together-have-places-of-their-own-and-are-read-from-any-of-them", (journal) =>
    Effect.gen(function* () {
      for (const { records, stream } of fc.sample(appends, { numRuns: 20, seed: 1 }).flat()) {
        yield* journal.append(stream, records, { survives: records.length % 2 === 0 ? "host" : "process" })
      }
      const all = yield* journal.readAll()
      assert.deepEqual(
        all.map(({ position }) => position),
        all.map((_, index) => index + 1)
      )
      const own = new Map<string, Array<JournalEntry>>()
      for (const entry of all) {
        const entries = own.get(entry.stream) ?? []
        own.set(entry.stream, entries)
        entries.push(entry)
        assert.equal(entry.version, entries.length)
      }
      for (let after = 0; after <= all.length; after++) {
        for (const limit of [0, 1, 3]) {
          assert.deepEqual(yield* journal.readAll({ afterPosition: after, limit }), all.slice(after, after + limit))
        }
        assert.deepEqual(yield* journal.readAll({ afterPosition: after }), all.slice(after))
      }
      for (const [stream, entries] of own) {
        for (let after = 0; after <= entries.length; after++) {
          assert.deepEqual(yield* journal.read(stream, { afterVersion: after }), entries.slice(after))
          assert.deepEqual(
            yield* journal.read(stream, { afterVersion: after, limit: 2 }),
            entries.slice(after, after + 2)
          )
          const rest = entries.slice(after)
          const seen = yield* journal
            .subscribe({ stream, afterPosition: entries[after - 1]?.position ?? 0 })
            .pipe(Stream.take(rest.length), Stream.runCollect)
          assert.deepEqual(seen, rest)
        }
      }
    })
  ),
  law("an-append-is-there-whole-or-not-at-all-however-large-it-is", (journal) =>
    Effect.gen(function* () {
      const large = records(0, 3_000).map((record) => ({
        ...record,
        json: JSON.stringify({ ...JSON.parse(record.json), padding: "x".repeat(500) })
      }))
      yield* journal.append("other", records(0, 1))
      yield* Effect.flip(journal.append("a", large, { expectedVersion: 1 }))
      assert.equal((yield* journal.readAll()).length, 1)
      const follower = yield* Effect.forkChild(
        journal.subscribe({ stream: "a" }).pipe(Stream.take(3_000), Stream.runCollect),
        { startImmediately: true }
      )
      assert.deepEqual(yield* journal.append("a", large), { version: 3_000, position: 3_001 })
      assert.deepEqual(valuesOf(yield* journal.read("a")), upTo(3_000))
      assert.deepEqual(valuesOf(yield* journal.read("a", { afterVersion: 1_499, limit: 2 })), [1_499, 1_500])
      assert.deepEqual(valuesOf(yield* Fiber.join(follower)), upTo(3_000))
    })
  ),
  law("an-append-with-the-wrong-expectation-appends-nothing", (journal) =>
    Effect.gen(function* () {
      yield* journal.append("a", records(0, 2), { expectedVersion: 0 })
      const error = yield* Effect.flip(journal.append("a", records(9, 1), { expectedVersion: 1 }))
      assert.deepEqual({ ...error.reason }, { _tag: "VersionConflict", stream: "a", expected: 1, found: 2 })
      assert.deepEqual(valuesOf(yield* journal.readAll()), [0, 1])
      yield* journal.append("a", records(2, 1), { expectedVersion: 2 })
    })
  ),
  law("of-two-who-expect-the-same-version-one-wins", (journal) =>
    Effect.gen(function* () {
      const outcomes = yield* Effect.forEach(
        upTo(10),
        (value) => Effect.result(journal.append("a", [sampleRecord(value)], { expectedVersion: 0 })),
        { concurrency: "unbounded" }
      )
      assert.equal(outcomes.filter(({ _tag }) => _tag === "Success").length, 1)
      assert.equal((yield* journal.read("a")).length, 1)
    })
  ),
  law("an-empty-append-changes-nothing", (journal) =>
    Effect.gen(function* () {
      yield* journal.append("a", records(0, 2))
      assert.deepEqual(yield* journal.append("a", [], { expectedVersion: 2 }), { version: 2, position: 2 })
      assert.equal((yield* Effect.flip(journal.append("a", [], { expectedVersion: 7 }))).reason._tag, "VersionConflict")
      assert.deepEqual(yield* journal.append("b", []), { version: 0, position: 2 })
      assert.deepEqual(yield* journal.streams(), ["a"])
    })
  ),
  law("streams-are-listed-by-prefix-in-the-order-of-their-beginnings", (journal) =>
    Effect.gen(function* () {
      for (const name of ["run/b", "guest/a", "run/a", "run_x"]) yield* journal.append(name, records(0, 1))
      assert.deepEqual(yield* journal.streams("run/"), ["run/b", "run/a"])
      assert.deepEqual(yield* journal.streams(), ["run/b", "guest/a", "run/a", "run_x"])
    })
  ),
  law("any-text-survives", (journal) =>
    Effect.gen(function* () {
      const texts = ["", "\u0000", "naïve — ☃ 𝄞", "'; DROP TABLE entries; --", '\\"', "x".repeat(1 << 20)]
      yield* journal.append(
        "söme/stream '%_",
        texts.map((text) => ({ type: "T", schemaVersion: 7, json: JSON.stringify(text) }))
      )
      const entries = yield* journal.read("söme/stream '%_")
      assert.deepEqual(
        entries.map(({ json }) => JSON.parse(json) as unknown),
        texts
      )
      assert.ok(entries.every(({ schemaVersion, type }) => schemaVersion === 7 && type === "T"))
    })
  ),
  law("a-subscription-sees-history-and-then-what-comes-without-gap-or-repetition", (journal) =>
    Effect.gen(function* () {
      yield* journal.append("a", records(0, 1_500))
      const follower = yield* Effect.forkChild(journal.subscribe().pipe(Stream.take(4_000), Stream.runCollect), {
        startImmediately: true
      })
      for (let from = 1_500; from < 4_000; from += 25) {
        yield* journal.append("a", records(from, 25))
        if (from % 100 === 0) yield* Effect.yieldNow
      }
      assert.deepEqual(valuesOf(yield* Fiber.join(follower)), upTo(4_000))
    })
  ),
  law("a-subscription-to-a-stream-sees-only-that-stream", (journal) =>
    Effect.gen(function* () {
      yield* journal.append("other", records(100, 3))
      const follower = yield* Effect.forkChild(
        journal.subscribe({ stream: "a" }).pipe(Stream.take(4), Stream.runCollect),
        { startImmediately: true }
      )
      yield* Effect.yieldNow
      yield* journal.append("a", records(0, 2))
      yield* journal.append("other", records(103, 3))
      yield* journal.append("a", records(2, 2))
      assert.deepEqual(valuesOf(yield* Fiber.join(follower)), upTo(4))
    })
  ),
  law("a-subscription-begins-after-the-position-it-is-given", (journal) =>
    Effect.gen(function* () {
      yield* journal.append("a", records(0, 10))
      const seen = yield* journal.subscribe({ afterPosition: 7 }).pipe(Stream.take(3), Stream.runCollect)
      assert.deepEqual(valuesOf(seen), [7, 8, 9])
    })
  ),
  law("a-slow-subscriber-loses-nothing-and-holds-nobody-up", (journal) =>
    Effect.gen(function* () {
      const slow = yield* Effect.forkChild(
        journal.subscribe().pipe(
          Stream.mapEffect((entry) => Effect.as(Effect.yieldNow, entry)),
          Stream.take(3_000),
          Stream.runCollect
        ),
        { startImmediately: true }
      )
      for (let from = 0; from < 3_000; from += 500) yield* journal.append("a", records(from, 500))
      assert.equal((yield* journal.read("a")).length, 3_000)
      assert.deepEqual(valuesOf(yield* Fiber.join(slow)), upTo(3_000))
    })
  )
]
