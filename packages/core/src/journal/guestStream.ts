/**
 * What a guest did, in a journal: appended in batches while it runs.
 *
 * @module
 */
import { randomUUID } from "node:crypto"
import { Effect, Result, type Scope, Semaphore } from "effect"
import { GuestEvent } from "../GuestEvent.ts"
import { decodeEventLine, encodeEventLine } from "../timeline/eventLine.ts"
import { makeHeadSignal } from "../internal/headSignal.ts"
import type { Machine } from "../Vmm.ts"
import { Journal, type JournalRecord } from "./Journal.ts"
import { JournalError } from "./JournalErrors.ts"

const schemaVersion = 1

/** Most events that one append holds. */
const batchLimit = 16_384

/** How long events gather before they are appended. */
const batchDelay = "20 millis"

/** A name for the stream of one guest, unlike any other. */
export const newGuestStream = (): string => `guest/${randomUUID()}`

/** A guest event as a journal stores it. */
export const guestRecordOf = (event: GuestEvent): JournalRecord => ({
  type: event._tag,
  schemaVersion,
  json: encodeEventLine(event)
})

/** A recording under way. */
export interface GuestRecording {
  readonly stream: string
  /** Appends what has happened so far and is not in the journal yet. */
  readonly flush: Effect.Effect<void, JournalError>
}

/**
 * Appends a guest's events to a stream of their own, until the scope closes, and then the rest.
 *
 * The guest is not held up: events gather in memory while a batch is flushed, and go into the next one together.
 */
export const recordGuest = (
  stream: string,
  machine: Pick<Machine, "events$" | "eventsSoFar">
): Effect.Effect<GuestRecording, never, Journal | Scope.Scope> =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const appending = yield* Semaphore.make(1)
    const news = makeHeadSignal()
    let gathered: Array<GuestEvent> = []
    let nextSeq = 0

    const appendGathered = Effect.gen(function* () {
      while (gathered.length > 0) {
        const batch = gathered.slice(0, batchLimit)
        yield* journal.append(stream, batch.map(guestRecordOf))
        gathered = gathered.slice(batch.length)
        nextSeq = (batch.at(-1)?.seq ?? nextSeq - 1) + 1
      }
    })
    /** Also what was not handed to subscribers yet. */
    const flush = Effect.gen(function* () {
      yield* appendGathered
      const rest = yield* machine.eventsSoFar(nextSeq)
      gathered = rest.slice()
      yield* appendGathered
    })
    const alone = <A, E>(effect: Effect.Effect<A, E>) => Semaphore.withPermit(appending, Effect.uninterruptible(effect))
    const follow = Effect.gen(function* () {
      while (true) {
        const generation = news.generation()
        yield* alone(appendGathered)
        yield* news.raisedSince(generation)
        // What comes in the same turn of the event loop goes into the same batch.
        yield* Effect.sleep(batchDelay)
      }
    })
    const orWarn = <E extends { readonly message: string }>(effect: Effect.Effect<void, E>) =>
      effect.pipe(Effect.catch((error) => Effect.logWarning("guest events are not recorded any more", error.message)))

    yield* Effect.acquireRelease(
      Effect.sync(() =>
        machine.events$.subscribe({
          next: (event) => {
            // Those that a flush has taken from the log itself come again.
            if (event.seq < nextSeq || event.seq <= (gathered.at(-1)?.seq ?? -1)) return
            gathered.push(event)
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
    yield* Effect.forkScoped(orWarn(follow))
    return { stream, flush: alone(flush) }
  })

/** The events of a guest, from a stream of the journal. */
export const readGuest = (stream: string): Effect.Effect<ReadonlyArray<GuestEvent>, JournalError, Journal> =>
  Effect.gen(function* () {
    const entries = yield* (yield* Journal).read(stream)
    return yield* Effect.forEach(entries, (entry) => {
      const { json, type, version } = entry
      if (!(type in GuestEvent.cases) || entry.schemaVersion > schemaVersion) {
        return Effect.fail(
          new JournalError({
            reason: {
              _tag: "EventUnknown",
              stream,
              version,
              type,
              schemaVersion: entry.schemaVersion,
              supported: schemaVersion
            }
          })
        )
      }
      const decoded = decodeEventLine(json)
      return Result.isSuccess(decoded)
        ? Effect.succeed(decoded.success)
        : Effect.fail(
            new JournalError({ reason: { _tag: "EventMalformed", stream, version, type, detail: decoded.failure } })
          )
    })
  })
