import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { handle, keepSample } from "../testing/sampleStore.ts"
import { Snapshots } from "./Snapshots.ts"

/** A handle that has read the store once, on files that count what is read and looked at. */
const counted = Effect.fnUntraced(function* (snapshots: number) {
  const memory = new MemoryFiles()
  yield* memory.shape.makeDirectory("/data")
  let count = 0
  const counting = Layer.succeed(DurableFiles, {
    ...memory.shape,
    inspect: (path) => Effect.suspend(() => (count++, memory.shape.inspect(path))),
    read: (path, most) => Effect.suspend(() => (count++, memory.shape.read(path, most)))
  })
  const context = yield* Layer.build(handle(counting))
  const run = <A, E>(effect: Effect.Effect<A, E, Layer.Success<ReturnType<typeof handle>>>) =>
    Effect.provide(effect, context)
  for (let index = 0; index < snapshots; index++) yield* run(keepSample(`one-${index}`, `one-${index}`))
  yield* run(keepSample("parent", "parent"))
  yield* run(keepSample("child", "child", { parent: "parent" }))
  yield* run(Snapshots.use(({ inspect }) => inspect("one-1")))
  const workOf = <A, E>(effect: Effect.Effect<A, E, Layer.Success<ReturnType<typeof handle>>>) =>
    Effect.suspend(() => {
      const before = count
      return Effect.map(run(effect), (value) => ({ value, count: count - before }))
    })
  return { run, workOf }
})

describe("many snapshots", () => {
  it.live("the-files-looked-at-for-one-snapshot-do-not-grow-with-their-number", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const counts = yield* Effect.forEach([3, 30], (snapshots) =>
          Effect.gen(function* () {
            const { run, workOf } = yield* counted(snapshots)
            const inspected = yield* workOf(Snapshots.use(({ inspect }) => inspect("parent")))
            assert.strictEqual(inspected.value.children.length, 1)
            const tagged = yield* workOf(Snapshots.use(({ tag }) => tag("one-1", "other")))
            assert.deepStrictEqual(tagged.value.names, ["one-1", "other"])
            const needed = yield* Effect.flip(run(Snapshots.use(({ remove }) => remove("parent"))))
            assert.strictEqual(needed.reason._tag, "SnapshotNeeded")
            const removed = yield* workOf(Snapshots.use(({ remove }) => remove("one-0")))
            assert.isTrue(removed.value.isGone)
            const left = yield* run(Snapshots.use(({ list }) => list))
            assert.strictEqual(left.length, snapshots + 1)
            return { inspected: inspected.count, tagged: tagged.count, removed: removed.count }
          })
        )
        assert.deepStrictEqual(counts[1], counts[0])
      })
    )
  )
})
