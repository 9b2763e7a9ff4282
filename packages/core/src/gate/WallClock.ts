/**
 * The wall clock of a guest that stands still between its runs.
 *
 * A guest's clock advances with guest time: it is right when it is set, and then falls behind for as long as the guest is
 * stopped. So every operation that runs the guest through here first corrects the clock if the error exceeds the tolerance: the
 * agent sets it before it does anything else, and no command sees the old time. The hardware clock is set with it.
 *
 * @module
 */
import { Clock, Effect, Stream } from "effect"
import { askedOfAgent } from "../agent/askedOfAgent.ts"
import type { GuestFiles } from "../guestFiles/GuestFiles.ts"
import type { LiveMachine } from "../LiveMachine.ts"
import { toShared } from "../internal/toShared.ts"
import type { MachineError } from "../MachineErrors.ts"
import type { Agent, Machine } from "../Vmm.ts"

/**
 * Maximum difference between Effect's nanoseconds, which count from the start of the process, and the host's clock, which can be
 * set.
 */
const driftNanos = 2_000_000n

/** The host's wall clock in nanoseconds since 1970. A step of the host's clock of more than 2 ms is seen. */
export const hostNanos: Effect.Effect<bigint> = Effect.gen(function* () {
  const counted = yield* Clock.currentTimeNanos
  const told = BigInt(yield* Clock.currentTimeMillis) * 1_000_000n
  const apart = counted - told
  return apart > driftNanos || apart < -driftNanos ? told : counted
})

/** The gate's knowledge of a guest's wall clock. */
export interface WallClock {
  /** Notes that the guest's clock is being set to this time. */
  readonly wasSet: (realtimeNanos: bigint) => Effect.Effect<void>
  /** Host's wall clock minus the guest's, in nanoseconds, as far as the host can tell. */
  readonly errorNanos: Effect.Effect<number>
  /** Sets the clock if its error exceeds the tolerance, ahead of any later request to the guest. */
  readonly putRight: Effect.Effect<void, MachineError>
  /** The machine goes live, in the scope; its live mode then keeps the clock, unless it is paused. */
  readonly lives: Machine["live"]
}

/** Keeps a guest's clock at the host's, to within a tolerance. */
export const makeWallClock = (machine: Machine, toleranceNanos: number): WallClock => {
  let setTo = 0n
  let setAtNanos = 0
  const wasSet = (realtimeNanos: bigint) =>
    Effect.map(machine.nowNanos, (nowNanos) => {
      setTo = realtimeNanos
      setAtNanos = nowNanos
    })
  let living: LiveMachine | null = null
  /** The clock error that the live mode knows; `null` if the machine is not live. */
  const keptErrorNanos = Effect.suspend(() =>
    living === null
      ? Effect.succeed(null)
      : Effect.map(living.state, ({ clockErrorNanos, status }) =>
          status === "paused" || status === "ended" ? null : clockErrorNanos
        )
  )
  const errorNanos = Effect.gen(function* () {
    const kept = yield* keptErrorNanos
    if (kept !== null) return kept
    const host = yield* hostNanos
    return Number(host - setTo) - ((yield* machine.nowNanos) - setAtNanos)
  })
  const putRight = Effect.gen(function* () {
    if ((yield* keptErrorNanos) !== null || Math.abs(yield* errorNanos) <= toleranceNanos) return
    const realtimeNanos = yield* hostNanos
    yield* machine.agent.setClock(realtimeNanos)
    yield* wasSet(realtimeNanos)
  })
  /** Takes over the clock from the live mode until `then` has ended. */
  const takenOver = <A, E>(then: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.gen(function* () {
      const kept = yield* keptErrorNanos
      const result = yield* then
      if (kept !== null) yield* wasSet((yield* hostNanos) - BigInt(Math.round(kept)))
      return result
    })
  return {
    wasSet,
    errorNanos,
    putRight,
    lives: Effect.fnUntraced(function* (options) {
      yield* putRight
      const live = yield* machine.live({ clockTolerance: toleranceNanos / 1e6, ...options })
      living = live
      const forget = Effect.sync(() => {
        living = null
      })
      yield* Effect.addFinalizer(() => takenOver(forget))
      return { ...live, pause: takenOver(live.pause), resume: Effect.andThen(putRight, live.resume) }
    })
  }
}

/** The same machine, with its clock corrected before every operation that runs its guest. */
export const withWallClock = (machine: Machine, clock: WallClock): Machine => {
  /** The same operation, with the right time in the guest. */
  const onTime =
    <Args extends ReadonlyArray<unknown>, A, E, R>(operation: (...args: Args) => Effect.Effect<A, E, R>) =>
    (...args: Args): Effect.Effect<A, E | MachineError, R> =>
      Effect.andThen(clock.putRight, operation(...args))
  const { agent } = machine
  const { chmod, list, mkdir, pack, read, remove, rename, stat, stream, unpack, watch, write } = agent.files
  const watchOnTime: GuestFiles["watch"] = (...args) => Stream.unwrap(Effect.as(clock.putRight, watch(...args)))
  const files: GuestFiles = {
    chmod: onTime(chmod),
    list: onTime(list),
    mkdir: onTime(mkdir),
    read: onTime(read),
    remove: onTime(remove),
    rename: onTime(rename),
    stat: onTime(stat),
    stream: (...args) => Stream.unwrap(Effect.as(clock.putRight, stream(...args))),
    pack: (...args) => Stream.unwrap(Effect.as(clock.putRight, pack(...args))),
    unpack: onTime(unpack),
    watch: watchOnTime,
    watch$: (...args) => toShared(watchOnTime(...args)),
    write: onTime(write)
  }
  const punctual: Agent = {
    ...agent,
    freeze: onTime(agent.freeze),
    thaw: onTime(agent.thaw),
    execute: onTime(agent.execute),
    spawn: onTime(agent.spawn),
    startWorkload: onTime(agent.startWorkload),
    powerOff: onTime(agent.powerOff),
    type: onTime(agent.type),
    files
  }
  return {
    ...machine,
    run: onTime(machine.run),
    live: clock.lives,
    ...askedOfAgent(punctual)
  }
}
