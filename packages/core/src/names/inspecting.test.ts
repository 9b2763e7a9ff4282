import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { publishSample } from "../testing/sampleSnapshots.ts"
import { home, keepSample, run, type Services } from "../testing/sampleStore.ts"
import { Snapshots } from "./Snapshots.ts"

describe("what is known of a snapshot of the store", () => {
  it.live("what-is-known-of-one-snapshot-costs-one-file-of-each-other-one", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      yield* files.shape.makeDirectory("/data")
      const readsOf = (work: Effect.Effect<unknown, unknown, Services>) =>
        Effect.gen(function* () {
          const before = files.reads
          yield* run(files, work)
          return files.reads - before
        })
      const asked = [Snapshots.use(({ inspect }) => inspect("web")), Snapshots.use(({ tag }) => tag("web", "again"))]
      yield* run(files, keepSample("web", "web"))
      yield* run(files, asked[1] ?? Effect.void)
      const alone = yield* Effect.forEach(asked, readsOf)
      for (const label of ["a", "b", "c"]) yield* run(files, keepSample(label, label, { parent: "web" }))
      const amongOthers = yield* Effect.forEach(asked, readsOf)
      assert.deepStrictEqual(
        amongOthers,
        alone.map((reads) => reads + 3)
      )
    })
  )

  it.live("a-snapshot-that-is-not-ready-says-why-and-is-opened-once", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      yield* files.shape.makeDirectory("/data")
      const seen: Array<{ readonly problem: string | null; readonly reads: number }> = []
      for (const [validation, verdict] of [
        ["none", "passed"],
        ["none", undefined],
        ["required", undefined],
        ["required", "failed"]
      ] as const) {
        const label = `${validation}-${verdict ?? "absent"}`
        const kept = Effect.gen(function* () {
          const snapshots = yield* Snapshots
          const directory = yield* snapshots.draft
          yield* publishSample(directory, label, { validation, ...(verdict === undefined ? {} : { verdict }) })
          yield* snapshots.keep(directory, label)
        })
        yield* run(files, Effect.scoped(kept))
        const before = files.reads
        const { problem } = yield* run(
          files,
          Snapshots.use(({ inspect }) => inspect(label))
        )
        const reads = files.reads - before
        // The store's answer to a request for it.
        const got = yield* run(files, Effect.result(Snapshots.use(({ get }) => get(label))))
        const refusal = Result.isFailure(got) && "reason" in got.failure ? got.failure.reason.message : null
        assert.strictEqual(problem, refusal)
        seen.push({ problem, reads })
        yield* run(
          files,
          Snapshots.use(({ remove }) => remove(label))
        )
      }
      assert.deepStrictEqual(
        seen.map(({ problem }) => problem !== null),
        [false, false, true, true]
      )
      // As many reads of a verdict as of one that passed, and as many without one.
      assert.strictEqual(seen[3]?.reads, seen[0]?.reads)
      assert.strictEqual(seen[2]?.reads, seen[1]?.reads)
    })
  )

  it.live("a-delta-that-is-damaged-is-still-its-parents-child", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      yield* files.shape.makeDirectory("/data")
      const parent = yield* run(files, keepSample("web", "web"))
      const child = yield* run(files, keepSample("job", "job", { parent: "web" }))
      const machine = files.paths().find((path) => path.includes(child.digest) && path.endsWith("/machine.bin"))
      files.alter(machine ?? "", (bytes) => bytes.map((byte) => byte ^ 1))
      const all = yield* run(
        files,
        Snapshots.use(({ list }) => list)
      )
      const [job, web] = all
      assert.isNotNull(job?.problem)
      assert.strictEqual(job?.parent, parent.digest)
      assert.deepStrictEqual(web?.children, [child.digest])
      const inspected = yield* run(
        files,
        Snapshots.use(({ inspect }) => inspect("web"))
      )
      assert.deepStrictEqual(inspected, web)
      const refused = yield* run(files, Effect.flip(Snapshots.use(({ remove }) => remove("web"))))
      assert.include(refused.message, "job")
    })
  )

  it.live("a-name-whose-snapshot-somebody-took-away-is-listed-and-can-be-removed", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      yield* files.shape.makeDirectory("/data")
      yield* run(files, keepSample("stays", "stays"))
      yield* run(files, keepSample("web", "web"))
      const whole = yield* run(
        files,
        Snapshots.use(({ inspect }) => inspect("web"))
      )
      yield* files.shape.removeTree(whole.directory)
      const listed = yield* run(
        files,
        Snapshots.use(({ list }) => list)
      )
      assert.deepStrictEqual(
        listed.map(({ manifest, names, problem }) => [names[0], manifest === null, problem !== null]),
        [
          ["stays", false, false],
          ["web", true, true]
        ]
      )
      const { names, snapshots } = yield* run(
        files,
        Snapshots.use(({ usage }) => usage)
      )
      assert.deepStrictEqual({ names, snapshots }, { names: 2, snapshots: 1 })
      yield* run(
        files,
        Snapshots.use(({ remove }) => remove("web"))
      )
      const left = yield* run(
        files,
        Snapshots.use(({ list }) => list)
      )
      assert.deepStrictEqual(
        left.map(({ names: own }) => own),
        [["stays"]]
      )
    })
  )

  it.live("a-file-in-the-place-of-a-store-is-no-store-without-snapshots", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      yield* files.shape.makeDirectory("/data")
      yield* files.shape.write(home, new Uint8Array(1))
      const answered = yield* run(files, Effect.result(Snapshots.use(({ list }) => list)))
      assert.strictEqual(
        Result.isFailure(answered) && answered.failure.message,
        `${home}: expected the folder of a store, found a file`
      )
    })
  )
})
