import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Semaphore } from "effect"
import * as fc from "fast-check"
import type { Clone } from "../gate/Gate.ts"
import type { ClonePool } from "../pool/ClonePool.ts"
import { makeLeases } from "./leases.ts"

const turns = (times: number) => Effect.repeat(Effect.yieldNow, { times })

/** A pool of at most so many clones, each of which takes a while to be made, and how many there are. */
const poolOf = (maximum: number, delays: ReadonlyArray<number>) => {
  const counted = { open: 0, most: 0, made: 0 }
  const places = Semaphore.makeUnsafe(maximum)
  const machine = {
    ports: { publish: () => Effect.succeed({ port: 80, host: "127.0.0.1", hostPort: 1 }) },
    live: () => Effect.succeed({ state: Effect.succeed({ status: "asleep" }), ended: Effect.never })
  }
  const acquire = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* restore(Semaphore.take(places, 1))
      counted.open += 1
      counted.most = Math.max(counted.most, counted.open)
      const gone = Effect.suspend(() => {
        counted.open -= 1
        return Effect.asVoid(Semaphore.release(places, 1))
      })
      yield* Effect.addFinalizer(() => gone)
      yield* restore(turns(delays[counted.made++ % delays.length] ?? 0))
      return { machine } as unknown as Clone
    })
  )
  return { counted, pool: { acquire } as unknown as ClonePool }
}

describe("leases", () => {
  it.live("whoever-gives-up-whenever-each-is-used-by-one-and-none-is-lost", () =>
    Effect.promise(async () => {
      let givenUp = 0
      let reused = 0
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 3 }),
          fc.integer({ min: 1, max: 3 }),
          fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 4 }),
          fc.array(
            fc.record({ begins: fc.nat({ max: 9 }), uses: fc.nat({ max: 5 }), leaves: fc.option(fc.nat({ max: 20 })) }),
            { minLength: 1, maxLength: 8 }
          ),
          async (maximum, most, delays, users) => {
            const { counted, pool } = poolOf(maximum, delays)
            const leases = makeLeases(pool, 80, most)
            const used = new Set<unknown>()
            const use = ({ begins, uses }: (typeof users)[number]) =>
              Effect.uninterruptibleMask((restore) =>
                Effect.gen(function* () {
                  yield* restore(turns(begins))
                  const lease = yield* leases.take(restore)
                  assert.isFalse(used.has(lease))
                  if (lease.served > 0) reused += 1
                  used.add(lease)
                  yield* Effect.exit(restore(turns(uses)))
                  used.delete(lease)
                  yield* leases.giveBack(lease, true)
                })
              )
            const program = Effect.gen(function* () {
              const fibers = yield* Effect.forEach(users, (user) => Effect.forkChild(use(user)))
              const leaving = yield* Effect.forEach(users, ({ leaves }, index) =>
                Effect.forkChild(
                  Effect.gen(function* () {
                    const fiber = fibers[index]
                    if (leaves === null || fiber === undefined) return
                    yield* turns(leaves)
                    if (fiber.pollUnsafe() === undefined) givenUp += 1
                    yield* Fiber.interrupt(fiber)
                  })
                )
              )
              const exits = yield* Effect.forEach([...fibers, ...leaving], Fiber.await)
              for (const exit of exits) if (Exit.isFailure(exit)) assert.isTrue(Cause.hasInterruptsOnly(exit.cause))
              // Later clients get one, whatever happened to the others.
              yield* leases.ready
              yield* leases.close
            })
            await Effect.runPromise(program)
            assert.strictEqual(counted.open, 0)
            assert.isAtMost(counted.most, maximum)
          }
        ),
        { numRuns: 1000 }
      )
      assert.isAbove(Math.min(givenUp, reused), 100)
    })
  )
})
