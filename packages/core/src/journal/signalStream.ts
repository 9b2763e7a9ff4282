/**
 * A policy's input from outside its guest's timeline, in a journal: with it and the timeline, a replay makes the same
 * decision.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { TriggerSignal } from "../Firing.ts"
import { makeEventCodec } from "./EventCodec.ts"
import { Journal } from "./Journal.ts"
import type { JournalError } from "./JournalErrors.ts"

const codec = makeEventCodec<TriggerSignal>({
  schema: Schema.toCodecJson(TriggerSignal),
  typeOf: () => "TriggerSignal",
  types: { TriggerSignal: { version: 1, upcast: {} } }
})

/** Stream of the signals of a run's policy. */
export const signalStreamName = (runId: string): string => `signals/${runId}`

/** Appends a signal, durably. */
export const appendSignal = (runId: string, signal: TriggerSignal): Effect.Effect<void, JournalError, Journal> =>
  Effect.flatMap(Journal, (journal) => Effect.asVoid(journal.append(signalStreamName(runId), [codec.encode(signal)])))

/** The signals of a run's policy, in the order in which it took them in. */
export const readSignals = (runId: string): Effect.Effect<ReadonlyArray<TriggerSignal>, JournalError, Journal> =>
  Effect.gen(function* () {
    const entries = yield* (yield* Journal).read(signalStreamName(runId))
    return yield* Effect.forEach(entries, codec.decode)
  })
