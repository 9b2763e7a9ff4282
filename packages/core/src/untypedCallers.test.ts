import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import * as Pipeline from "./pipeline/Pipeline.ts"
import { isDoneOrRefusedByName } from "./testing/untypedCalls.ts"
import * as Exported from "./index.ts"
import { uncovered } from "./testing/publicFunctions.ts"
import { exempt } from "./testing/exemptFunctions.ts"
import { storeEntries } from "./testing/untypedStoreEntries.ts"
import { capture, entries, host, paths, pools, spec, type Untyped } from "./testing/untypedEntries.ts"

it("every-public-function-is-tried-by-a-program-without-types-or-exempt-for-a-reason", () => {
  assert.deepStrictEqual(uncovered(Exported, [...Object.keys(entries), ...Object.keys(storeEntries)], exempt), {
    missing: [],
    gone: []
  })
})

/** Functions that open snapshots find one. */
const isOfStore = (name: string) => name in storeEntries && /^(Snapshots|serve|prefetch)/.test(name)

describe("whatever a program without types hands to", () => {
  for (const [name, [entry, ...given]] of Object.entries({ ...entries, ...storeEntries })) {
    it.effect(`${name}-is-done-or-refused-by-name`, () =>
      isDoneOrRefusedByName(
        (...args) =>
          Effect.gen(function* () {
            // Functions that open snapshots find one.
            if (given.includes(paths) || given.includes(pools) || isOfStore(name))
              yield* Effect.orDie(Effect.scoped(Pipeline.run(spec, { ...capture, target: "/s/good" })))
            return yield* entry(...args)
          }).pipe(Effect.provide(host(), { local: true })),
        given
      )
    )
  }

  it.effect("a-pipeline-as-its-probe-and-gives-no-text-is-a-failed-validation", () =>
    Effect.gen(function* () {
      const throwing = () => {
        throw new Error("a probe's own")
      }
      for (const [validate, told] of [
        [() => Effect.void, "found undefined"],
        [() => Effect.succeed(5), "found 5"],
        [() => 1, "found 1"],
        [() => null, "found null"],
        [throwing, "a probe's own"]
      ] as const) {
        const run = Pipeline.run as unknown as Untyped
        const error = yield* Effect.flip(Effect.scoped(run(spec, { ...capture, validate }))).pipe(
          Effect.provide(host(), { local: true })
        )
        const { _tag, message } = error as { readonly _tag: string; readonly message: string }
        assert.deepStrictEqual([_tag, message.includes(told)], ["ValidationFailed", true], message)
      }
    })
  )

  it.effect("a-boot-as-its-disks-or-network-is-refused-by-name", () =>
    Effect.gen(function* () {
      for (const wrong of [{ disks: null }, { disks: {} }, { disks: [null] }, { network: 5 }, { network: null }]) {
        const run = Pipeline.run as unknown as Untyped
        const error = yield* Effect.flip(Effect.scoped(run({ ...spec, ...wrong }, capture))).pipe(
          Effect.provide(host(), { local: true })
        )
        assert.strictEqual((error as { readonly _tag: string })._tag, "PipelineRefused", fc.stringify(wrong))
      }
    })
  )
})
