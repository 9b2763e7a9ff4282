/**
 * The end of waiting: a policy that can fire no more, or waits for longer than it may, ends by a typed error.
 *
 * @module
 */
import { Deferred, Duration, Effect } from "effect"
import { unpackingReport } from "../agent/kernelReports.ts"
import type { GuestEvent, GuestEventKind } from "../GuestEvent.ts"
import type { AdvanceUntil, GuestTimeline, TimelineAdvance } from "../GuestTimeline.ts"
import type { Trigger } from "../Trigger.ts"
import {
  KernelPanicked,
  RootIncomplete,
  WatchLimitReached,
  WorkloadEnded,
  WorkloadNotStarted
} from "./PipelineErrors.ts"

/** The limit of the wait for a policy. */
export interface WatchLimit {
  /**
   * Guest time that a policy may wait, for each of its firings; 10 minutes if absent. A policy that begins by waiting for a later
   * time than that is given until then. `Infinity`: for as long as the guest lives.
   */
  readonly watchLimit?: Duration.Input
}

/** A timeline for a policy, and how waiting on it ends if not by a decision. */
export interface WatchGuard {
  readonly timeline: GuestTimeline["Service"]
  /** Fails as soon as the policy can no longer fire; from then on the policy gets no events. */
  readonly ended: Effect.Effect<never, WatchFailure>
  /** Lets the policy wait for as long again. */
  readonly renew: Effect.Effect<void>
}

/** Why the wait for a policy ended. */
export type WatchFailure = WorkloadNotStarted | WorkloadEnded | WatchLimitReached | RootIncomplete | KernelPanicked

/** Events that only a workload causes. */
const broughtByWorkload: ReadonlySet<GuestEventKind> = new Set<GuestEventKind>([
  "WorkloadPreExec",
  "ListenerBound",
  "WorkloadParked",
  "WorkloadExited",
  "WorkloadFailed",
  "Custom"
])

/** Stops after which no event can come. */
const hasEnded: ReadonlySet<TimelineAdvance["stop"]> = new Set<TimelineAdvance["stop"]>([
  "halted",
  "reset",
  "fault",
  "ended"
])

const defaultLimit: Duration.Input = "10 minutes"

/**
 * Guards a policy's wait. The policy gets every event in any case; one that is interested in `WorkloadFailed` or `WorkloadExited`
 * handles these itself.
 */
export const watchGuard = (
  policy: Pick<Trigger, "name" | "interest">,
  inner: GuestTimeline["Service"],
  options: WatchLimit = {},
  memoryMib: number | null = null
) =>
  Effect.gen(function* () {
    const over = yield* Deferred.make<never, WatchFailure>()
    const limit = Duration.fromInputUnsafe(options.watchLimit ?? defaultLimit)
    const limitNanos = Duration.toMillis(limit) * 1e6
    const watched = (["WorkloadFailed", "WorkloadExited"] as const).filter((kind) => !policy.interest.includes(kind))
    let limitAt = (yield* inner.origin) + limitNanos
    let isFirst = true
    let exited: Extract<GuestEvent, { readonly _tag: "WorkloadExited" }> | null = null
    /** A command may have started a program that outlives it and takes the workload's place. */
    let hasCommands = false
    let hasAgent = false
    let incomplete: RootIncomplete | null = null
    let panicked: Extract<GuestEvent, { readonly _tag: "GuestPanicked" }> | null = null

    const note = (event: GuestEvent): void => {
      if (event._tag === "WorkloadExited" && watched.includes(event._tag)) exited = event
      if (event._tag === "ExecStarted") hasCommands = true
      if (event._tag === "AgentReady") hasAgent = true
      if (event._tag === "GuestPanicked") panicked = event
      const report = event._tag === "SerialLine" && !hasAgent ? unpackingReport(event.text) : undefined
      if (report !== undefined) incomplete ??= new RootIncomplete({ report, atNanos: event.atNanos, memoryMib })
    }
    const failureOf = ({ events, stop }: TimelineAdvance): WatchFailure | null => {
      if (incomplete !== null) return incomplete
      // Believed once the guest has ended: until then it may be a line that a workload printed.
      if (panicked !== null && hasEnded.has(stop) && !policy.interest.includes("GuestPanicked")) {
        return new KernelPanicked({ policy: policy.name, panic: panicked.message, atNanos: panicked.atNanos })
      }
      const failed = events.find((event) => event._tag === "WorkloadFailed")
      if (failed === undefined || !watched.includes("WorkloadFailed")) return null
      return new WorkloadNotStarted({ step: failed.step, errno: failed.errno, detail: failed.message })
    }
    /** Whether the policy waits only for a workload that is gone. */
    const isForlorn = (until: AdvanceUntil): boolean =>
      !hasCommands &&
      until.atNanos === null &&
      until.pace !== "realTime" &&
      until.kinds.every((kind) => broughtByWorkload.has(kind))

    const end = (failure: WatchFailure) => Effect.andThen(Deferred.fail(over, failure), Effect.never)

    const advance = (until: AdvanceUntil): ReturnType<GuestTimeline["Service"]["advance"]> =>
      Effect.gen(function* () {
        const { atNanos, kinds } = until
        if (isFirst && atNanos !== null) limitAt = Math.max(limitAt, atNanos)
        isFirst = false
        const nowNanos = yield* inner.nowNanos
        const isDue = atNanos !== null && atNanos <= nowNanos
        if (exited !== null && isForlorn(until)) {
          const { code, signal } = exited
          return yield* end(new WorkloadEnded({ policy: policy.name, code, signal, atNanos: exited.atNanos, kinds }))
        }
        if (nowNanos >= limitAt && !isDue) {
          return yield* end(new WatchLimitReached({ policy: policy.name, limitMillis: limitNanos / 1e6, kinds }))
        }
        const limited = Math.min(atNanos ?? Infinity, limitAt)
        const advanced = yield* inner.advance({
          ...until,
          kinds: [...kinds, ...watched],
          atNanos: limited === Infinity ? null : limited
        })
        advanced.events.forEach(note)
        const failed = failureOf(advanced)
        return failed === null ? advanced : yield* end(failed)
      })

    return {
      timeline: { ...inner, advance },
      ended: Deferred.await(over),
      renew: Effect.map(inner.nowNanos, (now) => {
        limitAt = now + limitNanos
      })
    } satisfies WatchGuard
  })
