/**
 * Clones while they are served: alive, with a port each, used by one connection at a time.
 *
 * ```text
 *   pool ── acquire, live, publish ──▶ in use ──▶ used up, or not well: closed, replaced by the pool
 *                                       ▲  │
 *                                       └──┘ good for another: to who waits longest, or kept
 * ```
 *
 * @module
 */
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import type { Clone } from "../gate/Gate.ts"
import type { PublishedPort } from "../GuestPorts.ts"
import type { LiveMachine } from "../LiveMachine.ts"
import type { MachineError } from "../MachineErrors.ts"
import type { ClonePool } from "../pool/ClonePool.ts"
import type { PoolError } from "../pool/PoolErrors.ts"

/** A live clone, and the host's port that leads into it. */
export interface Lease {
  readonly clone: Clone
  readonly live: LiveMachine
  readonly port: PublishedPort
  readonly scope: Scope.Closeable
  /** Number of connections or requests that it has served. */
  served: number
}

type LeaseError = PoolError | MachineError
type Restore = <A, E>(wait: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** The clones for clients. */
export interface Leases {
  /**
   * One for the caller alone, until it is given back. To be run where it is not interrupted; `restore` lets the wait itself be, and
   * nothing is left then.
   */
  readonly take: (restore: Restore) => Effect.Effect<Lease, LeaseError>
  /** Waits until there is one, and keeps it. */
  readonly ready: Effect.Effect<void, LeaseError>
  /** `isGood`: it may serve another, if it has not served as many as it may. */
  readonly giveBack: (lease: Lease, isGood: boolean) => Effect.Effect<void>
  /** Closes those that are kept. */
  readonly close: Effect.Effect<void>
}

/** Leases on clones of the pool, for `guestPort` of each; one serves `most`, one after another. */
export const makeLeases = (pool: ClonePool, guestPort: number, most: number): Leases => {
  const kept: Array<Lease> = []
  const waiting: Array<Deferred.Deferred<Lease, LeaseError>> = []
  let isClosed = false

  const destroy = (lease: Lease): Effect.Effect<void> => Scope.close(lease.scope, Exit.void)

  const prepare = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const made = Effect.gen(function* () {
        const clone = yield* pool.acquire
        const port = yield* clone.machine.ports.publish({ port: guestPort })
        const live = yield* clone.machine.live()
        return { clone, live, port, scope, served: 0 } satisfies Lease
      })
      return yield* Effect.onError(restore(Scope.provide(made, scope)), (cause) =>
        Scope.close(scope, Exit.failCause(cause))
      )
    })
  )

  const leave = (turn: Deferred.Deferred<Lease, LeaseError>): boolean => {
    const place = waiting.indexOf(turn)
    if (place >= 0) waiting.splice(place, 1)
    return place >= 0
  }

  /** Gives a clone to the client that has waited longest, or keeps it. */
  const offer = (lease: Lease): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (isClosed) return destroy(lease)
      const first = waiting.shift()
      if (first !== undefined) return Effect.asVoid(Deferred.succeed(first, lease))
      kept.push(lease)
      return Effect.void
    })

  /** Makes a clone for a waiting client. */
  const makeFor = (turn: Deferred.Deferred<Lease, LeaseError>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.exit(restore(prepare)), (exit) => {
        if (Exit.isFailure(exit)) return leave(turn) ? Deferred.failCause(turn, exit.cause) : Effect.void
        return leave(turn) ? Deferred.succeed(turn, exit.value) : offer(exit.value)
      })
    )

  /** The latest that was kept and whose guest has not ended meanwhile. */
  const takeKept: Effect.Effect<Lease | undefined> = Effect.suspend(() => {
    const lease = kept.pop()
    if (lease === undefined) return Effect.succeed(undefined)
    return Effect.flatMap(lease.live.state, ({ status }) =>
      status === "ended" ? Effect.andThen(destroy(lease), takeKept) : Effect.succeed(lease)
    )
  })

  const take = (restore: Restore) =>
    Effect.gen(function* () {
      const lease = yield* takeKept
      if (lease !== undefined) return lease
      const turn = yield* Deferred.make<Lease, LeaseError>()
      waiting.push(turn)
      const making = yield* Effect.forkChild(makeFor(turn))
      return yield* restore(Deferred.await(turn)).pipe(
        // Given up in the very moment in which it was given one.
        Effect.onInterrupt(() =>
          leave(turn)
            ? Effect.void
            : Effect.matchEffect(Deferred.await(turn), { onSuccess: offer, onFailure: () => Effect.void })
        ),
        Effect.ensuring(Fiber.interrupt(making))
      )
    })

  return {
    take,
    ready: Effect.uninterruptibleMask((restore) => Effect.flatMap(take(restore), offer)),
    giveBack: (lease, isGood) =>
      Effect.suspend(() => {
        lease.served += 1
        return isGood && lease.served < most ? offer(lease) : destroy(lease)
      }),
    close: Effect.suspend(() => {
      isClosed = true
      return Effect.forEach(kept.splice(0), destroy, { discard: true })
    })
  }
}
