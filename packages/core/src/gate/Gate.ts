/**
 * The gate between a snapshot and whoever wants a machine of it.
 *
 * @module
 */
import { Clock, Duration, Effect, Exit, Scope } from "effect"
import type { GuestEvent, GuestEventKind } from "../GuestEvent.ts"
import { type MachineError } from "../MachineErrors.ts"
import type { OpenOptions, Snapshot } from "../snapshot/SnapshotStore.ts"
import type { Machine, MachineStop } from "../Vmm.ts"
import { type DrawnIdentity, drawIdentity, type IdentityChoice } from "./FreshIdentity.ts"
import { GateError, type GateReason } from "./GateErrors.ts"
import { loadSnapshot } from "./loadSnapshot.ts"
import { gateLoaded, type GateInput, type GateState, stepGate } from "./GateState.ts"

/** How a machine is taken through its gate. */
export interface GateOptions extends OpenOptions {
  /** Chosen parts of the new identity. */
  readonly identity?: IdentityChoice
  /** Guest time within which the guest must acknowledge; 5 s if absent. */
  readonly guestTimeout?: Duration.Input
  /** Host time within which it must; 30 s if absent. */
  readonly hostTimeout?: Duration.Input
  /** Largest error of a held guest's wall clock; 5 ms if absent. Its identity is sent again where it is exceeded; a frozen guest is let catch up. */
  readonly clockTolerance?: Duration.Input
  /** Told every state that is reached. */
  readonly onState?: (state: GateState) => Effect.Effect<void>
}

/** A machine that has passed its gate. */
export interface GatedMachine {
  readonly machine: Machine
  /** The identity that its guest has acknowledged. */
  readonly identity: DrawnIdentity
  /** Guest time of the acknowledgement. */
  readonly acknowledgedAtNanos: number
  /** Host's wall clock less the guest's at hand-over, nanoseconds, as far as can be told from outside; 0 if it was left. */
  readonly clockErrorNanos: number
}

/** A clone: a gated machine and the snapshot it came from. */
export interface Clone extends GatedMachine {
  readonly snapshot: Snapshot
}

const refuse = (reason: GateReason): GateError => new GateError({ reason })
const machineFailed = (error: MachineError): GateError => refuse({ _tag: "MachineFailed", cause: error.reason })

/** How often the clock is put right before the error is reported as it is. */
const clockAttempts = 4

/** An error of the clock that is not worth another run of the guest, nanoseconds. */
const catchUpNanos = 1e6

const invalidPart = (identity: DrawnIdentity): string | null => {
  if (identity.entropy.byteLength < 32)
    return `entropy has ${identity.entropy.byteLength} bytes, at least 32 are needed`
  if (identity.machineId !== null && !/^[0-9a-f]{32}$/.test(identity.machineId)) {
    return `machineId ${JSON.stringify(identity.machineId)} is not 32 lower-case hexadecimal digits`
  }
  if (identity.hostname !== null && !/^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/.test(identity.hostname)) {
    return `hostname ${JSON.stringify(identity.hostname)} is not a host name`
  }
  return null
}

/** The refusal of a guest that ended; why the engine failed, if it did. */
const guestEnded = Effect.fnUntraced(function* (machine: Machine, { atNanos, reason }: MachineStop) {
  const last = (yield* machine.eventsSoFar().pipe(Effect.mapError(machineFailed))).at(-1)
  const why = last?._tag === "EngineFault" ? `: ${last.message}` : ""
  return yield* refuse({ _tag: "GuestEnded", how: `${reason}${why}`, atNanos })
})

/** Runs the guest until the agent answers a request, or does not. */
const awaitAnswer = Effect.fnUntraced(function* (
  machine: Machine,
  answer: {
    readonly kind: "IdentityApplied" | "AgentThawed"
    readonly token: number
    readonly deadlineNanos: number
    readonly timeoutMillis: number
  }
) {
  const kinds: ReadonlyArray<GuestEventKind> = [answer.kind, "AgentRejected", "GuestPanicked"]
  while (true) {
    const stop = yield* machine.run({ kinds, atNanos: answer.deadlineNanos }).pipe(Effect.mapError(machineFailed))
    if (stop.reason === "time" || stop.reason === "budget" || stop.reason === "idle" || stop.reason === "horizon") {
      return yield* refuse({
        _tag: "AcknowledgementMissing",
        waitingFor: answer.kind,
        clock: "guest",
        timeoutMillis: answer.timeoutMillis
      })
    }
    if (stop.reason !== "event" || stop.seq === null) return yield* guestEnded(machine, stop)
    const seq = stop.seq
    const events: ReadonlyArray<GuestEvent> = yield* machine.eventsSoFar(seq).pipe(Effect.mapError(machineFailed))
    const event = events.find((each) => each.seq === seq)
    if (event === undefined) continue
    if (event._tag === "GuestPanicked") {
      return yield* refuse({ _tag: "GuestEnded", how: `panic: ${event.message}`, atNanos: event.atNanos })
    }
    if (event._tag === "AgentRejected") {
      const isAnswer = event.id === answer.token && (event.request === "ApplyIdentity" || event.request === "Thaw")
      if (!isAnswer) continue
      return yield* refuse({ _tag: "IdentityRejected", why: event.reason, message: event.message })
    }
    if (event._tag === answer.kind && "token" in event) {
      if (event.token === answer.token) return event.atNanos
      return yield* refuse({ _tag: "AcknowledgementWrong", expectedToken: answer.token, foundToken: event.token })
    }
  }
})

/** Lets guest time pass while the workload is frozen: an idle guest costs its host nothing. */
const catchUp = Effect.fnUntraced(function* (machine: Machine, nanos: number) {
  const atNanos = (yield* machine.nowNanos) + nanos
  const stop = yield* machine.run({ kinds: ["GuestPanicked"], atNanos }).pipe(Effect.mapError(machineFailed))
  if (stop.reason !== "time") return yield* guestEnded(machine, stop)
})

const admitMachine = Effect.fnUntraced(function* (
  machine: Machine,
  isWorkloadFrozen: boolean,
  options: GateOptions,
  advance: (input: GateInput) => Effect.Effect<void>
) {
  const identity = yield* drawIdentity(options.identity ?? {})
  const invalid = invalidPart(identity)
  if (invalid !== null) return yield* refuse({ _tag: "IdentityInvalid", why: invalid })
  const timeoutMillis = Duration.toMillis(Duration.fromInputUnsafe(options.guestTimeout ?? "5 seconds"))
  const deadlineNanos = (yield* machine.nowNanos) + timeoutMillis * 1e6
  const toleranceNanos = Duration.toMillis(Duration.fromInputUnsafe(options.clockTolerance ?? "5 millis")) * 1e6
  const chosenClock = options.identity?.realtimeNanos
  const isHostClock = chosenClock === undefined

  /** Host's clock less the guest's, from the clock that was sent. */
  const behindSince = (sentHost: bigint, sentGuest: number) =>
    Effect.gen(function* () {
      const hostNanos = Number((yield* Clock.currentTimeNanos) - sentHost)
      return hostNanos - ((yield* machine.nowNanos) - sentGuest)
    })

  // What the first exchange touches has to be read and verified: meanwhile the host's clock goes on and the guest's hardly does.
  let sentHost = 0n
  let sentGuest = 0
  let behindNanos = 0
  let acknowledgedAtNanos = 0
  for (let attempt = 0; attempt < clockAttempts; attempt++) {
    sentHost = yield* Clock.currentTimeNanos
    sentGuest = yield* machine.nowNanos
    const token = yield* machine
      .requestIdentity({ ...identity, realtimeNanos: isHostClock ? sentHost : chosenClock, thaw: false })
      .pipe(Effect.mapError(machineFailed))
    yield* advance({ _tag: "SendIdentity", token })
    acknowledgedAtNanos = yield* awaitAnswer(machine, { kind: "IdentityApplied", token, deadlineNanos, timeoutMillis })
    yield* advance({ _tag: "Acknowledge", token })
    if (!isHostClock) break
    behindNanos = yield* behindSince(sentHost, sentGuest)
    // A frozen guest can be let catch up, below; one that is held would use up its hold, so its clock is sent again.
    if (behindNanos >= -toleranceNanos && (isWorkloadFrozen || behindNanos <= toleranceNanos)) break
  }
  if (isWorkloadFrozen) {
    for (let attempt = 0; behindNanos > catchUpNanos && attempt < clockAttempts; attempt++) {
      yield* catchUp(machine, behindNanos)
      behindNanos = yield* behindSince(sentHost, sentGuest)
    }
    const token = yield* machine.requestThaw.pipe(Effect.mapError(machineFailed))
    const thawDeadlineNanos = (yield* machine.nowNanos) + timeoutMillis * 1e6
    yield* awaitAnswer(machine, { kind: "AgentThawed", token, deadlineNanos: thawDeadlineNanos, timeoutMillis })
  }
  const clockErrorNanos = isHostClock ? yield* behindSince(sentHost, sentGuest) : 0
  yield* advance({ _tag: "HandOver" })
  return { machine, identity, acknowledgedAtNanos, clockErrorNanos }
})

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
 * Takes an already made machine (a fork, say) through the gate. The machine belongs to the caller, who must close it when this
 * fails.
 *
 * @param isWorkloadFrozen whether the agent froze the workload, which is then thawed after the identity.
 */
export const admit = Effect.fn("Gate.admit")(function* (
  machine: Machine,
  isWorkloadFrozen: boolean,
  options: GateOptions = {}
) {
  const { advance, begin } = makeAdvance(options)
  yield* begin
  yield* advance({ _tag: "Verify" })
  return yield* withinHostTime(admitMachine(machine, isWorkloadFrozen, options, advance), options)
})

/**
 * Restores a snapshot: verified, given a new identity, acknowledged by its guest, and only then handed over.
 *
 * The machine lives until the scope closes. Whatever goes wrong on the way destroys it at once.
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
