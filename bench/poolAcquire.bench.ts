/** Acquiring a ready clone from a warm pool, beside restoring one at the moment it is wanted. */
import {
  type Clone,
  type ClonePool,
  Gate,
  Journal,
  makeClonePool,
  Pipeline,
  SnapshotStore,
  type Vmm
} from "@stillpoint/core"
import { kindTrigger, MemoryFiles, ScriptedVmm } from "@stillpoint/core/testing"
import { Effect, Layer } from "effect"
import { measure, stopwatch } from "./measure.ts"
import { finish, row } from "./row.ts"

const ready = 16
const snapshot = "/bench/web"

const files = new MemoryFiles()
const host = Layer.provideMerge(
  Layer.mergeAll(ScriptedVmm.layer(), SnapshotStore.layer, Journal.layerMemory),
  files.layer
)

const warm = (pool: ClonePool) =>
  Effect.gen(function* () {
    while ((yield* pool.stats).ready < ready) yield* Effect.sleep("1 millis")
  })

/** Milliseconds that an acquire takes. */
const timed = <E, R>(acquire: Effect.Effect<Clone, E, R>) =>
  Effect.gen(function* () {
    const passed = stopwatch()
    yield* acquire
    return passed()
  })

const program = Effect.scoped(
  Effect.gen(function* () {
    yield* Effect.scoped(
      Pipeline.run({ kernelPath: "/kernel" }, { policy: kindTrigger("WorkloadPreExec"), target: snapshot })
    )
    const ours = yield* makeClonePool({ snapshot, ready, maximum: 2 * ready })
    const run = Effect.runPromiseWith(yield* Effect.context<Vmm | SnapshotStore | Journal>())
    return yield* Effect.promise(() =>
      measure(
        [
          () => run(Effect.andThen(warm(ours), Effect.scoped(timed(ours.acquire)))),
          () => run(Effect.scoped(timed(Gate.restore(snapshot))))
        ],
        { rounds: 200 }
      )
    )
  })
)

const [value, peerValue] = await Effect.runPromise(program.pipe(Effect.provide(host)))
finish([row("pool-acquire", "ms", value, { peer: "restore and gate without a pool", peerValue })])
