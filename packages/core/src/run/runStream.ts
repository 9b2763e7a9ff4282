/**
 * Runs in a journal: stream names, and run events as records with their time, versions and upcasters.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { Journal, type JournalEntry, type JournalRecord } from "../journal/Journal.ts"
import { upcastFiring } from "../contract/upcasts.ts"
import { type EventHistory, makeEventCodec } from "../journal/EventCodec.ts"
import { JournalError } from "../journal/JournalErrors.ts"
import { isText, kindProblems } from "../optionProblems.ts"
import { RunEvent } from "./RunEvent.ts"
import { foldRun, type RunState } from "./RunState.ts"

const prefix = "run/"

/** Stream of a run. */
export const runStreamName = (runId: string): string => `${prefix}${runId}`

/** A run event and the host's wall clock when it was appended. */
export const StampedRunEvent = Schema.Struct({ atMillis: Schema.Number, event: RunEvent })
export type StampedRunEvent = typeof StampedRunEvent.Type

/** An upcaster that changes the event and leaves its time. */
const ofEvent =
  (change: (event: Readonly<Record<string, Schema.Json>>) => Readonly<Record<string, unknown>>) =>
  (json: Schema.Json): Schema.Json => {
    const stamped = json as Readonly<Record<string, Schema.Json>>
    const event = stamped["event"] as Readonly<Record<string, Schema.Json>>
    return { ...stamped, event: change(event) as Schema.Json }
  }

const histories: Readonly<Record<string, EventHistory>> = {
  // Renamed kinds and frames inside the event that it decided on.
  TriggerFired: {
    version: 2,
    upcast: { 1: ofEvent((event) => ({ ...event, firing: upcastFiring(event["firing"]) })) }
  },
  // The former name of `GuestFrozen`.
  GuestQuiesced: { version: 2, upcast: { 1: ofEvent((event) => ({ ...event, _tag: "GuestFrozen" })) } }
}

const codec = makeEventCodec<StampedRunEvent>({
  schema: Schema.toCodecJson(StampedRunEvent),
  typeOf: (stamped) => stamped.event._tag,
  types: {
    ...Object.fromEntries(Object.keys(RunEvent.cases).map((type) => [type, { version: 1, upcast: {} }])),
    ...histories
  }
})

/** A run event as a journal stores it. */
export const runRecordOf = (event: RunEvent, atMillis: number): JournalRecord => codec.encode({ atMillis, event })

/** The run event in a journal entry; older versions are upcast, later ones refused. */
export const decodeRunEntry = (entry: JournalEntry): Effect.Effect<StampedRunEvent, JournalError> => codec.decode(entry)

/** Ids of all runs in the journal, oldest first. */
export const listRuns: Effect.Effect<ReadonlyArray<string>, JournalError, Journal> = Effect.gen(function* () {
  const names = yield* (yield* Journal).streams(prefix)
  return names.map((name) => name.slice(prefix.length))
})

/** Every event of a run; empty for a run that the journal does not know. */
export const readRun = (runId: string): Effect.Effect<ReadonlyArray<StampedRunEvent>, JournalError, Journal> =>
  Effect.gen(function* () {
    const [problem] = kindProblems("runId", runId, "the id of a run", isText)
    if (problem !== undefined) {
      return yield* new JournalError({ reason: { _tag: "OptionsInvalid", problems: [problem] } })
    }
    const entries = yield* (yield* Journal).read(runStreamName(runId))
    return yield* Effect.forEach(entries, decodeRunEntry)
  })

/** The state of a run, and the version of its stream. */
export const loadRun = (
  runId: string
): Effect.Effect<{ readonly state: RunState; readonly version: number }, JournalError, Journal> =>
  Effect.map(readRun(runId), (events) => ({ state: foldRun(events.map(({ event }) => event)), version: events.length }))
