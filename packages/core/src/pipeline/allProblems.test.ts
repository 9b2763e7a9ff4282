import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as fc from "fast-check"
import { Journal } from "../journal/Journal.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { ScriptedVmm } from "../testing/ScriptedVmm.ts"
import * as Pipeline from "./Pipeline.ts"

const host = () =>
  Layer.provideMerge(
    Layer.mergeAll(ScriptedVmm.layer(), SnapshotStore.layer, Journal.layerMemory),
    new MemoryFiles().layer
  )

const execProbe = Pipeline.execProbe as unknown as (command: unknown) => unknown

/** By the beginning of its report: an option, and invalid values for it. */
const ofSpec: Readonly<Record<string, readonly [string, ...ReadonlyArray<unknown>]>> = {
  "spec.kernelPath": ["kernelPath", 5, null],
  "spec.memoryMib": ["memoryMib", "much", 0.5, 2 ** 20],
  "spec.seed": ["seed", "any", -1],
  "spec.commandLine": ["commandLine", "a\nb"],
  "spec.network": ["network", { mtu: 1 }],
  "spec.diskSlots": ["diskSlots", 25],
  "spec.origin": ["origin", 5, { of: () => 5 }],
  "spec.eventQuotas": ["eventQuotas", 5, { SerialLine: 5 }, { SerialLine: { burstBytes: -1, bytesPerSecond: 1 } }]
}

const ofCapture: Readonly<Record<string, readonly [string, ...ReadonlyArray<unknown>]>> = {
  policy: ["policy", 5, {}],
  name: ["name", 5],
  replace: ["replace", "yes"],
  prefetch: ["prefetch", 1],
  warmUp: [
    "warmUp",
    5,
    [{ argv: [] }],
    [{}],
    [{ argv: ["true"], cwd: 5 }],
    [{ argv: ["true"] }, { argv: ["true"], timeoutNanos: -1 }],
    [{ argv: ["a\0"] }],
    [{ argv: ["true"], mistyped: 1 }]
  ],
  freeze: ["freeze", 5, { deadline: "soon" }, { whenever: true }],
  validate: [
    "validate",
    5,
    execProbe(undefined),
    execProbe({ argv: [] }),
    execProbe({ argv: ["true"], env: { "a=b": "c" } }),
    execProbe({ argv: ["true"], mistyped: 1 })
  ],
  gate: [
    "gate",
    5,
    { hostTimeout: "soon" },
    { identity: 5 },
    { identity: { machineId: "zz" } },
    { identity: { hostname: "web-" } },
    { identity: { entropy: new Uint8Array(31) } },
    { identity: { realtimeNanos: 0n } },
    { identity: { env: { A: 5 } } },
    { signal: 65 }
  ],
  tuning: ["tuning", 5, { boot: 5 }, { sleep: {} }, { watch: { retrys: 1 } }, { watch: { retry: 3 } }],
  watchLimit: ["watchLimit", "soon"],
  observe: ["observe", 5],
  recordGuest: ["recordGuest", 1],
  "options.mistyped": ["mistyped", 1]
}

const disk = { name: "data", access: "scratch", sizeBytes: 512 }

/** By its report: a problem inside one option, which may occur together with the others. */
const inside: Readonly<Record<string, readonly [option: string, wrong: object]>> = {
  "tuning: no stage is called": ["tuning", { sleep: {} }],
  "tuning.boot:": ["tuning", { boot: 5 }],
  "tuning.watch.retry:": ["tuning", { watch: { retry: 3 } }],
  "tuning.capture.timeout:": ["tuning", { capture: { timeout: "soon" } }],
  "tuning.publish.retrys:": ["tuning", { publish: { retrys: 1 } }],
  "freeze.whenever:": ["freeze", { whenever: true }],
  "freeze.deadline:": ["freeze", { deadline: "soon" }],
  "gate.signal:": ["gate", { signal: 65 }],
  "gate.hostTimeout:": ["gate", { hostTimeout: "soon" }],
  "gate.identity.": ["gate", { identity: { machineId: "zz" } }],
  "gate.mistyped:": ["gate", { mistyped: 1 }]
}

/** The same of what is booted, of whose parts several say something together. */
const insideSpec: Readonly<Record<string, readonly [option: string, wrong: object]>> = {
  "spec.initramfs:": ["", { initramfs: new Uint8Array(1), initramfsPath: "/root" }],
  "spec.memoryMib:": ["", { memoryMib: 0 }],
  "spec.disks.0: expected a scratch disk": ["disks", { 0: { ...disk, source: "/disk" } }],
  "spec.disks.1.sizeBytes:": ["disks", { 1: { ...disk, name: "more", sizeBytes: 1 } }],
  "spec.disks: expected a name for each disk": [
    "disks",
    { 2: { ...disk, name: "same" }, 3: { ...disk, name: "same" } }
  ],
  "spec.disks.4.name:": ["disks", { 4: { ...disk, name: "" } }]
}

type Wrong = Readonly<Record<string, unknown>>

/** Some of them, each with one of the values that it may not have. */
const some = (table: typeof ofSpec): fc.Arbitrary<Wrong> =>
  fc.record(
    Object.fromEntries(Object.entries(table).map(([told, [, ...values]]) => [told, fc.constantFrom(...values)])),
    { requiredKeys: [] }
  )

const given = (table: typeof ofSpec, wrong: Wrong) =>
  Object.fromEntries(Object.entries(wrong).map(([told, value]) => [table[told]?.[0] ?? told, value]))

const capture = { policy: kindTrigger("ListenerBound"), target: "/s/one" }

type Asked = Effect.Effect<unknown, { readonly _tag: string; readonly problems: ReadonlyArray<string> }>
type Untyped = (...args: ReadonlyArray<unknown>) => Asked

const run = Pipeline.run as unknown as Untyped
const sideBySide = Pipeline.sideBySide as unknown as Untyped
const repeat: Untyped = (...args) =>
  Stream.runDrain(
    (Pipeline.repeat as unknown as (...args: ReadonlyArray<unknown>) => Stream.Stream<unknown>)(...args)
  ) as Asked

/** The problems for which a pipeline is refused. */
const refusal = (ask: Asked) =>
  Effect.runPromise(
    Effect.scoped(Effect.flip(ask)).pipe(
      Effect.tap(({ _tag }) => Effect.sync(() => assert.strictEqual(_tag, "PipelineRefused"))),
      Effect.map(({ problems }) => problems),
      Effect.provide(host(), { local: true })
    ) as Effect.Effect<ReadonlyArray<string>>
  )

const names = (problems: ReadonlyArray<string>, wrong: Wrong, before = "") => {
  for (const told of Object.keys(wrong)) {
    const isTold = problems.some((problem) => new RegExp(`^${before}${told}[.:]`).test(problem))
    assert.isTrue(isTold, `${told} in ${problems.join("; ")}`)
  }
}

describe("all that is wrong with what a pipeline is given is told at once", () => {
  const target = fc.constantFrom<unknown>("/s/one", 5, "", "/s/\0")

  it("of-a-run-and-of-captures-of-a-policy-that-repeats", () =>
    fc.assert(
      fc.asyncProperty(some(ofSpec), some(ofCapture), target, fc.boolean(), async (spec, options, target, repeats) => {
        if (Object.keys(spec).length + Object.keys(options).length === 0 && target === "/s/one") return
        const asked = {
          ...capture,
          ...given(ofCapture, options),
          target: repeats && target !== 5 ? () => target : target
        }
        const ask = repeats ? repeat : run
        const problems = await refusal(ask({ kernelPath: "/kernel", ...given(ofSpec, spec) }, asked))
        names(problems, { ...spec, ...options, ...(target === "/s/one" ? {} : { target }) })
        assert.strictEqual(new Set(problems).size, problems.length, "told twice")
      }),
      { numRuns: 100 }
    ))

  it("of-the-function-that-names-the-targets-of-a-policy-that-repeats-before-the-boot-or-at-its-firing", () => {
    const misbehaving: Readonly<Record<string, () => unknown>> = {
      "that it threw Error: a target's own": () => {
        throw new Error("a target's own")
      },
      "that it threw undefined": () => {
        throw undefined
      },
      "a promise": () => Promise.reject(new Error("rejected")),
      undefined: () => undefined,
      "5": () => 5,
      "Symbol(x)": () => Symbol("x")
    }
    return fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.entries(misbehaving)), fc.nat(1), async ([found, misbehave], at) => {
        const named: Array<number> = []
        const target = (index: number) => {
          named.push(index)
          return index === at ? misbehave() : `/s/${index}`
        }
        const problems = await refusal(
          repeat({ kernelPath: "/kernel" }, { policy: kindTrigger("HeartbeatTick", 2), target })
        )
        assert.deepStrictEqual(problems.length, 1)
        assert.include(problems[0], `target(${at}): `)
        assert.include(problems[0], `found ${found}`)
        assert.strictEqual(named.at(-1), at, "and nothing was asked of it after that")
      }),
      { numRuns: 30 }
    )
  })

  it("of-parts-of-one-option-whatever-else-is-wrong-in-it", () => {
    const right: Readonly<Record<string, object>> = {
      "": { kernelPath: "/kernel" },
      disks: Array.from({ length: 5 }, (_, index) => ({ ...disk, name: `disk-${index}` }))
    }
    const joined = (table: typeof inside, told: ReadonlyArray<string>) => {
      const options = new Map<string, object>()
      for (const [option, wrong] of told.flatMap((one) => (table[one] === undefined ? [] : [table[one]]))) {
        const given = options.get(option) ?? right[option] ?? {}
        options.set(option, Array.isArray(given) ? Object.assign([...given], wrong) : { ...given, ...wrong })
      }
      return Object.fromEntries(options)
    }
    return fc.assert(
      fc.asyncProperty(
        fc.subarray(Object.keys(inside)),
        fc.subarray(Object.keys(insideSpec)),
        fc.boolean(),
        async (wrong, ofSpec, badPolicy) => {
          if (wrong.length + ofSpec.length === 0) return
          const { "": whole = {}, ...parts } = joined(insideSpec, ofSpec)
          const asked = { ...capture, ...joined(inside, wrong), ...(badPolicy ? { policy: 5 } : {}) }
          const problems = await refusal(run({ kernelPath: "/kernel", ...whole, ...parts }, asked))
          for (const told of [...wrong, ...ofSpec, ...(badPolicy ? ["policy:"] : [])]) {
            assert.isTrue(
              problems.some((problem) => problem.startsWith(told)),
              `${told} in ${problems.join("; ")}`
            )
          }
          assert.strictEqual(new Set(problems).size, problems.length, "told twice")
        }
      ),
      { numRuns: 100 }
    )
  })

  it("of-captures-side-by-side", () =>
    fc.assert(
      fc.asyncProperty(some(ofSpec), some(ofCapture), some(ofCapture), async (spec, one, two) => {
        // Two captures with one target are a problem of their own.
        const captures = [one, two].map((wrong) => ({ ...capture, ...given(ofCapture, wrong) }))
        const problems = await refusal(sideBySide({ kernelPath: "/kernel", ...given(ofSpec, spec) }, captures))
        names(problems, spec)
        names(problems, one, "capture 0: ")
        names(problems, two, "capture 1: ")
        names(problems, { target: "/s/one" })
      }),
      { numRuns: 50 }
    ))
})
