import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { DurableFiles, GuestAgent, SnapshotStore } from "@stillpoint/core"
import { isDoneOrRefusedByName, MemoryFiles, nearly, rubbish, ScriptedVmm, uncovered } from "@stillpoint/core/testing"
import { Effect, Layer, type Scope } from "effect"
import * as fc from "fast-check"
import { Archive, debianTrixie } from "./archive/Archive.ts"
import { splitClearsigned } from "./archive/clearsigned.ts"
import { SignatureVerifier } from "./archive/SignatureVerifier.ts"
import { BootedKit } from "./booted/BootedKit.ts"
import { GuestKit } from "./GuestKit.ts"
import { imageGuest } from "./image/ImageGuest.ts"
import * as Exported from "./index.ts"
import { readCpio } from "./initramfs/cpio.ts"
import { buildInitramfs } from "./initramfs/Initramfs.ts"
import { KitError, PackageUnknown } from "./KitError.ts"

const folder = mkdtempSync(join(tmpdir(), "stillpoint-kit-untyped-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Called = Effect.Effect<unknown, unknown, Scope.Scope>
type Untyped = (...args: ReadonlyArray<unknown>) => Called

let fetched = 0
const gone = Effect.suspend(() => {
  fetched += 1
  return new KitError({ reason: new PackageUnknown({ name: "any", source: "a test" }) })
})
/** Nothing is fetched here: a caller that gets this far has made a valid request. */
const archive = Layer.succeed(Archive, {
  config: debianTrixie,
  find: () => gone,
  fetch: () => gone,
  fetchPast: () => gone
})
const agent = GuestAgent.layerFile("/nowhere", "none is needed")

const config = {
  directory: join(folder, "kit"),
  lockPath: join(import.meta.dirname, "../guest-kit.lock.json"),
  onNotice: () => undefined,
  onProgress: () => undefined,
  whenGone: "refuse"
}
const kitLayer = (given: unknown) =>
  Layer.provide(GuestKit.layerNoDeps(given as never), [archive, agent, DurableFiles.layer])

const programs = { agent: new Uint8Array(), busybox: new Uint8Array(), modules: new Map() }

const ofKit =
  (method: "bootSpec" | "guest" | "initramfs"): Untyped =>
  (given) =>
    Effect.flatMap(GuestKit, (kit) => (kit[method] as unknown as Untyped)(given)).pipe(Effect.provide(kitLayer(config)))

const ofBooted = (given: unknown, input: unknown): Called =>
  Effect.flatMap(BootedKit, ({ create }) => create(input as never)).pipe(
    Effect.provide(
      Layer.provide(BootedKit.layer(given as never), [
        kitLayer(config),
        Layer.provideMerge(Layer.mergeAll(ScriptedVmm.layer(), SnapshotStore.layer), new MemoryFiles().layer)
      ])
    )
  )

const guests = nearly({ workload: { argv: ["true"] } }, [
  "files",
  "links",
  "directories",
  "modules",
  "hostname",
  "root",
  "volumes",
  "hold"
])
const image = {
  file: "/cache/a.erofs",
  digest: "00".repeat(32),
  sizeBytes: 4_096,
  imageDigest: "sha256:a",
  platform: "linux/riscv64",
  layers: [],
  config: {
    user: "",
    exposedPorts: [],
    env: [],
    entrypoint: [],
    cmd: ["true"],
    volumes: [],
    workingDir: "",
    labels: {},
    stopSignal: ""
  }
}
const images = nearly({ image }, [
  "workload",
  "disks",
  "scratch",
  "hostname",
  "readOnly",
  "seed",
  "epochMillis",
  "network",
  "heartbeatMillis"
])
const texts = fc.oneof(rubbish, fc.constant("text"))
const bytes = fc.oneof(rubbish, fc.constant(new Uint8Array(200)))

const entries: Readonly<Record<string, readonly [Untyped, ...ReadonlyArray<fc.Arbitrary<unknown>>]>> = {
  "GuestKit.bootSpec": [ofKit("bootSpec"), images],
  "GuestKit.guest": [ofKit("guest"), guests],
  "GuestKit.initramfs": [ofKit("initramfs"), guests],
  "GuestKit.layerNoDeps": [(given) => Layer.build(kitLayer(given)), nearly(config)],
  "Archive.layerNoDeps": [
    (given) => Layer.build(Layer.provide(Archive.layerNoDeps(given as never), SignatureVerifier.layer)),
    nearly({ ...debianTrixie })
  ],
  "GuestKit.layerOf": [
    (platform) => Layer.build(Layer.provide(GuestKit.layerOf(platform as never), agent)),
    fc.oneof(rubbish, fc.constantFrom("amd64", "riscv64", "arm64"))
  ],
  "Archive.layerOf": [
    (platform) => Layer.build(Archive.layerOf(platform as never)),
    fc.oneof(rubbish, fc.constantFrom("amd64", "riscv64", "arm64"))
  ],
  "SignatureVerifier.layerKeyrings": [
    (paths) =>
      Effect.flatMap(SignatureVerifier, ({ verify }) => verify("a test", "text", "signature")).pipe(
        Effect.provide(SignatureVerifier.layerKeyrings(paths as never))
      ),
    fc.oneof(rubbish, fc.array(fc.oneof(rubbish, fc.constant("/nowhere"))))
  ],
  "BootedKit.layer": [
    (given) => ofBooted(given, { image }),
    nearly({ directory: join(folder, "booted") }, ["memoryMib", "diskSlots", "heartbeatMillis"])
  ],
  "BootedKit.create": [(input) => ofBooted({}, input), images],
  buildInitramfs: [buildInitramfs as unknown as Untyped, fc.oneof(rubbish, fc.constant(programs)), guests],
  imageGuest: [imageGuest as unknown as Untyped, images],
  readCpio: [
    (archive) => Effect.mapError(Effect.fromResult(readCpio(archive as never)), (why) => ({ _tag: "Told", why })),
    bytes
  ],
  splitClearsigned: [
    (...args) => Effect.fromResult(splitClearsigned(...(args as unknown as [never, never]))),
    texts,
    texts
  ]
}

/** By the reason, the functions that it holds for. */
const exempt = {
  "it reads an environment as Node.js has it": ["defaultDirectory", "defaultGuestKitConfig"],
  "it is given what the kit has read or made": ["compareDebianVersions", "writeCpio"]
}

it("every-public-function-is-tried-by-a-program-without-types-or-exempt-for-a-reason", () => {
  assert.deepStrictEqual(uncovered(Exported, Object.keys(entries), exempt), { missing: [], gone: [] })
})

describe("whatever a program without types hands to", () => {
  for (const [name, [entry, ...given]] of Object.entries(entries)) {
    it.effect(`${name}-is-done-or-refused-by-name`, () => isDoneOrRefusedByName(entry, given))
  }

  it.effect("the-kit-is-refused-before-anything-is-fetched-for-it", () =>
    Effect.gen(function* () {
      fetched = 0
      for (const wrong of [undefined, null, 5, {}, { workload: { argv: [] } }, { image: 5 }, { hostname: "a-" }]) {
        for (const method of ["bootSpec", "guest", "initramfs"] as const) {
          // A guest may be nothing but the kit.
          if (fc.stringify(wrong) === "{}" && method !== "bootSpec") continue
          const error = yield* Effect.flip(Effect.scoped(ofKit(method)(wrong)))
          assert.include(["ImageGuestError", "InitramfsError"], (error as { readonly _tag: string })._tag)
        }
      }
      assert.strictEqual(fetched, 0)
    })
  )
})
