/**
 * Appends a guest's events to a journal in batches while it runs.
 *
 * @module
 */
import { randomUUID } from "node:crypto"
import { Effect, Result, type Scope, Semaphore } from "effect"
import { guestEventHistory } from "../contract/upcasts.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import { decodeEventValue, encodeEventLine } from "../timeline/eventLine.ts"
import { makeHeadSignal } from "../internal/headSignal.ts"
import type { MachineError } from "../MachineErrors.ts"
import type { Machine } from "../Vmm.ts"
import { makeEventCodecOf } from "./EventCodec.ts"
import { Journal, type JournalRecord } from "./Journal.ts"
import type { JournalError } from "./JournalErrors.ts"

const codec = makeEventCodecOf<GuestEvent>({
  write: encodeEventLine,
  read: decodeEventValue,
  typeOf: (event) => event._tag,
  types: guestEventHistory
})

/**
 * Maximum number of events that are encoded and appended at once, and that gather in memory: some milliseconds of the event loop,
 * some hundred KiB. Further events during an append are read from the machine's own log.
 */
const batchLimit = 4096

/**
 * Time for which events gather before they are appended. A killed process loses this much of its guest's events, as if it had
 * been killed that much earlier. An event of the run itself, such as a trigger's decision, flushes the disk, and these events
 * with it.
 */
const batchDelay = "20 millis"

/** A name for the stream of one guest, unlike any other. */
export const newGuestStream = (): string => `guest/${randomUUID()}`

/** A guest event as a journal stores it. */
export const guestRecordOf: (event: GuestEvent) => JournalRecord = codec.encode

/** A recording under way. */
export interface GuestRecording {
  readonly stream: string
  /** Appends the events so far that are not in the journal yet. */
  readonly flush: Effect.Effect<void, JournalError | MachineError>
}

/**
 * Appends a guest's events to a stream of their own, until the scope closes, and then the rest.
 *
 * The guest does not wait: events gather in memory while a batch is appended, and go into the next one together. Events beyond a
 * batch stay in the machine's log until their turn. After a failure of the journal, the next attempt is at `flush` or the end;
 * until then the machine's own log keeps the events.
 */
export const recordGuest = (
  stream: string,
  machine: Pick<Machine, "events$" | "eventsSoFar">
): Effect.Effect<GuestRecording, never, Journal | Scope.Scope> =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const appending = yield* Semaphore.make(1)
    const news = makeHeadSignal()
    let isFollowing = true
    let gathered: Array<GuestEvent> = []
    /** Whether more events came than could gather. */
    let isBehind = false
    let nextSeq = 0

    const append = Effect.fnUntraced(function* (events: ReadonlyArray<GuestEvent>) {
      if (events.length === 0) return
      yield* journal.append(stream, events.map(codec.encode), { survives: "process" })
      nextSeq = (events.at(-1)?.seq ?? nextSeq - 1) + 1
    })
    /** Appends from the machine's own log until nothing is left, including events that no subscriber has received yet. */
    const flush: Effect.Effect<void, JournalError | MachineError> = Effect.gen(function* () {
      while (true) {
        const events = yield* machine.eventsSoFar(nextSeq, batchLimit)
        yield* append(events)
        if (events.length < batchLimit) return
        yield* Effect.yieldNow
      }
    })
    const appendGathered = Effect.suspend(() => {
      // Those that a flush has taken from the log itself come again.
      const events = gathered.filter(({ seq }) => seq >= nextSeq)
      const isWhole = !isBehind && (events[0]?.seq ?? nextSeq) === nextSeq
      gathered = []
      isBehind = false
      return isWhole ? append(events) : flush
    })
    const alone = <A, E>(effect: Effect.Effect<A, E>) => Semaphore.withPermit(appending, Effect.uninterruptible(effect))
    const follow = Effect.gen(function* () {
      while (true) {
        const generation = news.generation()
        yield* alone(appendGathered)
        yield* news.raisedSince(generation)
        // Events that come during this time go into the same batch.
        yield* Effect.sleep(batchDelay)
      }
    })
    const orWarn = <E extends { readonly message: string }>(effect: Effect.Effect<void, E>) =>
      effect.pipe(Effect.catch((error) => Effect.logWarning("guest events are not recorded any more", error.message)))

    yield* Effect.acquireRelease(
      Effect.sync(() =>
        machine.events$.subscribe({
          next: (event) => {
            if (!isFollowing) return
            if (gathered.length < batchLimit) gathered.push(event)
            else isBehind = true
            news.raise()
          },
          complete: news.raise,
          error: news.raise
        })
      ),
      (subscription) =>
        Effect.andThen(
          Effect.sync(() => subscription.unsubscribe()),
          orWarn(alone(flush))
        )
    )
    const stop = Effect.sync(() => {
      isFollowing = false
      gathered = []
    })
    yield* Effect.forkScoped(orWarn(Effect.ensuring(follow, stop)))
    return { stream, flush: alone(flush) }
  })

/** The events of a guest, from a stream of the journal; older versions are upcast, later ones refused. */
export const readGuest = (stream: string): Effect.Effect<ReadonlyArray<GuestEvent>, JournalError, Journal> =>
  Effect.gen(function* () {
    const entries = yield* (yield* Journal).read(stream)
    const events: Array<GuestEvent> = []
    for (const entry of entries) {
      const decoded = codec.decodeResult(entry)
      if (Result.isFailure(decoded)) return yield* decoded.failure
      events.push(decoded.success)
    }
    return events
  })
