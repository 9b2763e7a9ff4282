import { assert, describe, it } from "@effect/vitest"
import { type Admission, Journal, JournalError } from "@stillpoint/core"
import { Clock, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { noteOf, RestoreLog } from "./RestoreLog.ts"
import { mostFirst, mostLatest, readRestores, restoresCodec, restoresStream } from "./Restores.ts"

const digest = "0".repeat(64)

const admission = (atMillis: number, millis: number, outcome: Admission["outcome"] = "ready"): Admission => ({
  atMillis,
  outcome,
  states: [
    { state: "Verified", afterMillis: millis / 2 },
    ...(outcome === "ready" ? [{ state: "Ready" as const, afterMillis: millis }] : [])
  ]
})

const noteNow = (millis: number, outcome?: Admission["outcome"]) =>
  Effect.gen(function* () {
    const note = yield* noteOf(digest)
    yield* note(admission(yield* Clock.currentTimeMillis, millis, outcome))
  })

/** A process of its own over the same journal, to its end. */
const inProcess = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.provide(work, Layer.fresh(RestoreLog.layer), { local: true })
const inJournal = Effect.provide(Journal.layerMemory)
const entries = Journal.use((journal) => journal.read(restoresStream(digest)))

describe("the log of restores", () => {
  it.effect("counts-every-restore-of-a-server-that-has-a-million-and-writes-a-few-events", () =>
    Effect.gen(function* () {
      const hours = 24
      yield* inProcess(
        Effect.gen(function* () {
          const note = yield* noteOf(digest)
          for (let second = 0; second < hours * 3600; second++) {
            const now = yield* Clock.currentTimeMillis
            // Twelve a second, most of a day: a million.
            for (let index = 0; index < 12; index++) yield* note(admission(now, index + 1))
            if (second % 60 === 0) yield* TestClock.adjust("60 seconds")
          }
        })
      )
      const written = yield* entries
      assert.isAtMost(written.length, 10 + hours * 6)
      const { first, latest, ready, readyMillis, refused } = yield* readRestores(digest)
      assert.deepStrictEqual([ready, refused], [hours * 3600 * 12, 0])
      assert.deepStrictEqual(readyMillis, { total: ready * 6.5, longest: 12 })
      assert.strictEqual(first[0]?.atMillis, 0)
      assert.strictEqual(latest.at(-1)?.atMillis, hours * 3_600_000)
      for (const entry of written) {
        const one = yield* restoresCodec.decode(entry)
        assert.isAtMost(one.first.length + one.latest.length, mostFirst + mostLatest)
        assert.isBelow(entry.json.length, 4096)
      }
    }).pipe(inJournal)
  )

  it.effect("writes-the-first-at-once-and-no-other-before-its-pause-is-over", () =>
    Effect.gen(function* () {
      const counts: Array<number> = []
      const count = Effect.andThen(
        Effect.flatMap(entries, (all) => Effect.sync(() => void counts.push(all.length))),
        Effect.void
      )
      yield* inProcess(
        Effect.gen(function* () {
          yield* noteNow(1)
          yield* TestClock.adjust("0 millis")
          yield* count
          for (const pause of ["999 millis", "1 millis", "1999 millis", "1 millis"] as const) {
            yield* noteNow(1)
            yield* TestClock.adjust(pause)
            yield* count
          }
          yield* noteNow(1)
        })
      )
      yield* count
      assert.deepStrictEqual(counts, [1, 1, 2, 2, 3, 4])
      assert.strictEqual((yield* readRestores(digest)).ready, 6)
    }).pipe(inJournal)
  )

  it("several-processes-at-once-lose-none-and-the-latest-and-the-first-are-those", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ by: fc.nat(2), later: fc.nat(5000), isReady: fc.boolean() }), { maxLength: 60 }),
        (steps) =>
          Effect.gen(function* () {
            const begun = yield* Clock.currentTimeMillis
            const times: Array<number> = []
            const process = Effect.flatMap(RestoreLog, Effect.succeed)
            yield* Effect.scoped(
              Effect.gen(function* () {
                const logs = yield* Effect.forEach([0, 1, 2], () =>
                  Effect.flatMap(Layer.build(Layer.fresh(RestoreLog.layer)), (built) => Effect.provide(process, built))
                )
                for (const { by, isReady, later } of steps) {
                  yield* TestClock.adjust(later)
                  const now = yield* Clock.currentTimeMillis
                  times.push(now)
                  yield* logs[by]?.note(digest, admission(now, 2, isReady ? "ready" : "refused")) ?? Effect.void
                }
              })
            )
            const { first, latest, ready, readyMillis, refused } = yield* readRestores(digest)
            const readies = steps.filter(({ isReady }) => isReady).length
            assert.deepStrictEqual([ready, refused], [readies, steps.length - readies])
            assert.strictEqual(readyMillis.total, readies * 2)
            const full = [...first, ...latest].map(({ atMillis }) => atMillis)
            assert.deepStrictEqual(
              full,
              full.toSorted((one, other) => one - other)
            )
            assert.deepStrictEqual([full[0], full.at(-1)], [times[0], times.at(-1)])
            assert.isAtLeast(times[0] ?? begun, begun)
          }).pipe(
            Effect.provide(Layer.mergeAll(Journal.layerMemory, TestClock.layer()), { local: true }),
            Effect.runPromise
          )
      )
    ))

  it.effect("what-cannot-be-written-is-no-failure-and-is-written-later", () => {
    let isFull = true
    const filling = Layer.effect(
      Journal,
      Effect.map(Journal, (journal) => ({
        ...journal,
        append: (...args: Parameters<typeof journal.append>) =>
          isFull
            ? Effect.fail(new JournalError({ reason: { _tag: "DiskFull", path: "/j" } as never }))
            : journal.append(...args)
      }))
    )
    return inProcess(
      Effect.gen(function* () {
        yield* noteNow(1)
        yield* TestClock.adjust("1 minute")
        yield* noteNow(1, "refused")
        isFull = false
        yield* TestClock.adjust("10 minutes")
        const { ready, refused } = yield* readRestores(digest)
        assert.deepStrictEqual([ready, refused], [1, 1])
      })
    ).pipe(Effect.provide(Layer.provide(filling, Journal.layerMemory)))
  })

  it.effect("one-restore-as-it-was-written-before-is-counted", () =>
    Effect.gen(function* () {
      const { append } = yield* Journal
      const one = { atMillis: 5, states: [{ state: "Ready", afterMillis: 3 }], outcome: "ready" }
      yield* append(restoresStream(digest), [{ type: "CloneRestored", schemaVersion: 1, json: JSON.stringify(one) }])
      assert.deepStrictEqual(yield* readRestores(digest), {
        ready: 1,
        refused: 0,
        readyMillis: { total: 3, longest: 3 },
        first: [one as never],
        latest: []
      })
    }).pipe(inJournal)
  )
})
