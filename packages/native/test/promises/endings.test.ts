import { readdirSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { listRuns, loadRun, Pipeline } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { onListener, onSerialMatch, repeat } from "@stillpoint/triggers"
import { Effect, Stream } from "effect"
import { folder, linux } from "../guests.ts"
import { layer } from "./witness.ts"

const shell = (script: string) => linux(["/bin/sh", "-c", script])

describe("a run whose policy will never fire", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    for (const [name, script, expected] of [
      ["exits-at-once", "exit 0", { code: 0, signal: null }],
      ["exits-later-with-an-error", "sleep 1; exit 3", { code: 3, signal: null }],
      ["is-killed", "kill -9 $$", { code: null, signal: 9 }],
      ["listens-never-and-leaves-children-that-end", "sleep 2 & exit 0", { code: 0, signal: null }]
    ] as const) {
      it.effect(`ends-by-name-when-its-workload-${name}`, () =>
        Effect.gen(function* () {
          const directory = yield* folder
          const known = new Set(yield* listRuns)
          const error = yield* Effect.flip(
            Effect.scoped(
              Pipeline.run(yield* shell(script), { policy: onListener(), target: join(directory, "snapshot") })
            )
          )
          assert.strictEqual(error._tag, "WorkloadEnded")
          assert.deepInclude(error, expected)
          const runId = (yield* listRuns).find((id) => !known.has(id)) ?? ""
          assert.deepInclude((yield* loadRun(runId)).state, { phase: "failed", stage: "watch" })
          assert.deepStrictEqual(readdirSync(directory), [])
        })
      )
    }

    it.effect("ends-at-its-limit-when-the-guest-lives-on-without-it", () =>
      Effect.gen(function* () {
        const directory = yield* folder
        for (const [spec, policy] of [
          // No workload at all; one that never listens; one that says something else.
          [yield* linux(null), onListener()],
          [yield* shell("sleep 100000"), onListener()],
          [yield* shell("while true; do echo waiting; sleep 1; done"), onSerialMatch(/ready/)]
        ] as const) {
          const error = yield* Effect.flip(
            Effect.scoped(Pipeline.run(spec, { policy, target: join(directory, "snapshot"), watchLimit: "20 seconds" }))
          )
          assert.strictEqual(error._tag, "WatchLimitReached")
          assert.deepInclude(error, { limitMillis: 20_000 })
        }
        assert.deepStrictEqual(readdirSync(directory), [])
      })
    )

    it.effect("ends-at-ten-minutes-of-guest-time-if-nothing-was-said", () =>
      Effect.gen(function* () {
        const target = join(yield* folder, "snapshot")
        const error = yield* Effect.flip(
          Effect.scoped(Pipeline.run(yield* shell("sleep 100000"), { policy: onListener(), target }))
        )
        assert.deepInclude(error, { _tag: "WatchLimitReached", limitMillis: 600_000 })
      })
    )

    it.effect("ends-a-repetition-whose-workload-has-ended", () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const taken: Array<number> = []
        const script = "httpd -p 8080 -h /; sleep 1; httpd -p 8081 -h /; sleep 1; kill -9 $(pidof httpd); exit 3"
        const error = yield* Pipeline.repeat(yield* shell(script), {
          policy: repeat(onListener()),
          target: (index) => join(directory, `${index}`),
          deltas: true
        }).pipe(
          Stream.runForEach(({ value: { firing } }) =>
            Effect.sync(() => {
              if (firing.cause._tag === "Event" && firing.cause.event._tag === "ListenerBound")
                taken.push(firing.cause.event.port)
            })
          ),
          Effect.scoped,
          Effect.flip
        )
        assert.strictEqual(error._tag, "WorkloadEnded")
        assert.deepInclude(error, { code: 3 })
        assert.deepStrictEqual(taken, [8080, 8081])
        assert.deepStrictEqual(readdirSync(directory).toSorted(), ["0", "1"])
      })
    )

    it.effect("goes-on-for-a-policy-that-takes-in-the-end", () =>
      Effect.gen(function* () {
        const target = join(yield* folder, "snapshot")
        const { value } = yield* Effect.scoped(
          Pipeline.run(yield* shell("exit 4"), { policy: kindTrigger("WorkloadExited"), target })
        )
        assert.strictEqual(value.firing.cause._tag === "Event" && value.firing.cause.event._tag, "WorkloadExited")
      })
    )
  })
})
