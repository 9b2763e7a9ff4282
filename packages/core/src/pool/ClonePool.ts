/**
 * Clones of one snapshot, restored and gated in advance.
 *
 * ```text
 *          make (fork of a restored base, gate)            acquire
 *  wanted ────────────────────────────────────▶ ready ─────────────▶ in use ──▶ destroyed, replaced
 *                                                 │ unhealthy
 *                                                 └───────────────▶ destroyed, replaced
 * ```
 *
 * @module
 */
import { Cause, Deferred, Duration, Effect, Exit, FiberSet, Metric, Schedule, Scope } from "effect"
import type { Admission } from "../gate/Admission.ts"
import * as Gate from "../gate/Gate.ts"
import type { Clone } from "../gate/Gate.ts"
import type { GateOptions } from "../gate/GateOptions.ts"
import { GateError } from "../gate/GateErrors.ts"
import { loadSnapshot } from "../gate/loadSnapshot.ts"
import { gateProblems } from "../gate/gateProblems.ts"
import {
  countProblems,
  durationProblems,
  isFunction,
  isRecord,
  kindProblems,
  orAbsent,
  unknownProblems
} from "../optionProblems.ts"
import { PoolError, type PoolReason } from "./PoolErrors.ts"

/** Options of a pool. */
export interface ClonePoolOptions {
  /** Directory of the snapshot. */
  readonly snapshot: string
  /** Number of clones to keep ready, as far as the maximum allows. */
  readonly ready: number
  /** Maximum number of clones that exist at once: ready, in use, and being made. Twice `ready` if absent. */
  readonly maximum?: number
  /** How long an acquire waits; 10 s if absent. */
  readonly acquireTimeout?: Duration.Input
  /** How many acquires may wait at once; without limit if absent. */
  readonly maxWaiting?: number
  /** How many clones are made at once; 2 if absent. */
  readonly concurrency?: number
  /** Options for the gate of each clone. */
  readonly gate?: GateOptions
  /** A check of ready clones; a clone that answers `false` or fails is replaced. */
  readonly health?: {
    readonly check: (clone: Clone) => Effect.Effect<boolean, unknown>
    /** How often ready clones are checked. */
    readonly every: Duration.Input
    /** How long a check may take; 5 s if absent. */
    readonly timeout?: Duration.Input
  }
  /** How long a shutdown waits for clones in use before it destroys them; 30 s if absent. */
  readonly drainTimeout?: Duration.Input
  /** Called with how each clone came through its gate, also one that was refused. The clone waits for it. */
  readonly onAdmission?: (admission: Admission) => Effect.Effect<void>
}

/** The state of a pool. */
export interface ClonePoolStats {
  readonly ready: number
  readonly inUse: number
  readonly making: number
  readonly waiting: number
  /** Clones made so far, and clones that a health check removed so far. */
  readonly made: number
  readonly unhealthy: number
  /** Why the latest attempt to make a clone failed; empty if it succeeded. */
  readonly lastFailure: string
}

/** A pool of clones. */
export interface ClonePool {
  /** A ready clone for as long as the scope lasts; destroyed and replaced after it. */
  readonly acquire: Effect.Effect<Clone, PoolError, Scope.Scope>
  readonly stats: Effect.Effect<ClonePoolStats>
  /** Stops handing out clones, waits for those in use, and destroys the rest. Closing the pool's scope does the same. */
  readonly drain: Effect.Effect<void>
}

interface Member {
  readonly clone: Clone
  readonly scope: Scope.Closeable
}

/** Ready clones, by attribute `snapshot`. */
export const poolReady = Metric.gauge("stillpoint_pool_ready", { description: "Ready clones in a pool" })

const millisOf = (input: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(input))

const poolOptionNames = {
  snapshot: true,
  ready: true,
  maximum: true,
  acquireTimeout: true,
  maxWaiting: true,
  concurrency: true,
  gate: true,
  health: true,
  drainTimeout: true,
  onAdmission: true
} as const satisfies Record<keyof ClonePoolOptions, true>

/** All problems of a pool's options, each with the expected value. */
export const poolProblems = (options: Omit<ClonePoolOptions, "snapshot">): ReadonlyArray<string> => {
  if (!isRecord(options)) return kindProblems("pool", options, "the options of a pool", isRecord)
  return [...healthProblems(options.health), ...readyProblems(options)]
}

const isPath = (found: unknown): boolean => typeof found === "string" && found !== ""

const healthNames = { check: true, every: true, timeout: true } as const satisfies Record<
  keyof NonNullable<ClonePoolOptions["health"]>,
  true
>

const healthProblems = (health: unknown): ReadonlyArray<string> =>
  health === undefined
    ? []
    : isRecord(health)
      ? [
          ...unknownProblems("pool.health", health, healthNames),
          ...kindProblems("pool.health.check", health["check"], "a function", isFunction),
          ...durationProblems("pool.health.every", health["every"], "required"),
          ...durationProblems("pool.health.timeout", health["timeout"])
        ]
      : kindProblems("pool.health", health, "{ check, every, timeout }", isRecord)

const readyProblems = (options: Omit<ClonePoolOptions, "snapshot">): ReadonlyArray<string> => [
  ...unknownProblems("pool", options, poolOptionNames),
  ...countProblems("pool.ready", options.ready, 0, "required"),
  ...countProblems("pool.maximum", options.maximum, 1),
  ...countProblems("pool.concurrency", options.concurrency, 1),
  ...countProblems("pool.maxWaiting", options.maxWaiting, 0),
  ...durationProblems("pool.acquireTimeout", options.acquireTimeout),
  ...durationProblems("pool.drainTimeout", options.drainTimeout),
  ...kindProblems("pool.onAdmission", options.onAdmission, "a function", orAbsent(isFunction)),
  ...gateProblems("pool.gate", options.gate)
]

/** Waits longer after every failure: 50 ms at first, 5 s at most. */
const patience = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("5 seconds")])

/**
 * Opens the snapshot, restores one base machine that never runs, and keeps forks of it ready, each with its own identity.
 *
 * @example
 * ```ts
 * import { makeClonePool } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const pool = yield* makeClonePool({ snapshot: "snapshots/web", ready: 8 })
 *   yield* Effect.scoped(Effect.flatMap(pool.acquire, ({ machine }) => machine.exec({ argv: ["true"] })))
 * }))
 * ```
 */
export const makeClonePool = Effect.fn("ClonePool.make")(function* (options: ClonePoolOptions) {
  const [problem, ...problems] = [
    ...(isRecord(options) ? kindProblems("pool.snapshot", options.snapshot, "the path of a directory", isPath) : []),
    ...poolProblems(options)
  ]
  if (problem !== undefined) {
    return yield* new PoolError({ reason: { _tag: "OptionsInvalid", problems: [problem, ...problems] } })
  }
  const poolScope = yield* Scope.Scope
  const maximum = Math.max(1, options.maximum ?? options.ready * 2)
  const wanted = Math.min(options.ready, maximum)
  const concurrency = Math.max(1, options.concurrency ?? 2)
  const acquireTimeout = millisOf(options.acquireTimeout ?? "10 seconds")

  const refuse = (reason: PoolReason) => new PoolError({ reason })
  const { machine: base, snapshot } = yield* loadSnapshot(options.snapshot, options.gate)

  const ready: Array<Member> = []
  const inUse = new Set<Member>()
  const waiting: Array<Deferred.Deferred<Member, PoolError>> = []
  const idle: Array<Deferred.Deferred<void>> = []
  let making = 0
  let checking = 0
  let made = 0
  let unhealthy = 0
  let lastFailure = ""
  let isDraining = false

  const work = yield* FiberSet.make<unknown, never>()
  const alive = (): number => ready.length + inUse.size + making + checking
  const reportReady = Effect.suspend(() =>
    Metric.update(Metric.withAttributes(poolReady, { snapshot: snapshot.directory }), ready.length)
  )

  const destroy = (member: Member): Effect.Effect<void> => Scope.close(member.scope, Exit.void)

  /** Gives a clone to the caller that has waited longest, or keeps it ready. */
  const offer = (member: Member): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (isDraining) return destroy(member)
      const first = waiting.shift()
      if (first === undefined) {
        // The caller that it was made for has left.
        if (ready.length >= wanted) return destroy(member)
        ready.push(member)
        return reportReady
      }
      inUse.add(member)
      return Effect.asVoid(Deferred.succeed(first, member))
    })

  const { gate = {}, onAdmission } = options
  /** Runs the gate of one clone, and reports how it went where somebody asked for that. */
  const reported = <A>(gated: (gate: GateOptions) => Effect.Effect<A, GateError>) =>
    onAdmission === undefined
      ? gated(gate)
      : Gate.watched(
          (onState) =>
            gated({
              ...gate,
              onState: (state) => Effect.andThen(onState(state), gate.onState?.(state) ?? Effect.void)
            }),
          onAdmission
        )

  /**
   * Takes a clone through its gate and offers it; a clone that fails, or arrives after the pool has closed, leaves nothing
   * behind.
   */
  const makeOne = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const gated = (gate: GateOptions) =>
        Effect.gen(function* () {
          const machine = yield* Scope.provide(base.fork, scope).pipe(
            Effect.mapError(
              (error) =>
                new GateError({ reason: { _tag: "NotRestored", path: snapshot.directory, cause: error.reason } })
            )
          )
          return yield* Gate.admit(machine, snapshot.manifest.capture.isWorkloadFrozen, gate)
        })
      const exit = yield* Effect.exit(restore(reported(gated)))
      if (Exit.isFailure(exit)) {
        yield* Scope.close(scope, exit)
        return yield* Effect.failCause(exit.cause)
      }
      making -= 1
      made += 1
      lastFailure = ""
      yield* offer({ clone: { ...exit.value, snapshot }, scope })
    })
  )

  /** Makes one clone, as patiently as it takes. */
  const makeAndOffer = makeOne.pipe(
    Effect.tapError((error) =>
      Effect.sync(() => {
        lastFailure = error.message
      })
    ),
    Effect.retry(patience),
    // A defect in a gate or a machine is not the pool's end.
    Effect.catchCause((cause) =>
      Effect.sync(() => {
        making -= 1
        lastFailure = Cause.pretty(cause)
      })
    ),
    Effect.andThen(Effect.suspend(() => refill))
  )

  /** Starts making the missing clones. */
  const refill: Effect.Effect<void> = Effect.suspend(() => {
    if (isDraining) return Effect.void
    const starts: Array<Effect.Effect<unknown>> = []
    while (making < concurrency && alive() < maximum && ready.length + making + checking < wanted + waiting.length) {
      making += 1
      starts.push(FiberSet.run(work, makeAndOffer))
    }
    return Effect.all(starts, { discard: true })
  })

  const giveBack = (member: Member): Effect.Effect<void> =>
    Effect.gen(function* () {
      yield* destroy(member)
      inUse.delete(member)
      if (inUse.size === 0)
        yield* Effect.forEach(idle.splice(0), (each) => Deferred.succeed(each, undefined), { discard: true })
      yield* refill
    })

  /** Runs uninterrupted but for the wait itself, which `restore` lets be interrupted. */
  const take = (restore: <A, E>(wait: Effect.Effect<A, E>) => Effect.Effect<A, E>): Effect.Effect<Member, PoolError> =>
    Effect.suspend((): Effect.Effect<Member, PoolError> => {
      if (isDraining) return refuse({ _tag: "Draining" })
      const member = ready.shift()
      if (member !== undefined) {
        inUse.add(member)
        return Effect.as(Effect.andThen(reportReady, refill), member)
      }
      if (waiting.length >= (options.maxWaiting ?? Infinity)) {
        return refuse({ _tag: "TooManyWaiting", waiting: waiting.length, limit: options.maxWaiting ?? 0 })
      }
      return Effect.gen(function* () {
        const turn = yield* Deferred.make<Member, PoolError>()
        waiting.push(turn)
        yield* refill
        const limited = Effect.timeoutOrElse(Deferred.await(turn), {
          duration: acquireTimeout,
          orElse: () =>
            refuse({ _tag: "TimedOut", waitedMillis: acquireTimeout, inUse: inUse.size, maximum, lastFailure })
        })
        return yield* restore(limited).pipe(
          Effect.onError(() =>
            Effect.suspend(() => {
              const place = waiting.indexOf(turn)
              if (place >= 0) {
                waiting.splice(place, 1)
                return Effect.void
              }
              // It was given a clone in the very moment in which it gave up.
              return Effect.matchEffect(Deferred.await(turn), { onSuccess: giveBack, onFailure: () => Effect.void })
            })
          )
        )
      })
    })

  const acquire = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const scope = yield* Scope.Scope
      const member = yield* take(restore)
      yield* Scope.addFinalizer(scope, giveBack(member))
      return member.clone
    })
  )

  const { health } = options
  if (health !== undefined) {
    const isHealthy = (member: Member): Effect.Effect<boolean> =>
      health.check(member.clone).pipe(
        Effect.timeout(health.timeout ?? "5 seconds"),
        Effect.catchCause(() => Effect.succeed(false))
      )
    const checkOne = Effect.suspend(() => {
      const member = ready.shift()
      if (member === undefined) return Effect.void
      checking += 1
      return Effect.flatMap(isHealthy(member), (good) =>
        Effect.suspend(() => {
          checking -= 1
          if (good) return offer(member)
          unhealthy += 1
          return Effect.andThen(destroy(member), refill)
        })
      ).pipe(Effect.uninterruptible)
    })
    const round = Effect.suspend(() => Effect.repeat(checkOne, { times: Math.max(0, ready.length - 1) }))
    yield* FiberSet.run(work, Effect.forever(Effect.andThen(Effect.sleep(health.every), round)))
  }

  const drain: Effect.Effect<void> = Effect.gen(function* () {
    isDraining = true
    yield* Effect.forEach(waiting.splice(0), (each) => Deferred.fail(each, refuse({ _tag: "Draining" })), {
      discard: true
    })
    yield* FiberSet.clear(work)
    // Clones in the making ended with their fibers.
    making = 0
    yield* Effect.forEach(ready.splice(0), destroy, { discard: true })
    if (inUse.size > 0) {
      const left = yield* Deferred.make<void>()
      idle.push(left)
      yield* Effect.timeoutOption(Deferred.await(left), options.drainTimeout ?? "30 seconds")
    }
    yield* Effect.forEach([...inUse], destroy, { discard: true })
    yield* reportReady
  })
  yield* Scope.addFinalizer(poolScope, drain)
  yield* refill

  return {
    acquire,
    stats: Effect.sync(() => ({
      ready: ready.length,
      inUse: inUse.size,
      making,
      waiting: waiting.length,
      made,
      unhealthy,
      lastFailure
    })),
    drain
  } satisfies ClonePool
})
