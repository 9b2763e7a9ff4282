import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Core from "@stillpoint/core"
import { type DurableFiles, Journal, Snapshots, SnapshotStore, type Vmm } from "@stillpoint/core"
import { isDoneOrRefusedByName, MemoryFiles, nearly, rubbish, ScriptedVmm, uncovered } from "@stillpoint/core/testing"
import * as OfImages from "@stillpoint/images"
import { Artifacts, ImageError, Images } from "@stillpoint/images"
import * as Kit from "@stillpoint/kit"
import { GuestKit, KitError, PackageUnknown } from "@stillpoint/kit"
import * as Native from "@stillpoint/native"
import * as Triggers from "@stillpoint/triggers"
import { onListener } from "@stillpoint/triggers"
import { Effect, Layer, type Scope } from "effect"
import * as fc from "fast-check"
import { exportSnapshot } from "./archive/exportSnapshot.ts"
import { importSnapshot } from "./archive/importSnapshot.ts"
import * as Exported from "./index.ts"
import { pullLazily } from "./registry/pullLazily.ts"
import { pullSnapshot } from "./registry/pullSnapshot.ts"
import { pushSnapshot } from "./registry/pushSnapshot.ts"
import { report } from "./report/report.ts"
import { reportedRun } from "./report/ReportedRun.ts"
import { bake } from "./sandbox/bake.ts"
import { readMoment } from "./sandbox/readMoment.ts"
import { poolOf, Sandbox } from "./sandbox/Sandbox.ts"
import { Stillpoint } from "./sandbox/Stillpoint.ts"

const folder = mkdtempSync(join(tmpdir(), "stillpoint-sandbox-untyped-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
writeFileSync(join(folder, "no-archive"), "not one")

let booted = 0
const spec = { kernelPath: "/kernel", initramfs: new Uint8Array(), origin: { packages: [] } }
const refusing = Effect.suspend(() => new KitError({ reason: new PackageUnknown({ name: "any", source: "a test" }) }))
const kit = Layer.succeed(GuestKit, {
  platform: "riscv64",
  files: refusing,
  programs: refusing,
  lock: refusing,
  initramfs: () => refusing,
  guest: () => Effect.sync(() => ((booted += 1), spec)),
  guestToFind: () => refusing,
  guestToKeep: () => refusing,
  bootSpec: () => refusing
})
const noImage = Effect.suspend(() => new ImageError({ reason: { _tag: "ReferenceInvalid", message: "of a test" } }))
const images = Layer.succeed(Images, { resolve: () => noImage, list: noImage, prune: () => noImage })

const host = () => {
  const files = new MemoryFiles().layer
  const machines = Layer.mergeAll(ScriptedVmm.layer(), SnapshotStore.layer, Journal.layerMemory)
  const stores = Layer.provideMerge(Layer.orDie(Snapshots.layer({ home: "/home" })), machines)
  return Layer.mergeAll(Layer.provideMerge(stores, files), kit, images, Layer.orDie(Artifacts.layer()))
}

type Services = Artifacts | Vmm | SnapshotStore | Snapshots | Journal | GuestKit | Images | DurableFiles | Scope.Scope
type Called = Effect.Effect<unknown, unknown, Services>
type Untyped = (...args: ReadonlyArray<unknown>) => Called

/** The right one is baked, and has a name. */
const kept = Effect.scoped(bake({ image: "kit:httpd", captureAt: onListener(), name: "web", replace: true }))
const withKept =
  (call: Untyped): Untyped =>
  (...args) =>
    Effect.andThen(kept, call(...args))

/** The requests to a sandbox. */
const ofSandbox = (method: "exec" | "fork" | "snapshot" | "spawn"): Untyped =>
  withKept((...args) =>
    Effect.flatMap(Sandbox.of("web"), (sandbox) =>
      (sandbox[method] as unknown as Untyped).apply(sandbox, args as never)
    )
  )
const publishing: Untyped = withKept((spec) =>
  Effect.flatMap(Sandbox.of("web"), ({ ports }) => (ports.publish as Untyped)(spec))
)

const rejected = (call: () => Promise<unknown>): Called => Effect.tryPromise({ try: call, catch: (cause) => cause })

/** Whatever a file is called, it is made in a folder of this test. */
const inFolder = (path: unknown): unknown =>
  typeof path === "string" && path !== "" && !path.includes("\0") && !path.startsWith("/")
    ? join(folder, "made", path)
    : path
const withHome = (given: unknown): never =>
  (typeof given === "object" && given !== null && "home" in given
    ? { ...given, home: inFolder(given.home) }
    : given) as never

const home = join(folder, "home")
const asked = nearly({ image: "kit:httpd", captureAt: "listener", home }, [
  "name",
  "replace",
  "memoryMib",
  "platform",
  "workload",
  "images",
  "signal"
])
const ofStore = nearly({ home }, ["keys", "signal"])
const bakes = nearly({ image: "kit:httpd", captureAt: onListener() }, [
  "name",
  "replace",
  "memoryMib",
  "platform",
  "workload"
])
const references = fc.oneof(rubbish, fc.constantFrom("web", "nothing"))
const commands = fc.oneof(
  nearly({ argv: ["true"] }, ["env", "cwd", "stdin", "terminal"]),
  fc.constantFrom("true", ["true"])
)
/** Of no registry: nothing is asked outside. */
const registries = fc.oneof(
  rubbish.filter((value) => typeof value !== "string"),
  fc.constantFrom("", "\0", "web", "oci:/nowhere/at/all")
)
const archives = fc.oneof(
  rubbish.filter((path) => typeof path !== "string"),
  fc.constantFrom("", "\0", join(folder, "no-archive"), "/nowhere/at/all")
)

const entries: Readonly<Record<string, readonly [Untyped, ...ReadonlyArray<fc.Arbitrary<unknown>>]>> = {
  bake: [bake as unknown as Untyped, bakes],
  "Sandbox.create": [Sandbox.create as unknown as Untyped, bakes],
  "Sandbox.of": [withKept(Sandbox.of as unknown as Untyped), references],
  "Sandbox.exec": [ofSandbox("exec"), commands],
  "Sandbox.spawn": [ofSandbox("spawn"), commands],
  "Sandbox.ports.publish": [publishing, nearly({ port: 80 }, ["host", "hostPort"])],
  "Sandbox.fork": [ofSandbox("fork"), fc.oneof(rubbish, fc.constant(1))],
  "Sandbox.snapshot": [ofSandbox("snapshot"), references, nearly({}, ["replace"])],
  "Sandbox.serve": [
    withKept(Sandbox.serve as unknown as Untyped),
    references,
    // None is served: that takes long.
    nearly({ port: 8080, host: "nowhere" }, ["per", "hostPort", "pool", "maxOpen"])
  ],
  poolOf: [withKept(poolOf as unknown as Untyped), references, fc.oneof(rubbish, fc.constant(1))],
  exportSnapshot: [
    withKept((reference, path) => (exportSnapshot as unknown as Untyped)(reference, inFolder(path))),
    references,
    archives
  ],
  importSnapshot: [importSnapshot as unknown as Untyped, archives, references, nearly({}, ["replace", "expecting"])],
  pushSnapshot: [withKept(pushSnapshot as unknown as Untyped), references, registries, nearly({}, ["onProgress"])],
  pullSnapshot: [
    pullSnapshot as unknown as Untyped,
    registries,
    fc.oneof(rubbish, fc.constant("web")),
    nearly({}, ["onProgress", "replace", "expecting"])
  ],
  pullLazily: [
    pullLazily as unknown as Untyped,
    registries,
    fc.oneof(rubbish, fc.constant("web")),
    nearly({}, ["onProgress", "replace", "expecting", "rest"])
  ],
  report: [withKept(report as unknown as Untyped), fc.oneof(rubbish, fc.array(references, { maxLength: 2 }))],
  reportedRun: [withKept(reportedRun as unknown as Untyped), references],
  readMoment: [
    readMoment as unknown as Untyped,
    fc.oneof(rubbish, fc.constant(onListener()), fc.constantFrom("listener:80", "{", "{}"))
  ]
}

/** Those that answer with a promise. They are given nothing that could be made: no guest is booted here. */
const promised: Readonly<Record<string, readonly [Untyped, ...ReadonlyArray<fc.Arbitrary<unknown>>]>> = {
  "Stillpoint.create": [
    (given) => rejected(() => Stillpoint.create(withHome(given))),
    asked.filter((given) => typeof given !== "object" || given === null || Reflect.get(given, "image") !== "kit:httpd")
  ],
  "Stillpoint.of": [
    (reference, given) => rejected(() => Stillpoint.of(reference as never, withHome(given))),
    references,
    nearly({ home }, ["images", "signal"])
  ],
  "Stillpoint.serve": [
    (reference, given) => rejected(() => Stillpoint.serve(reference as never, withHome(given))),
    references,
    nearly({ port: 8080, home }, ["pool", "per", "signal", "onServed"])
  ],
  "Stillpoint.snapshots.list": [(given) => rejected(() => Stillpoint.snapshots.list(withHome(given))), ofStore],
  "Stillpoint.snapshots.get": [
    (reference, given) => rejected(() => Stillpoint.snapshots.get(reference as never, withHome(given))),
    references,
    ofStore
  ],
  "Stillpoint.snapshots.remove": [
    (reference, given) => rejected(() => Stillpoint.snapshots.remove(reference as never, withHome(given))),
    references,
    ofStore
  ],
  "Stillpoint.layer": [
    (given) => Layer.build(Stillpoint.layer(withHome(given))) as Called,
    nearly({ home }, ["images"])
  ]
}

const libraries: Readonly<Record<string, unknown>> = { ...Core, ...OfImages, ...Kit, ...Native, ...Triggers }

/** By the reason, the functions that it holds for. */
const exempt = {
  "it draws what the library has made": [
    "bootPicture",
    "explainSnapshot",
    "reportedRecording",
    "reportPage",
    "runPicture"
  ],
  "it needs a guest, and passes on to the Sandbox that it holds": [
    "exec",
    "spawn",
    "snapshot",
    "fork",
    "pause",
    "resume"
  ].map((method) => `Stillpoint.${method}`),
  "nobody but the class calls it": ["Stillpoint.opened", "Stillpoint.run"],
  "it takes nothing": [
    "Stillpoint.close",
    "Sandbox.pause",
    "Sandbox.resume",
    "ServedSnapshot.close",
    "ServedSnapshot.stats"
  ],
  "it needs a snapshot that is served": ["ServedSnapshot.drain"],
  "it is Stillpoint.serve": ["ServedSnapshot.of"]
}

it("whoever-installs-this-package-has-all-that-the-libraries-export", () => {
  const exported: Readonly<Record<string, unknown>> = Exported
  assert.deepStrictEqual(
    Object.entries(libraries).filter(([name, value]) => exported[name] !== value),
    []
  )
})

it("every-public-function-is-tried-by-a-program-without-types-or-exempt-for-a-reason", () => {
  const tried = [...Object.keys(entries), ...Object.keys(promised)]
  // Those of the libraries are tried there.
  const own = Object.entries(Exported).filter(([name, value]) => libraries[name] !== value)
  assert.deepStrictEqual(uncovered(Object.fromEntries(own), tried, exempt), { missing: [], gone: [] })
})

describe("whatever a program without types hands to", () => {
  for (const [name, [entry, ...given]] of Object.entries(entries)) {
    it.effect(`${name}-is-done-or-refused-by-name`, () =>
      isDoneOrRefusedByName(
        (...args) =>
          entry(...args).pipe(Effect.provide(host(), { local: true })) as Effect.Effect<unknown, unknown, Scope.Scope>,
        given,
        { runs: 50 }
      )
    )
  }

  for (const [name, [entry, ...given]] of Object.entries(promised)) {
    it.live(`${name}-is-done-or-refused-by-name`, () =>
      isDoneOrRefusedByName(
        entry as (...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown, Scope.Scope>,
        given,
        {
          runs: 10
        }
      )
    )
  }

  it.effect("a-bake-is-refused-for-all-that-is-wrong-with-it-before-anything-is-booted", () =>
    Effect.gen(function* () {
      booted = 0
      const wrong = {
        image: "",
        platform: "linux/arm64",
        memoryMib: 0,
        workload: { argv: [] },
        captureAt: "listner",
        name: "../up",
        replace: "yes",
        mistyped: 1
      }
      for (const call of [bake, Sandbox.create] as ReadonlyArray<unknown>) {
        const error = yield* Effect.flip(Effect.scoped((call as Untyped)(wrong))).pipe(
          Effect.provide(host(), { local: true })
        )
        const { _tag, problems } = error as { readonly _tag: string; readonly problems: ReadonlyArray<string> }
        assert.strictEqual(_tag, "OptionsInvalid")
        assert.deepStrictEqual(
          problems.map((problem) => problem.split(/[:.]/)[0]).toSorted(),
          Object.keys(wrong).toSorted(),
          problems.join("; ")
        )
        assert.includeMembers(problems.slice(), [
          'image: expected a value with a length of at least 1, found ""',
          "memoryMib: expected a value greater than or equal to 1, found 0",
          "replace: expected boolean, found yes"
        ])
      }
      assert.strictEqual(booted, 0)
    })
  )

  it("options-that-are-no-object-are-one-problem", async () => {
    const calls: ReadonlyArray<(given: never) => Promise<unknown>> = [
      Stillpoint.create,
      (given) => Stillpoint.of("web", given),
      (given) => Stillpoint.serve("web", given),
      Stillpoint.snapshots.list
    ]
    for (const call of calls) {
      for (const given of ["kit:httpd", ["web"], 5]) {
        const error = await call(given as never).catch((cause: unknown) => cause)
        const { _tag, problems } = error as { readonly _tag: string; readonly problems: ReadonlyArray<string> }
        assert.strictEqual(_tag, "OptionsInvalid")
        assert.lengthOf(problems, 1)
        assert.match(String(problems[0]), /^expected an object, such as \{ .* \}, found /)
      }
    }
  })

  it("a-sandbox-with-its-services-is-refused-for-all-that-is-wrong-with-either", () => {
    const wrong = {
      home: "",
      images: { maxBytes: -1 },
      keys: { signingKey: 5 },
      signal: 5,
      image: "kit:htpd",
      platform: "amd64",
      memoryMib: 0,
      captureAt: "listner",
      name: "../up",
      replace: "yes",
      mistyped: 1
    }
    const names = fc.subarray(Object.keys(wrong) as Array<keyof typeof wrong>, { minLength: 2 })
    return fc.assert(
      fc.asyncProperty(names, async (names) => {
        const asked = { image: "kit:httpd", home, ...Object.fromEntries(names.map((name) => [name, wrong[name]])) }
        const error: unknown = await Stillpoint.create(asked as never).catch((cause: unknown) => cause)
        const { _tag, problems } = error as { readonly _tag: string; readonly problems: ReadonlyArray<string> }
        assert.strictEqual(_tag, "OptionsInvalid")
        const told = new Set(problems.map((problem) => problem.split(/[:.]/)[0]))
        assert.deepStrictEqual([...told].toSorted(), names.toSorted(), problems.join("; "))
      }),
      { numRuns: 50 }
    )
  })
})
