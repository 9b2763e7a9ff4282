import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, type Scope, Stream } from "effect"
import * as fc from "fast-check"
import type { DurableFiles } from "./files/DurableFiles.ts"
import * as Gate from "./gate/Gate.ts"
import { Journal } from "./journal/Journal.ts"
import * as Pipeline from "./pipeline/Pipeline.ts"
import { makeClonePool } from "./pool/ClonePool.ts"
import { SnapshotStore } from "./snapshot/SnapshotStore.ts"
import { kindTrigger } from "./testing/kindTrigger.ts"
import { MemoryFiles } from "./testing/MemoryFiles.ts"
import { ScriptedVmm } from "./testing/ScriptedVmm.ts"
import { Vmm } from "./Vmm.ts"

const rubbish: fc.Arbitrary<unknown> = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withTypedArray: true }),
  fc.constantFrom<unknown>(
    undefined,
    null,
    Symbol("x"),
    () => Effect.void,
    Promise.resolve(1),
    Object.create(null),
    "1 second",
    "-1 second",
    "",
    "/s/\0",
    -1,
    1.5,
    Number.NaN,
    Infinity,
    {},
    [],
    [undefined],
    [{ argv: [] }],
    [{ argv: [5] }],
    { when: "later" },
    { watch: { timeout: "soon" } },
    { watch: 5 },
    { hostTimeout: {} },
    { identity: { entropy: 5 } },
    { identity: { hostname: "-" } },
    Effect.void
  )
)

const host = () =>
  Layer.provideMerge(
    Layer.mergeAll(ScriptedVmm.layer(), SnapshotStore.layer, Journal.layerMemory),
    new MemoryFiles().layer
  )

const spec = { kernelPath: "/kernel" }
const capture = { policy: kindTrigger("ListenerBound"), target: "/s/one" }

/** What is right, with some of it replaced; or something else altogether. */
const nearly = (right: Readonly<Record<string, unknown>>, names: ReadonlyArray<string>): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 1, arbitrary: rubbish },
    {
      weight: 5,
      arbitrary: fc
        .array(fc.tuple(fc.constantFrom(...Object.keys(right), ...names, "noSuchOption"), rubbish), { maxLength: 2 })
        .map((changes) => ({ ...right, ...Object.fromEntries(changes) }))
    }
  )

const captureOptions = nearly(capture, [
  "name",
  "replace",
  "warmUp",
  "freeze",
  "validate",
  "gate",
  "prefetch",
  "tuning",
  "watchLimit",
  "observe",
  "recordGuest"
])
const specs = nearly(spec, [
  "initramfs",
  "initramfsPath",
  "memoryMib",
  "seed",
  "commandLine",
  "eventQuotas",
  "origin",
  "disks",
  "network"
])
const gates = nearly({}, [
  "identity",
  "guestTimeout",
  "hostTimeout",
  "clockTolerance",
  "hookTimeout",
  "signal",
  "onState"
])
const pools = nearly({ snapshot: "/s/good", ready: 1 }, [
  "maximum",
  "acquireTimeout",
  "maxWaiting",
  "concurrency",
  "gate",
  "health",
  "drainTimeout"
])

type Called = Effect.Effect<unknown, unknown, Vmm | SnapshotStore | Journal | DurableFiles | Scope.Scope>
type Untyped = (...args: ReadonlyArray<unknown>) => Called

const on =
  (method: "open" | "stage" | "remove" | "sweep"): Untyped =>
  (...args) =>
    Effect.flatMap(SnapshotStore, (store) => (store[method] as unknown as Untyped)(...args))

const paths = fc.oneof(rubbish, fc.constant("/s/good"))

const entries: Readonly<Record<string, readonly [Untyped, ...ReadonlyArray<fc.Arbitrary<unknown>>]>> = {
  "Pipeline.run": [Pipeline.run as unknown as Untyped, specs, captureOptions],
  "Pipeline.sideBySide": [
    Pipeline.sideBySide as unknown as Untyped,
    specs,
    fc.oneof(rubbish, fc.array(captureOptions, { maxLength: 2 })),
    nearly({}, ["observe", "recordGuest"])
  ],
  "Pipeline.repeat": [
    (...args) =>
      Stream.runDrain(
        (Pipeline.repeat as unknown as (...args: ReadonlyArray<unknown>) => Stream.Stream<unknown>)(...args)
      ),
    specs,
    nearly({ ...capture, target: (index: number) => `/s/${index}` }, [
      "deltas",
      "replace",
      "warmUp",
      "tuning",
      "watchLimit"
    ])
  ],
  "Gate.restore": [Gate.restore as unknown as Untyped, paths, gates],
  "Gate.admit": [
    (...args) =>
      Effect.flatMap(
        Effect.flatMap(Vmm, (vmm) => vmm.boot(spec)),
        (machine) => (Gate.admit as unknown as Untyped)(machine, ...args)
      ),
    fc.oneof(rubbish, fc.boolean()),
    gates
  ],
  makeClonePool: [makeClonePool as unknown as Untyped, pools],
  "SnapshotStore.open": [on("open"), paths, nearly({}, ["allowUnvalidated", "digest"])],
  "SnapshotStore.stage": [on("stage"), paths],
  "SnapshotStore.remove": [on("remove"), rubbish],
  "SnapshotStore.sweep": [on("sweep"), paths]
}

/** The commonest: an argument that is left out, or something altogether else. */
const missing = (given: ReadonlyArray<fc.Arbitrary<unknown>>): ReadonlyArray<ReadonlyArray<unknown>> =>
  [undefined, null, Symbol("x"), 5, 5n, "x", true, () => 1, [], {}].flatMap((value) =>
    given.map((_, place) => (fc.sample(fc.tuple(...given), 1)[0] ?? []).with(place, value))
  )

describe("whatever a program without types hands to", () => {
  for (const [name, [entry, ...given]] of Object.entries(entries)) {
    it.effect(
      `${name}-is-done-or-refused-by-name`,
      () =>
        Effect.gen(function* () {
          const refused = new Set<string>()
          for (const args of [...missing(given), ...fc.sample(fc.tuple(...given), 100)]) {
            const exit = yield* Effect.gen(function* () {
              yield* Effect.orDie(Effect.scoped(Pipeline.run(spec, { ...capture, target: "/s/good" })))
              return yield* Effect.exit(Effect.scoped(Effect.suspend(() => entry(...args))))
            }).pipe(Effect.provide(host(), { local: true }))
            if (Exit.isSuccess(exit)) continue
            const found = Cause.squash(exit.cause)
            const told = `${fc.stringify(args)}: ${Cause.pretty(exit.cause)}`
            assert.isFalse(Cause.hasDies(exit.cause), told)
            assert.isTrue(typeof found === "object" && found !== null && "_tag" in found, told)
            refused.add((found as { readonly _tag: string })._tag)
          }
          assert.isAbove(refused.size, 0)
        }) as Effect.Effect<void>
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
