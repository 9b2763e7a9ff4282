/**
 * The clones of a snapshot, with the time that each spent at its gate: one stream of the journal for each snapshot.
 *
 * @module
 */
import { type GateState, Journal, makeEventCodec } from "@stillpoint/core"
import { Clock, Effect, Exit, Option, Schema } from "effect"

/** One restore. */
export const Restore = Schema.Struct({
  /** The time of its beginning, milliseconds since 1970. */
  atMillis: Schema.Number,
  /** The states of its gate, and how long after the beginning each was reached. */
  states: Schema.Array(Schema.Struct({ state: Schema.String, afterMillis: Schema.Number })),
  outcome: Schema.Literals(["ready", "refused"])
})
export type Restore = typeof Restore.Type

const codec = makeEventCodec<Restore>({
  schema: Schema.toCodecJson(Restore),
  typeOf: () => "CloneRestored",
  types: { CloneRestored: { version: 1, upcast: {} } }
})

const streamOf = (digest: string): string => `restores/${digest}`

/** The restores of a snapshot, oldest first; none where nothing keeps them, or they cannot be read. */
export const readRestores = Effect.fnUntraced(function* (digest: string) {
  const journal = yield* Effect.serviceOption(Journal)
  if (Option.isNone(journal)) return []
  const entries = journal.value.read(streamOf(digest))
  return yield* Effect.orElseSucceed(
    Effect.flatMap(entries, (all) => Effect.forEach(all, codec.decode)),
    (): ReadonlyArray<Restore> => []
  )
})

/** Restores, and keeps how it went, if there is a journal. That it could not be kept is no failure of a restore. */
export const keptRestore = <A, E, R>(
  digest: string,
  restore: (onState: (state: GateState) => Effect.Effect<void>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const journal = yield* Effect.serviceOption(Journal)
    if (Option.isNone(journal)) return yield* restore(() => Effect.void)
    const atMillis = yield* Clock.currentTimeMillis
    const begun = yield* Clock.currentTimeNanos
    const states: Array<Restore["states"][number]> = []
    const onState = ({ _tag }: GateState) =>
      Effect.map(Clock.currentTimeNanos, (now) => {
        states.push({ state: _tag, afterMillis: Number(now - begun) / 1e6 })
      })
    return yield* Effect.onExit(restore(onState), (exit) => {
      const outcome = Exit.isSuccess(exit) ? "ready" : "refused"
      const record = codec.encode({ atMillis, states, outcome })
      return Effect.ignore(journal.value.append(streamOf(digest), [record], { survives: "process" }))
    })
  })
