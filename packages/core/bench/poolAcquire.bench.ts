/**
 * Acquiring a ready clone from a warm pool, beside restoring one at the moment it is wanted.
 *
 * @module
 */
import { type Clone, type ClonePool, Gate, Journal, makeClonePool, Pipeline, SnapshotStore } from "@stillpoint/core"
import { kindTrigger, MemoryFiles, scriptedVmm } from "@stillpoint/core/testing"
import { Effect, Layer } from "effect"
import { median, print } from "./measure.ts"

const rounds = 200
const ready = 16
const snapshot = "/bench/web"

const files = new MemoryFiles()
const host = Layer.provideMerge(Layer.mergeAll(scriptedVmm(), SnapshotStore.layer, Journal.layerMemory), files.layer)

const warm = (pool: ClonePool) =>
  Effect.gen(function* () {
    while ((yield* pool.stats).ready < ready) yield* Effect.sleep("1 millis")
  })

/** Milliseconds that an acquire takes. */
const timed = <E, R>(acquire: Effect.Effect<Clone, E, R>) =>
  Effect.gen(function* () {
    const begun = performance.now()
    yield* acquire
    return performance.now() - begun
  })

const program = Effect.scoped(
  Effect.gen(function* () {
    yield* Effect.scoped(
      Pipeline.run({ kernelPath: "/kernel" }, { policy: kindTrigger("WorkloadPreExec"), target: snapshot })
    )
    const ours = yield* makeClonePool({ snapshot, ready, maximum: 2 * ready })
    const values: Array<number> = []
    const peers: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      yield* warm(ours)
      values.push(yield* Effect.scoped(timed(ours.acquire)))
      peers.push(yield* Effect.scoped(timed(Gate.restore(snapshot))))
    }
    const value = median(values)
    const peerValue = median(peers)
    print([
      {
        name: "pool-acquire",
        unit: "ms",
        value,
        peer: "restore and gate without a pool",
        peerValue,
        ratio: value / peerValue
      }
    ])
  })
)

await Effect.runPromise(program.pipe(Effect.provide(host)))
