/**
 * Notes the restores of this process in the journal, apart from the restores themselves.
 *
 * ```text
 *  restore ── note ──▶ counts of each snapshot ── at once, then after 1 s, 2 s, 4 s … 10 min ──▶ one event of the journal
 * ```
 *
 * The first restore is written at once; after each write, those of the following pause are counted together, and each pause is
 * twice as long as the one before. So a process that restores without end writes a few events in its first minutes and 144 a
 * day later, each with the counts and at most ten restores in full. The rest is written when the layer is closed; a killed
 * process loses what it counted in its last pause.
 *
 * @module
 */
import { type Admission, Gate, type GateState, Journal } from "@stillpoint/core"
import { Clock, Context, Effect, Layer, Option, Semaphore } from "effect"
import { countedOnce, type Restores, restoresCodec, restoresStream, together } from "./Restores.ts"

const firstPauseMillis = 1000
const longestPauseMillis = 600_000

const make = Effect.gen(function* () {
  const journal = yield* Journal
  const scope = yield* Effect.scope
  const writing = Semaphore.makeUnsafe(1)
  let counts = new Map<string, Restores>()
  let isWriting = false
  let pauseMillis = 0
  let writtenAtMillis = 0

  /** Adds what was counted before to what was counted since. */
  const putBack = (digest: string, earlier: Restores): void => {
    const since = counts.get(digest)
    counts.set(digest, since === undefined ? earlier : together(earlier, since))
  }

  /** What cannot be written remains counted: that is no failure of a restore. */
  const write = Effect.suspend(() => {
    const taken = counts
    counts = new Map()
    return Effect.forEach(
      taken,
      ([digest, restores]) =>
        Effect.catchCause(
          journal.append(restoresStream(digest), [restoresCodec.encode(restores)], { survives: "process" }),
          () => Effect.sync(() => putBack(digest, restores))
        ),
      { discard: true }
    )
  }).pipe(Effect.uninterruptible, Semaphore.withPermit(writing))

  /** Waits for the end of the pause, and writes; again if restores were counted meanwhile. */
  const writeAll: Effect.Effect<void> = Effect.gen(function* () {
    while (counts.size > 0) {
      const now = yield* Clock.currentTimeMillis
      yield* Effect.sleep(Math.max(0, Math.min(pauseMillis, writtenAtMillis + pauseMillis - now)))
      yield* write
      writtenAtMillis = yield* Clock.currentTimeMillis
      pauseMillis = Math.min(longestPauseMillis, Math.max(firstPauseMillis, pauseMillis * 2))
    }
    isWriting = false
  })

  yield* Effect.addFinalizer(() => write)

  const note = (digest: string, admission: Admission): Effect.Effect<void> =>
    Effect.suspend(() => {
      const earlier = counts.get(digest)
      const one = countedOnce(admission)
      counts.set(digest, earlier === undefined ? one : together(earlier, one))
      if (isWriting) return Effect.void
      isWriting = true
      return Effect.asVoid(Effect.forkIn(writeAll, scope))
    })
  return { note }
})

/** Notes the restores of named snapshots, for reports. */
export class RestoreLog extends Context.Service<
  RestoreLog,
  {
    /** Counts a restore of the snapshot with this digest; it is written later. */
    readonly note: (digest: string, admission: Admission) => Effect.Effect<void>
  }
>()("stillpoint/sandbox/RestoreLog") {
  /** Notes them in the journal. */
  static readonly layer = Layer.effect(RestoreLog, make)
}

/** Notes how a clone came through its gate; without a log, nothing is noted. */
export const noteOf = (digest: string) =>
  Effect.map(
    Effect.serviceOption(RestoreLog),
    Option.match({
      onNone:
        () =>
        (_admission: Admission): Effect.Effect<void> =>
          Effect.void,
      onSome: (log) => (admission: Admission) => log.note(digest, admission)
    })
  )

/** Runs the gate of a clone of this snapshot, and notes how it went. */
export const noted = <A, E, R>(
  digest: string,
  gate: (onState: (state: GateState) => Effect.Effect<void>) => Effect.Effect<A, E, R>
) => Effect.flatMap(noteOf(digest), (note) => Gate.watched(gate, note))
