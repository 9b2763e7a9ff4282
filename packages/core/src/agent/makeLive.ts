/**
 * Machines that live, over runs that last until they are paused.
 *
 * @module
 */
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Scope } from "effect"
import { durationProblems, isRecord, kindProblems, unknownProblems } from "../optionProblems.ts"
import type { LiveMachine, LiveOptions, LiveState } from "../LiveMachine.ts"
import { MachineError } from "../MachineErrors.ts"
import type { Machine, MachineStop } from "../Vmm.ts"
import type { Turns } from "./turns.ts"

/** Options as a machine takes them, in nanoseconds; `null`: not set. */
export interface LiveRun {
  readonly idleTimeoutNanos: number | null
  readonly clockToleranceNanos: number | null
}

/** A machine as its life needs it. */
export interface LivePort {
  /** Runs the guest at the host's pace until it ends or is paused; interruption pauses it. */
  readonly run: (options: LiveRun) => Effect.Effect<MachineStop, MachineError>
  /** The state of the live machine; `null` if it is not live. */
  readonly state: Effect.Effect<LiveState | null>
  readonly nowNanos: Effect.Effect<number>
}

const optionNames = { idleTimeout: true, clockTolerance: true } as const satisfies Record<keyof LiveOptions, true>

const problemsOf = (options: LiveOptions): ReadonlyArray<string> => {
  const given: unknown = options
  if (!isRecord(given)) return kindProblems("live", given, "{ idleTimeout, clockTolerance }", isRecord)
  return [
    ...unknownProblems("live", options, optionNames),
    ...durationProblems("live.idleTimeout", options.idleTimeout),
    ...durationProblems("live.clockTolerance", options.clockTolerance)
  ]
}

/** Forever is not set. */
const nanosOf = (input: Duration.Input | undefined): number | null => {
  if (input === undefined) return null
  const nanos = Duration.toMillis(Duration.fromInputUnsafe(input)) * 1e6
  return Number.isFinite(nanos) ? nanos : null
}

const still = (status: "paused" | "ended"): LiveState => ({ status, lostNanos: 0, clockErrorNanos: 0, wakes: 0 })

/** Implements `machine.live`. */
export const makeLive =
  (port: LivePort, turns: Turns): Machine["live"] =>
  (options = {}) =>
    Effect.gen(function* () {
      const problems = problemsOf(options)
      if (problems.length > 0) {
        return yield* new MachineError({ reason: { _tag: "InvalidRun", message: problems.join("; ") } })
      }
      const asked = {
        idleTimeoutNanos: nanosOf(options.idleTimeout),
        clockToleranceNanos: nanosOf(options.clockTolerance)
      }
      const scope = yield* Scope.Scope
      const ended = yield* Deferred.make<MachineStop, MachineError>()
      const release = yield* turns.hold
      yield* Scope.addFinalizer(scope, Effect.sync(release))
      /** The run in progress. */
      let running: Fiber.Fiber<MachineStop, MachineError> | null = null
      let isOver = false
      const end = (exit: Exit.Exit<MachineStop, MachineError>): Effect.Effect<void> =>
        Effect.suspend(() => {
          running = null
          if (Exit.isSuccess(exit) ? exit.value.reason === "paused" : Cause.hasInterruptsOnly(exit.cause)) {
            return Effect.void
          }
          isOver = true
          // Callers that wait for the guest notice its end themselves.
          release()
          return Effect.asVoid(Deferred.done(ended, exit))
        })
      const start = Effect.suspend(() => {
        if (isOver || running !== null) return Effect.void
        return Effect.map(
          Effect.forkIn(Effect.onExit(port.run(asked), end), scope, { startImmediately: true }),
          (fiber) => {
            if (fiber.pollUnsafe() === undefined) running = fiber
          }
        )
      }).pipe(Effect.uninterruptible)
      yield* start
      const live: LiveMachine = {
        state: Effect.suspend(() =>
          isOver
            ? Effect.succeed(still("ended"))
            : running === null
              ? Effect.succeed(still("paused"))
              : Effect.map(port.state, (state) => state ?? { ...still("paused"), status: "awake" as const })
        ),
        pause: Effect.suspend(() => {
          const fiber = running
          return fiber === null ? port.nowNanos : Effect.andThen(Fiber.interrupt(fiber), port.nowNanos)
        }),
        resume: start,
        ended: Deferred.await(ended)
      }
      return live
    })
