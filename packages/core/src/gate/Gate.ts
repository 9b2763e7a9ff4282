/**
 * The gate that every clone passes: verified, given a new identity, acknowledged by its guest.
 *
 * @module
 */
import { Duration, Effect, Exit, Scope } from "effect"
import type { AgentError } from "../AgentErrors.ts"
import { type MachineError } from "../MachineErrors.ts"
import type { Snapshot } from "../snapshot/SnapshotStore.ts"
import type { Machine } from "../Vmm.ts"
import { type DrawnIdentity, drawIdentity, renewalOf } from "./FreshIdentity.ts"
import { GateError, type GateReason } from "./GateErrors.ts"
import type { GateOptions } from "./GateOptions.ts"
import { loadSnapshot } from "./loadSnapshot.ts"
import { gateProblems } from "./gateProblems.ts"
import { gateLoaded, type GateInput, type GateState, stepGate } from "./GateState.ts"
import { hostNanos, makeWallClock, withWallClock } from "./WallClock.ts"

export { watched } from "./Admission.ts"

/** A machine that has passed its gate. */
export interface GatedMachine {
  /** The machine. Its wall clock and hardware clock follow the host's: they are corrected before each run. */
  readonly machine: Machine
  /** The identity that its guest has acknowledged. */
  readonly identity: DrawnIdentity
  /** Guest time of the acknowledgement. */
  readonly acknowledgedAtNanos: number
  /**
   * Estimated difference between the host's wall clock and the guest's, nanoseconds; 0 if the guest's clock was left or chosen. It
   * grows while the guest is stopped, and is back within the tolerance when the guest continues.
   */
  readonly clockErrorNanos: Effect.Effect<number>
}

/** A clone: a gated machine and the snapshot it came from. */
export interface Clone extends GatedMachine {
  readonly snapshot: Snapshot
}

const refuse = (reason: GateReason): GateError => new GateError({ reason })
const machineFailed = (error: MachineError): GateError => refuse({ _tag: "MachineFailed", cause: error.reason })

/** The gate's error for a refusal by the agent. */
const refusedBy = ({ reason }: AgentError): GateError => {
  switch (reason._tag) {
    case "Absent":
      return refuse({ _tag: "AgentAbsent" })
    case "Refused":
      return refuse({ _tag: "IdentityRejected", why: reason.why, message: reason.message })
    case "NoAnswer":
      return refuse({
        _tag: "AcknowledgementMissing",
        waitingFor: reason.waitingFor,
        clock: "guest",
        timeoutMillis: reason.withinNanos / 1e6
      })
    case "WrongAnswer":
      return refuse({
        _tag: "AcknowledgementWrong",
        expectedToken: reason.expectedToken,
        foundToken: reason.foundToken
      })
    case "GuestEnded":
      return refuse(reason)
  }
}

/** Asks the guest's agent; why it did not answer as it should is why the gate refuses. */
const asked = <A>(machine: Machine, answer: Effect.Effect<A, AgentError | MachineError>): Effect.Effect<A, GateError> =>
  Effect.catchTags(answer, {
    AgentError: (error) => refusedBy(error),
    MachineError: (error) =>
      error.reason._tag === "MachineEnded"
        ? Effect.flatMap(machine.nowNanos, (atNanos) =>
            refuse({ _tag: "GuestEnded", how: "ended", detail: error.reason.message, atNanos })
          )
        : machineFailed(error)
  })

const admitMachine = Effect.fnUntraced(function* (
  machine: Machine,
  isWorkloadFrozen: boolean,
  options: GateOptions,
  advance: (input: GateInput) => Effect.Effect<void>
) {
  const identity = yield* drawIdentity(options.identity ?? {})
  const toleranceNanos = Duration.toMillis(Duration.fromInputUnsafe(options.clockTolerance ?? "5 millis")) * 1e6
  const hookTimeout = options.hookTimeout === undefined ? null : Duration.fromInputUnsafe(options.hookTimeout)
  const answerTime = Duration.fromInputUnsafe(options.guestTimeout ?? "5 seconds")
  const within = hookTimeout === null ? answerTime : Duration.sum(answerTime, hookTimeout)
  const chosenClock = options.identity?.realtimeNanos
  const isHostClock = chosenClock === undefined
  const clock = makeWallClock(machine, toleranceNanos)

  const startNanos = yield* hostNanos
  // The devices first: the kernel reseeds its random source when it sees another generation, whatever the agent adds.
  yield* Effect.mapError(
    machine.renew({ ...renewalOf(identity), realtimeNanos: chosenClock ?? startNanos }),
    machineFailed
  )
  // One time for both clocks: what passes from here on is the error of both.
  const realtimeNanos = isHostClock ? startNanos : chosenClock
  if (realtimeNanos !== null) yield* clock.wasSet(realtimeNanos)
  const { atNanos: acknowledgedAtNanos, token } = yield* asked(
    machine,
    machine.agent.identify(
      {
        ...identity,
        realtimeNanos,
        thaw: false,
        ...(hookTimeout === null ? {} : { hookTimeoutNanos: Duration.toMillis(hookTimeout) * 1e6 }),
        ...(options.signal === undefined ? {} : { signal: options.signal })
      },
      { within, onSent: (sent) => advance({ _tag: "SendIdentity", token: sent }) }
    )
  )
  yield* advance({ _tag: "Acknowledge", token })
  // The pages that the first exchange touches must be read and verified; meanwhile the host's clock advances and the guest's
  // hardly does.
  if (isHostClock) yield* Effect.mapError(clock.putRight, machineFailed)
  if (isWorkloadFrozen) yield* asked(machine, machine.agent.thaw({ within: answerTime }))
  yield* advance({ _tag: "HandOver" })
  return {
    machine: isHostClock ? withWallClock(machine, clock) : machine,
    identity,
    acknowledgedAtNanos,
    clockErrorNanos: isHostClock ? clock.errorNanos : Effect.succeed(0)
  }
})

/** Refuses a gate that cannot be, before anything is opened for it. */
const refuseOptions = (options: GateOptions): Effect.Effect<void, GateError> => {
  const [problem, ...problems] = gateProblems("gate", options)
  return problem === undefined ? Effect.void : refuse({ _tag: "OptionsInvalid", problems: [problem, ...problems] })
}

/** Keeps the state of one gate and tells it on. */
const makeAdvance = (options: GateOptions) => {
  let state: GateState = gateLoaded
  const tell = options.onState ?? (() => Effect.void)
  const advance = (input: GateInput): Effect.Effect<void> =>
    Effect.suspend(() => {
      state = stepGate(state, input)
      return tell(state)
    })
  return { advance, begin: Effect.suspend(() => tell(state)) }
}

/** Host time limit over everything that needs the guest. */
const withinHostTime = <A, R>(
  effect: Effect.Effect<A, GateError, R>,
  options: GateOptions
): Effect.Effect<A, GateError, R> => {
  const limit = Duration.fromInputUnsafe(options.hostTimeout ?? "30 seconds")
  return Effect.timeoutOrElse(effect, {
    duration: limit,
    orElse: () =>
      refuse({
        _tag: "AcknowledgementMissing",
        waitingFor: "IdentityApplied",
        clock: "host",
        timeoutMillis: Duration.toMillis(limit)
      })
  })
}

/** Runs in a scope of its own, which joins the caller's on success and is closed, with the machine, otherwise. */
const destroyedUnlessReady = <A, R>(
  effect: Effect.Effect<A, GateError, R>,
  advance: (input: GateInput) => Effect.Effect<void>
) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const outer = yield* Scope.Scope
      const inner = yield* Scope.fork(outer)
      return yield* restore(Effect.provideService(effect, Scope.Scope, inner)).pipe(
        Effect.onExit((exit) =>
          Exit.isSuccess(exit)
            ? Effect.void
            : Effect.andThen(advance({ _tag: "Destroy", why: "refused" }), Scope.close(inner, exit))
        )
      )
    })
  )

/**
 * Takes an existing machine, such as a fork, through the gate. The machine belongs to the caller, who must close it if this fails.
 *
 * @param isWorkloadFrozen whether the agent froze the workload, which is then thawed after the identity.
 */
export const admit = Effect.fn("Gate.admit")(function* (
  machine: Machine,
  isWorkloadFrozen: boolean,
  options: GateOptions = {}
) {
  yield* refuseOptions(options)
  const { advance, begin } = makeAdvance(options)
  yield* begin
  yield* advance({ _tag: "Verify" })
  return yield* withinHostTime(admitMachine(machine, isWorkloadFrozen, options, advance), options)
})

/**
 * Clones a stopped machine: forks it, gives the fork a new identity, and returns it once its guest has acknowledged. The clone lives
 * until the scope closes; any failure on the way destroys it at once.
 *
 * @param isWorkloadFrozen whether the agent froze the workload, which is then thawed after the identity.
 *
 * @example
 * ```ts
 * import { Gate, type Machine } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * export const another = (machine: Machine) => Effect.map(Gate.fork(machine), ({ machine: clone }) => clone)
 * ```
 */
export const fork = Effect.fn("Gate.fork")(function* (
  machine: Machine,
  isWorkloadFrozen = false,
  options: GateOptions = {}
) {
  yield* refuseOptions(options)
  const { advance, begin } = makeAdvance(options)
  const through = Effect.gen(function* () {
    yield* begin
    const forked = yield* Effect.mapError(machine.fork, ({ reason }) =>
      refuse({ _tag: "MachineFailed", cause: reason })
    )
    yield* advance({ _tag: "Verify" })
    return yield* withinHostTime(admitMachine(forked, isWorkloadFrozen, options, advance), options)
  })
  return yield* destroyedUnlessReady(through, advance)
})

/**
 * Restores a snapshot: verifies it, gives the machine a new identity, and returns it once its guest has acknowledged.
 *
 * The machine lives until the scope closes. Any failure on the way destroys it at once.
 *
 * @example
 * ```ts
 * import { Gate } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * export const uuidOfAClone = (snapshot: string) =>
 *   Effect.scoped(Effect.gen(function*() {
 *     const { machine } = yield* Gate.restore(snapshot)
 *     const { stdout } = yield* machine.exec({ argv: ["cat", "/proc/sys/kernel/random/uuid"] })
 *     return new TextDecoder().decode(stdout)
 *   }))
 * ```
 */
export const restore = Effect.fn("Gate.restore")(function* (directory: string, options: GateOptions = {}) {
  yield* refuseOptions(options)
  const { advance, begin } = makeAdvance(options)
  const through = Effect.gen(function* () {
    yield* begin
    const { machine, snapshot } = yield* loadSnapshot(directory, options)
    yield* advance({ _tag: "Verify" })
    const admitted = yield* withinHostTime(
      admitMachine(machine, snapshot.manifest.capture.isWorkloadFrozen, options, advance),
      options
    )
    return { ...admitted, snapshot }
  })
  return yield* destroyedUnlessReady(through, advance)
})
