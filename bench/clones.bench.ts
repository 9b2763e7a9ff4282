/**
 * The costs of a clone that users notice: from a snapshot to a machine with an identity of its own, its first command, the
 * commands after that, a request that a clone of its own answers, and the end of many running machines.
 *
 * All in one process that has restored the snapshot before, as a pool has. The number of a command's instructions is the guest
 * time from its request to its exit, one a nanosecond; for some 0.4 ms of it the guest waits for the rest of the request.
 */
import { DurableFiles, Gate, Journal, makeClonePool, Pipeline, SnapshotStore, type Vmm } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import type { GuestKit } from "@stillpoint/kit"
import { Effect, Exit, Layer, Scope } from "effect"
import { join } from "node:path"
import { directory, guest, runtime } from "./guests.ts"
import { median, stopwatch } from "./measure.ts"
import { finish, row } from "./row.ts"

const rounds = Math.max(1, Math.trunc(Number(process.env["STILLPOINT_BENCH_ROUNDS"])) || 15)
/** Commands that a clone is given one after the other. */
const commands = 11
const running = 100
const requests = 32
const callers = 8

const command = { argv: ["/bin/busybox", "true"] as const }
const snapshot = join(directory, "web")
const host = Layer.provide(Layer.mergeAll(SnapshotStore.layer, Journal.layerMemory), DurableFiles.layer)
const run = <A, E>(effect: Effect.Effect<A, E, Vmm | GuestKit | SnapshotStore | Journal | Scope.Scope>) =>
  runtime.runPromise(Effect.scoped(effect).pipe(Effect.provide(host)))

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const passed = stopwatch()
    return Effect.map(effect, (value) => ({ value, millis: passed() }))
  })

/** One clone: milliseconds of its gate and of its first command, and instructions a second of its last. */
const clone = Effect.gen(function* () {
  const { millis: gate, value } = yield* timed(Gate.restore(snapshot))
  const { machine } = value
  const taken: Array<{ readonly millis: number; readonly instructions: number }> = []
  for (let index = 0; index < commands; index++) {
    const before = yield* machine.nowNanos
    const { millis } = yield* timed(machine.exec({ argv: [...command.argv] }))
    taken.push({ millis, instructions: (yield* machine.nowNanos) - before })
  }
  const [first] = taken
  const last = taken.at(-1)
  if (first === undefined || last === undefined) return yield* Effect.die(new Error("a clone without commands"))
  return { gate, first: first.millis, last: last.instructions / last.millis / 1e3 }
})

/** Milliseconds of processor time for a request that a fresh clone answers, of a pool with as many callers as ready clones. */
const perRequest = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const pool = yield* Scope.provide(
    makeClonePool({ snapshot, ready: callers, maximum: 2 * callers, acquireTimeout: "5 minutes" }),
    scope
  )
  while ((yield* pool.stats).ready < callers) yield* Effect.sleep("1 millis")
  const before = process.cpuUsage()
  const answer = Effect.scoped(
    Effect.flatMap(pool.acquire, ({ machine }) =>
      machine.exec({ argv: ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"] })
    )
  )
  yield* Effect.forEach(Array.from({ length: requests }), () => answer, { concurrency: callers, discard: true })
  const { system, user } = process.cpuUsage(before)
  yield* Scope.close(scope, Exit.void)
  return (system + user) / 1e3 / requests
})

/** Milliseconds to close machines that run. */
const close = Effect.gen(function* () {
  const { machine: parent } = yield* Gate.restore(snapshot)
  const scope = yield* Scope.make()
  for (let index = 0; index < running; index++) {
    const machine = yield* Scope.provide(parent.fork, scope)
    yield* Scope.provide(machine.live({}), scope)
  }
  const { millis } = yield* timed(Scope.close(scope, Exit.void))
  return millis
})

await run(Pipeline.run(guest, { policy: kindTrigger("ListenerBound"), target: snapshot }))
// Work that is done once, verification and compilation, before the measured rounds.
for (let index = 0; index < 3; index++) await run(clone)
const clones: Array<Effect.Success<typeof clone>> = []
for (let index = 0; index < rounds; index++) clones.push(await run(clone))
const middle = (of: (each: Effect.Success<typeof clone>) => number) => median(clones.map(of))
const cost = await run(perRequest)
const closing = await run(close)
await runtime.dispose()
finish([
  row(
    "exec-in-clone",
    "Minstr/s",
    middle(({ last }) => last)
  ),
  row(
    "restore-and-gate",
    "ms",
    middle(({ gate }) => gate)
  ),
  row(
    "first-exec-in-clone",
    "ms",
    middle(({ first }) => first)
  ),
  row("clone-per-request", "ms of CPU", cost),
  row(`close-running/${running}`, "ms", closing)
])
