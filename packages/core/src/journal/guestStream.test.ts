import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import * as fc from "fast-check"
import { Subject } from "rxjs"
import type { GuestEvent } from "../GuestEvent.ts"
import type { Machine } from "../Vmm.ts"
import { guestRecordOf, readGuest, recordGuest } from "./guestStream.ts"
import { Journal, type JournalShape } from "./Journal.ts"
import { JournalError } from "./JournalErrors.ts"
import { makeMemoryJournal } from "./memoryJournal.ts"

/** A machine that emits the given events, to subscribers with a delay. */
const talkingMachine = () => {
  const log: Array<GuestEvent> = []
  const live = new Subject<GuestEvent>()
  let told = 0
  const machine: Pick<Machine, "events$" | "eventsSoFar"> = {
    events$: live,
    eventsSoFar: (seq = 0, most = Infinity) => Effect.sync(() => log.slice(seq, seq + most))
  }
  return {
    machine,
    log,
    say: (count: number): void => {
      for (let index = 0; index < count; index++)
        log.push({ _tag: "PagesDirtied", seq: log.length, atNanos: log.length, count: index })
    },
    tellSubscribers: (): void => {
      while (told < log.length) {
        const event = log[told]
        told += 1
        if (event !== undefined) live.next(event)
      }
    }
  }
}

const withJournal = (journal: JournalShape) => Effect.provideService(Journal, journal)

describe("a recorded guest", () => {
  it.live("has-every-event-in-its-stream-once-and-in-order-whenever-it-is-flushed", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.oneof(fc.nat({ max: 5 }), fc.constantFrom("tell", "flush", "wait")), { maxLength: 12 }),
          async (steps) => {
            const journal = makeMemoryJournal()
            const { log, machine, say, tellSubscribers } = talkingMachine()
            const read = Effect.runPromise(
              Effect.gen(function* () {
                const scope = yield* Scope.make()
                const recording = yield* Scope.provide(recordGuest("guest/a", machine), scope)
                for (const step of steps) {
                  if (typeof step === "number") say(step)
                  else if (step === "tell") tellSubscribers()
                  else if (step === "wait") yield* Effect.sleep("21 millis")
                  else {
                    yield* recording.flush
                    assert.deepStrictEqual(yield* readGuest("guest/a"), log)
                  }
                }
                yield* Scope.close(scope, Exit.void)
                return yield* readGuest("guest/a")
              }).pipe(withJournal(journal))
            )
            assert.deepStrictEqual(await read, log)
          }
        ),
        { numRuns: 60 }
      )
    )
  )

  it.live("is-appended-by-the-batch-and-not-by-the-event", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const journal = makeMemoryJournal()
        let appends = 0
        const counting: JournalShape = {
          ...journal,
          append: (...append) => {
            appends += 1
            return journal.append(...append)
          }
        }
        const { machine, say, tellSubscribers } = talkingMachine()
        const recording = yield* recordGuest("guest/a", machine).pipe(withJournal(counting))
        say(10_000)
        tellSubscribers()
        yield* recording.flush
        assert.strictEqual(appends, 3)
      })
    )
  )

  it.live("has-a-flood-whole-and-no-append-holds-more-than-a-batch-of-it", () =>
    Effect.gen(function* () {
      const journal = makeMemoryJournal()
      let largest = 0
      const measuring: JournalShape = {
        ...journal,
        append: (stream, records, ...rest) => {
          largest = Math.max(largest, records.length)
          return journal.append(stream, records, ...rest)
        }
      }
      const { log, machine, say, tellSubscribers } = talkingMachine()
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* recordGuest("guest/a", machine)
          for (let round = 0; round < 3; round++) {
            say(10_000)
            tellSubscribers()
            yield* Effect.sleep("21 millis")
          }
        })
      ).pipe(withJournal(measuring))
      assert.deepStrictEqual(yield* readGuest("guest/a").pipe(withJournal(journal)), log)
      assert.isAtMost(largest, 4096)
    })
  )

  it.live("loses-nothing-to-a-journal-that-fails-for-a-while", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const journal = makeMemoryJournal()
        let isFull = true
        const full = new JournalError({ reason: { _tag: "DiskFull", path: "journal" } })
        const failing: JournalShape = {
          ...journal,
          append: (...append) => Effect.suspend(() => (isFull ? Effect.fail(full) : journal.append(...append)))
        }
        const { log, machine, say, tellSubscribers } = talkingMachine()
        const recording = yield* recordGuest("guest/a", machine).pipe(withJournal(failing))
        say(3)
        tellSubscribers()
        assert.strictEqual((yield* Effect.flip(recording.flush)).reason._tag, "DiskFull")
        // Longer than events gather, so followers have met the full disk too.
        yield* Effect.sleep("40 millis")
        say(2)
        tellSubscribers()
        isFull = false
        yield* recording.flush
        assert.deepStrictEqual(yield* readGuest("guest/a").pipe(withJournal(journal)), log)
      })
    )
  )

  it.effect("of-a-later-build-is-refused-by-name", () =>
    Effect.gen(function* () {
      const journal = makeMemoryJournal()
      const record = guestRecordOf({ _tag: "GuestIdle", seq: 0, atNanos: 0 })
      for (const [index, later] of [
        { ...record, schemaVersion: 2 },
        { ...record, type: "GuestDreamt" }
      ].entries()) {
        yield* journal.append(`guest/${index}`, [later])
        const { reason } = yield* Effect.flip(readGuest(`guest/${index}`)).pipe(withJournal(journal))
        assert.strictEqual(reason._tag, "EventUnknown")
      }
      yield* journal.append("guest/bad", [{ ...record, json: "{}" }])
      const { reason } = yield* Effect.flip(readGuest("guest/bad")).pipe(withJournal(journal))
      assert.strictEqual(reason._tag, "EventMalformed")
    })
  )
})
