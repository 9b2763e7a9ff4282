import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import type { Admission } from "../gate/Admission.ts"
import { Journal } from "../journal/Journal.ts"
import * as Pipeline from "../pipeline/Pipeline.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import type { ScriptedVmmOptions } from "../testing/ScriptedState.ts"
import { scriptedMachines, ScriptedVmm } from "../testing/ScriptedVmm.ts"
import { type ClonePoolOptions, makeClonePool } from "./ClonePool.ts"

const host = (options: ScriptedVmmOptions = {}, files = new MemoryFiles()) =>
  Layer.provideMerge(Layer.mergeAll(ScriptedVmm.layer(options), SnapshotStore.layer, Journal.layerMemory), files.layer)

const snapshot = "/s/web"
const published = Effect.scoped(
  Pipeline.run({ kernelPath: "/kernel" }, { policy: kindTrigger("WorkloadPreExec"), target: snapshot })
)

const poolOf = (options: Omit<ClonePoolOptions, "snapshot">) =>
  Effect.andThen(published, makeClonePool({ snapshot, ...options }))

/** Lets fibres do what they can do without time passing. */
const settle = Effect.repeat(Effect.yieldNow, { times: 300 })

const held = (acquire: Effect.Effect<unknown, unknown, Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    yield* Effect.orDie(Scope.provide(acquire, scope))
    return Scope.close(scope, Exit.void)
  })

describe("a pool", () => {
  it.effect("keeps-clones-ready-and-each-is-another-machine", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const pool = yield* poolOf({ ready: 4, maximum: 8 })
        yield* settle
        assert.deepInclude(yield* pool.stats, { ready: 4, inUse: 0, made: 4 })
        const ids = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () =>
          Effect.map(pool.acquire, ({ identity }) => identity.machineId)
        )
        assert.strictEqual(new Set(ids).size, 6)
        yield* settle
        // Eight at most: six in use, two ready.
        assert.deepInclude(yield* pool.stats, { ready: 2, inUse: 6 })
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("a-released-clone-is-destroyed-and-replaced", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const before = scriptedMachines.open
        const pool = yield* poolOf({ ready: 2, maximum: 2 })
        yield* settle
        const first = yield* Effect.scoped(Effect.map(pool.acquire, ({ machine }) => machine))
        yield* settle
        assert.strictEqual((yield* Effect.flip(first.run({}))).reason._tag, "Closed")
        assert.deepInclude(yield* pool.stats, { ready: 2, inUse: 0, made: 3 })
        assert.strictEqual(scriptedMachines.open, before + 3)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("who-waits-is-served-in-turn-when-a-clone-comes-back", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const pool = yield* poolOf({ ready: 1, maximum: 1 })
        const release = yield* held(pool.acquire)
        const order: Array<number> = []
        const waiters = yield* Effect.forEach([1, 2, 3], (name) =>
          Effect.forkChild(
            Effect.scoped(
              Effect.andThen(
                pool.acquire,
                Effect.sync(() => order.push(name))
              )
            ),
            { startImmediately: true }
          )
        )
        yield* settle
        assert.deepInclude(yield* pool.stats, { waiting: 3, inUse: 1 })
        yield* release
        yield* Effect.forEach(waiters, Fiber.join)
        assert.deepStrictEqual(order, [1, 2, 3])
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("who-waits-too-long-is-told-how-full-it-is", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const pool = yield* poolOf({ ready: 1, maximum: 1, acquireTimeout: "3 seconds" })
        const release = yield* held(pool.acquire)
        const waiter = yield* Effect.forkChild(Effect.flip(Effect.scoped(pool.acquire)), { startImmediately: true })
        yield* TestClock.adjust("3 seconds")
        const error = yield* Fiber.join(waiter)
        assert.deepStrictEqual(
          { ...error.reason },
          { _tag: "TimedOut", waitedMillis: 3_000, inUse: 1, maximum: 1, lastFailure: "" }
        )
        assert.deepInclude(yield* pool.stats, { waiting: 0 })
        yield* release
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("more-than-may-wait-are-refused-at-once", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const pool = yield* poolOf({ ready: 1, maximum: 1, maxWaiting: 1 })
        const release = yield* held(pool.acquire)
        const waiter = yield* Effect.forkChild(Effect.scoped(pool.acquire), { startImmediately: true })
        yield* settle
        assert.strictEqual((yield* Effect.flip(Effect.scoped(pool.acquire))).reason._tag, "TooManyWaiting")
        yield* release
        yield* Fiber.join(waiter)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("an-interrupted-wait-leaves-its-place", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const pool = yield* poolOf({ ready: 1, maximum: 1 })
        const release = yield* held(pool.acquire)
        const waiter = yield* Effect.forkChild(Effect.scoped(pool.acquire), { startImmediately: true })
        yield* settle
        yield* Fiber.interrupt(waiter)
        assert.deepInclude(yield* pool.stats, { waiting: 0, inUse: 1 })
        yield* release
        yield* settle
        assert.deepInclude(yield* pool.stats, { ready: 1, inUse: 0 })
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("a-sick-clone-is-taken-out-and-replaced", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const sick = new Set<string>()
        const pool = yield* poolOf({
          ready: 3,
          health: { check: ({ machine }) => Effect.sync(() => !sick.has(machine.id)), every: "1 second" }
        })
        yield* settle
        const first = yield* Effect.scoped(Effect.map(pool.acquire, ({ machine }) => Number(machine.id.split("-")[1])))
        // The ones made right after it are ready now; one of them falls ill.
        sick.add(`scripted-${first + 1}`)
        yield* settle
        yield* TestClock.adjust("1 second")
        yield* settle
        assert.deepInclude(yield* pool.stats, { ready: 3, unhealthy: 1 })
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("clones-that-do-not-pass-their-gate-are-tried-again-and-who-waits-is-told-why", () => {
    const files = new MemoryFiles()
    return Effect.gen(function* () {
      yield* published.pipe(Effect.provide(host({}, files), { local: true }))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const pool = yield* makeClonePool({ snapshot, ready: 1, acquireTimeout: "2 seconds" })
          const waiter = yield* Effect.forkChild(Effect.flip(Effect.scoped(pool.acquire)), { startImmediately: true })
          yield* settle
          yield* TestClock.adjust("2 seconds")
          const { reason } = yield* Fiber.join(waiter)
          assert.include(reason._tag === "TimedOut" ? reason.lastFailure : "", "identity refused")
        })
      ).pipe(Effect.provide(host({ identity: "reject" }, files), { local: true }))
      assert.strictEqual(scriptedMachines.open, 0)
    })
  })

  it.effect("each-clone-is-reported-with-the-states-of-its-gate-one-refused-too-and-none-that-was-given-up", () => {
    const files = new MemoryFiles()
    const states: Array<string> = []
    const admissions: Array<Admission> = []
    const options: ClonePoolOptions = {
      snapshot,
      ready: 3,
      onAdmission: (admission) => Effect.sync(() => void admissions.push(admission)),
      gate: { onState: ({ _tag }) => Effect.sync(() => void states.push(_tag)) }
    }
    const reported = () => admissions.map(({ outcome, states }) => [outcome, ...states.map(({ state }) => state)])
    return Effect.gen(function* () {
      yield* published.pipe(Effect.provide(host({}, files), { local: true }))
      yield* Effect.scoped(Effect.andThen(makeClonePool({ ...options, ready: 1 }), settle)).pipe(
        Effect.provide(host({ identity: "reject" }, files), { local: true })
      )
      assert.deepStrictEqual(reported(), [["refused", "Loaded", "Verified", "IdentityApplied"]])
      admissions.length = states.length = 0
      const through = ["Loaded", "Verified", "IdentityApplied", "Acknowledged", "Ready"]
      const made = [1, 2, 3].map(() => ["ready", ...through])
      yield* Effect.scoped(
        Effect.gen(function* () {
          const pool = yield* makeClonePool(options)
          yield* settle
          assert.deepStrictEqual(reported(), made)
          assert.deepStrictEqual(states.toSorted(), [...through, ...through, ...through].toSorted())
          // Another is being made when the pool ends.
          yield* pool.acquire
          while (states.length === 15) yield* Effect.yieldNow
        })
      ).pipe(Effect.provide(host({}, files), { local: true }))
      assert.deepStrictEqual(reported(), made)
    })
  })

  it.effect("a-shutdown-waits-for-the-clones-in-use-and-leaves-nothing", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(poolOf({ ready: 3 }), scope)
      yield* settle
      const release = yield* held(pool.acquire)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* settle
      assert.deepInclude(yield* pool.stats, { ready: 0, inUse: 1 })
      assert.strictEqual((yield* Effect.flip(Effect.scoped(pool.acquire))).reason._tag, "Draining")
      yield* release
      yield* Fiber.join(closing)
      assert.strictEqual(scriptedMachines.open, 0)
    }).pipe(Effect.provide(host()))
  )

  it.effect("a-shutdown-destroys-what-is-not-given-back-in-time", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(poolOf({ ready: 1, drainTimeout: "1 second" }), scope)
      yield* settle
      const release = yield* held(pool.acquire)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      assert.strictEqual(scriptedMachines.open, 0)
      yield* release
    }).pipe(Effect.provide(host()))
  )

  it.live("whatever-its-users-do-the-maximum-holds-and-nothing-is-left", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 4 }),
          fc.integer({ min: 1, max: 6 }),
          fc.array(fc.record({ turns: fc.nat({ max: 20 }), isInterrupted: fc.boolean() }), {
            minLength: 1,
            maxLength: 12
          }),
          async (ready, maximum, users) => {
            const program = Effect.scoped(
              Effect.gen(function* () {
                const pool = yield* poolOf({ ready, maximum })
                const base = scriptedMachines.open
                const go = yield* Deferred.make<void>()
                const fibers = yield* Effect.forEach(users, ({ turns }) =>
                  Effect.forkChild(
                    Effect.andThen(
                      Deferred.await(go),
                      Effect.scoped(Effect.andThen(pool.acquire, Effect.repeat(Effect.yieldNow, { times: turns })))
                    )
                  )
                )
                yield* Deferred.succeed(go, undefined)
                for (const [index, { isInterrupted, turns }] of users.entries()) {
                  const fiber = fibers[index]
                  if (!isInterrupted || fiber === undefined) continue
                  yield* Effect.repeat(Effect.yieldNow, { times: turns })
                  yield* Fiber.interrupt(fiber)
                  const stats = yield* pool.stats
                  assert.isAtMost(stats.ready + stats.inUse + stats.making, maximum)
                  assert.isAtMost(scriptedMachines.open - base, maximum + stats.making)
                }
                yield* Effect.forEach(fibers, Fiber.await)
                yield* settle
                assert.deepInclude(yield* pool.stats, { ready: Math.min(ready, maximum), inUse: 0, waiting: 0 })
              })
            )
            await Effect.runPromise(program.pipe(Effect.provide(host(), { local: true })))
            assert.strictEqual(scriptedMachines.open, 0)
          }
        ),
        {
          numRuns: 150,
          // A clone for a caller that had left was kept beyond the wanted number.
          examples: [
            [
              1,
              3,
              [
                { turns: 0, isInterrupted: false },
                { turns: 0, isInterrupted: true }
              ]
            ]
          ]
        }
      )
    )
  )

  it.effect("of-which-nobody-says-how-many-or-how-often-is-refused-and-waited-for-by-nobody", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const options = { snapshot: "/s/none", health: { check: () => Effect.succeed(true) } }
        const error = yield* Effect.flip(makeClonePool(options as unknown as ClonePoolOptions))
        assert.strictEqual(error.reason._tag, "OptionsInvalid")
        assert.match(
          error.message,
          /pool\.health\.every: expected a duration of 0 or more, such as "10 seconds", found undefined/
        )
        assert.match(error.message, /pool\.ready: expected a whole number of 0 or more, found undefined/)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("of-an-impossible-size-is-refused-with-every-problem", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const options = { ready: -1, maximum: 0, concurrency: Number.NaN, acquireTimeout: "-1 seconds" } as const
        const error = yield* Effect.flip(makeClonePool({ snapshot: "/s/none", ...options }))
        assert.strictEqual(error.reason._tag, "OptionsInvalid")
        for (const name of Object.keys(options)) assert.include(error.message, `pool.${name}`)
        const misspelt = { health: { evry: "1 second" }, gate: { clockTolerence: "1 millis" } } as object
        const unknown = yield* Effect.flip(makeClonePool({ snapshot: "/s/none", ready: 1, ...misspelt }))
        const without = yield* Effect.flip(makeClonePool({ ready: -1, snapshot: 3 } as unknown as ClonePoolOptions))
        for (const name of ["snapshot: expected the path of a directory, found 3", "ready: expected"])
          assert.include(without.message, `pool.${name}`)
        for (const name of ["health.evry: no such", "health.check: expected", "gate.clockTolerence: no such"])
          assert.include(unknown.message, `pool.${name}`)
      })
    ).pipe(Effect.provide(host()))
  )
})
