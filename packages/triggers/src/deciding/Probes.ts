/**
 * The effectful probes of a running policy: started, stopped, and heard when they complete.
 *
 * @module
 */
import type { TriggerSignal } from "@stillpoint/core"
import { Cause, Clock, Effect, Exit, Fiber, type Schema, Scheduler } from "effect"
import type { PolicyCommand } from "../automaton/PolicyStep.ts"
import type { GuestClock } from "./GuestClock.ts"

/** A completion that the policy has not taken in yet. */
export type Completion = Pick<TriggerSignal, "probe" | "arming" | "outcome" | "payload">

/** Maximum number of turns to wait for probes to come to rest, before the guest continues regardless. */
const maxTurns = 10_000

/** The probes of one running policy. Use in a scope of its own: {@link stopAll} must run at its end. */
export class Probes {
  private readonly clock: GuestClock
  private readonly fibers = new Map<string, Fiber.Fiber<void>>()
  private completions: Array<Completion> = []
  private scheduled = 0
  private isOver = false
  private onCompletion: () => void = () => {}

  constructor(clock: GuestClock) {
    this.clock = clock
  }

  /** Does a command that is about a probe. */
  readonly handle = (
    command: Extract<PolicyCommand, { readonly _tag: "StartProbe" | "StopProbe" }>
  ): Effect.Effect<void> => {
    const key = `${command.probe}#${command.arming}`
    if (command._tag === "StopProbe") {
      const fiber = this.fibers.get(key)
      this.fibers.delete(key)
      return fiber === undefined ? Effect.void : Fiber.interrupt(fiber)
    }
    if (this.isOver) return Effect.void
    const complete = (exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
      Effect.sync(() => {
        this.fibers.delete(key)
        if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return
        this.completions.push({ probe: command.probe, arming: command.arming, ...outcomeOf(exit) })
        this.onCompletion()
      })
    return command.run.pipe(
      // An interruption of the policy during the start of the probe must find it among the fibers.
      Effect.interruptible,
      Effect.onExit(complete),
      Effect.ignore,
      Effect.catchCause(() => Effect.void),
      Effect.provideService(Clock.Clock, this.clock),
      Effect.provideService(Scheduler.Scheduler, this.counted()),
      Effect.forkDetach({ startImmediately: true }),
      Effect.flatMap((fiber) =>
        Effect.sync(() => {
          // It may have completed while it was being started.
          if (fiber.pollUnsafe() === undefined) this.fibers.set(key, fiber)
        })
      ),
      Effect.uninterruptible
    )
  }

  /** Waits until every probe is done, asleep on the guest's clock, or waits for something outside; whether they have come to that. */
  readonly settle: Effect.Effect<boolean> = Effect.gen({ self: this }, function* () {
    for (let turn = 0; turn < maxTurns; turn++) {
      yield* Effect.yieldNow
      if (this.scheduled === 0) return true
    }
    return false
  })

  /** Whether some probe waits for something other than the guest's clock. */
  get isOutside(): boolean {
    return this.fibers.size > 0 && this.clock.sleeperCount === 0
  }

  /** Whether all of them sleep on the guest's clock. */
  get areAsleep(): boolean {
    return this.clock.sleeperCount >= this.fibers.size
  }

  get isEmpty(): boolean {
    return this.fibers.size === 0
  }

  /** Completions since the last call, in the order in which they came. */
  take(): ReadonlyArray<Completion> {
    const taken = this.completions
    this.completions = []
    return taken
  }

  get hasCompletions(): boolean {
    return this.completions.length > 0
  }

  /** Ends when a probe has completed. */
  readonly completion: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (this.hasCompletions) {
      resume(Effect.void)
      return
    }
    this.onCompletion = () => resume(Effect.void)
    return Effect.sync(() => {
      this.onCompletion = () => {}
    })
  })

  readonly stopAll: Effect.Effect<void> = Effect.suspend(() => Fiber.interruptAll([...this.fibers.values()]))

  /** Stops them all, and starts no more. */
  readonly retire: Effect.Effect<void> = Effect.suspend(() => {
    this.isOver = true
    return Effect.ensuring(
      this.stopAll,
      Effect.sync(() => {
        this.fibers.clear()
        this.completions = []
      })
    )
  })

  /** Whether they were stopped for good. */
  get areRetired(): boolean {
    return this.isOver
  }

  /** The scheduler of probes, which counts the tasks that can run at once. */
  private counted(): Scheduler.Scheduler {
    return new Scheduler.MixedScheduler("async", (run) => {
      this.scheduled += 1
      let isOpen = true
      const close = (): void => {
        if (isOpen) this.scheduled -= 1
        isOpen = false
      }
      const handle = setImmediate(() => {
        close()
        run()
      })
      return () => {
        close()
        clearImmediate(handle)
      }
    })
  }
}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Pick<Completion, "outcome" | "payload"> =>
  Exit.isSuccess(exit)
    ? { outcome: "succeeded", payload: toJson(exit.value) }
    : { outcome: "failed", payload: messageOf(Cause.squash(exit.cause)) }

const messageOf = (failure: unknown): string => {
  if (failure instanceof Error) return failure.message === "" ? failure.name : failure.message
  return typeof failure === "string" ? failure : (JSON.stringify(toJson(failure)) ?? String(failure))
}

const toJson = (value: unknown): Schema.Json => {
  try {
    const text = JSON.stringify(value)
    return text === undefined ? null : (JSON.parse(text) as Schema.Json)
  } catch {
    return null
  }
}
