import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { type ClonePool, makeClonePool, Pipeline } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Effect, Exit, Schedule, Scope } from "effect"
import { loadAddon } from "../../src/binding/loadAddon.ts"
import { folder, linux } from "../guests.ts"
import { settle } from "../settle.ts"
import { layer } from "./witness.ts"

const addon = await Effect.runPromise(loadAddon)

const page = { argv: ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"] }

const captured = Effect.gen(function* () {
  const target = join(yield* folder, "snapshot")
  yield* Effect.scoped(Pipeline.run(yield* linux(), { policy: kindTrigger("ListenerBound"), target }))
  return target
})

/** Waits until the pool is as it should be; a pool that never is makes its test hang, and is named by that. */
const until = (pool: ClonePool, isSo: (stats: Effect.Success<ClonePool["stats"]>) => boolean) =>
  pool.stats.pipe(
    Effect.flatMap((stats) => (isSo(stats) ? Effect.succeed(stats) : Effect.fail(stats))),
    Effect.retry(Schedule.spaced("5 millis"))
  )

describe("a pool of clones", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("hands-out-clones-that-work-are-their-own-and-are-replaced", () =>
      Effect.gen(function* () {
        const snapshot = yield* captured
        const before = addon.guestMemoryBytes()
        const scope = yield* Scope.make()
        const pool = yield* makeClonePool({ snapshot, ready: 3, maximum: 4, acquireTimeout: "5 minutes" }).pipe(
          Scope.provide(scope)
        )
        yield* until(pool, ({ ready }) => ready === 3)
        const ids = new Set<string>()
        const pages = new Set<string>()
        for (let round = 0; round < 6; round++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { machine } = yield* pool.acquire
              const { stdout } = yield* machine.exec({ argv: ["cat", "/etc/machine-id"] })
              ids.add(new TextDecoder().decode(stdout))
              pages.add(new TextDecoder().decode((yield* machine.exec(page)).stdout))
            })
          )
        }
        assert.deepStrictEqual([ids.size, pages.size], [6, 1])
        const full = yield* until(pool, ({ inUse, ready }) => ready === 3 && inUse === 0)
        assert.isAtLeast(full.made, 9)
        yield* Scope.close(scope, Exit.void)
        yield* settle(() => addon.guestMemoryBytes() <= before)
        assert.isAtMost(addon.guestMemoryBytes(), before)
      })
    )

    it.effect("never-exceeds-its-maximum-and-lets-the-rest-wait", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const pool = yield* makeClonePool({
            snapshot: yield* captured,
            ready: 1,
            maximum: 2,
            maxWaiting: 1,
            acquireTimeout: "5 minutes"
          })
          const first = yield* Scope.make()
          yield* pool.acquire.pipe(Scope.provide(first))
          yield* pool.acquire
          const impatient = yield* Effect.forkChild(Effect.scoped(pool.acquire), { startImmediately: true })
          const refused = yield* Effect.flip(Effect.scoped(pool.acquire))
          assert.strictEqual(refused.reason._tag, "TooManyWaiting")
          yield* Scope.close(first, Exit.void)
          yield* Effect.flatMap(
            Effect.sync(() => impatient),
            (fiber) => Effect.promise(() => new Promise<void>((done) => fiber.addObserver(() => done())))
          )
          const { inUse, making, ready } = yield* pool.stats
          assert.isAtMost(inUse + making + ready, 2)
        })
      )
    )

    it.effect("a-dead-clone-is-replaced-before-anybody-gets-it", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const victims: Array<string> = []
          const pool = yield* makeClonePool({
            snapshot: yield* captured,
            ready: 2,
            health: {
              every: "50 millis",
              timeout: "5 minutes",
              // The first one that is looked at is switched off and is then found dead.
              check: ({ machine }) =>
                Effect.gen(function* () {
                  if (victims.length === 0) {
                    victims.push(machine.id)
                    yield* machine.agent.powerOff()
                  }
                  return (yield* machine.exec({ argv: ["true"] })).code === 0
                })
            }
          })
          yield* until(pool, ({ unhealthy }) => unhealthy >= 1)
          yield* until(pool, ({ ready }) => ready === 2)
          const { machine } = yield* pool.acquire
          assert.notInclude(victims, machine.id)
          assert.strictEqual((yield* machine.exec(page)).code, 0)
        })
      )
    )

    it.effect("drains-and-refuses-from-then-on", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const pool = yield* makeClonePool({ snapshot: yield* captured, ready: 2, drainTimeout: "5 minutes" })
          yield* until(pool, ({ ready }) => ready === 2)
          const scope = yield* Scope.make()
          const { machine } = yield* pool.acquire.pipe(Scope.provide(scope))
          const draining = yield* Effect.forkChild(pool.drain, { startImmediately: true })
          // In use until it is given back, even while the pool goes.
          assert.strictEqual((yield* machine.exec(page)).code, 0)
          yield* Scope.close(scope, Exit.void)
          yield* Effect.promise(() => new Promise<void>((done) => draining.addObserver(() => done())))
          assert.strictEqual((yield* Effect.flip(machine.exec(page))).reason._tag, "Closed")
          assert.strictEqual((yield* Effect.flip(Effect.scoped(pool.acquire))).reason._tag, "Draining")
          const { inUse, making, ready } = yield* pool.stats
          assert.deepStrictEqual([inUse, making, ready], [0, 0, 0])
        })
      )
    )
  })
})
