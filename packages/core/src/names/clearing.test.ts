import { Effect } from "effect"
import * as fc from "fast-check"
import { assert, describe, it } from "vitest"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { publishSample } from "../testing/sampleSnapshots.ts"
import { home, keepSample, run } from "../testing/sampleStore.ts"
import { Snapshots } from "./Snapshots.ts"

const clear = Snapshots.use((snapshots) => snapshots.clear)

/** Names that only an unfinished operation has. */
const unfinished = /new-|gone-|unless-named-|names\.json\.|\.stillpoint-/

/** A store with one snapshot. */
const storeWithOne = Effect.gen(function* () {
  const files = new MemoryFiles()
  yield* files.shape.makeDirectory("/data")
  yield* files.shape.flushDirectory("/")
  yield* run(files, keepSample("old", "web"))
  return files
})

describe("clearing a store", () => {
  it("removes-what-a-kill-at-any-moment-left", async () => {
    let left = 0
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("keep", "remove"),
        fc.nat(70),
        fc.infiniteStream(fc.nat(1000)),
        (verb, at, choices) =>
          Effect.runPromise(
            Effect.gen(function* () {
              const files = yield* storeWithOne
              const before = files.paths()
              files.injectFault({ atOperation: files.operations + at, code: "crash" })
              yield* Effect.ignore(
                run(
                  files,
                  verb === "keep"
                    ? keepSample("new", "job")
                    : Effect.asVoid(Snapshots.use(({ remove }) => remove("web")))
                )
              )
              files.reboot((outcomes) => (choices.next().value as number) % outcomes)
              if (files.paths().some((path) => unfinished.test(path))) left += 1
              yield* run(files, clear)
              assert.deepStrictEqual(
                files.paths().filter((path) => unfinished.test(path)),
                []
              )
              const kept = yield* run(
                files,
                Snapshots.use(({ list }) => list)
              )
              if (verb === "keep" && kept.length === 1) {
                assert.deepStrictEqual(
                  files.paths().filter((path) => !before.includes(path)),
                  []
                )
              }
              assert.deepStrictEqual(
                kept.map(({ problem }) => problem).filter((problem) => problem !== null),
                []
              )
            })
          )
      ),
      { numRuns: 150 }
    )
    assert.isAbove(left, 0)
  })

  it("touches-no-draft-of-a-running-process", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const files = yield* storeWithOne
        const made = Effect.scoped(
          Effect.gen(function* () {
            const snapshots = yield* Snapshots
            const directory = yield* snapshots.draft
            yield* run(files, clear)
            yield* publishSample(directory, "new", {})
            yield* run(files, clear)
            return yield* snapshots.keep(directory, "job")
          })
        )
        assert.deepStrictEqual((yield* run(files, made)).names, ["job"])
      })
    ))

  it("makes-no-store", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const files = new MemoryFiles()
        yield* files.shape.makeDirectory("/data")
        yield* run(files, clear)
        assert.notInclude(files.paths(), home)
      })
    ))
})
