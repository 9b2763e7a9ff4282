/** Guests of images for the tests: a root of busybox and a few files, its machines, and what they say. */
import { randomBytes } from "node:crypto"
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Journal, type GuestEvent, type Machine, SnapshotStore, Vmm } from "@stillpoint/core"
import { BootedKit, GuestKit, type ImageGuestInput } from "@stillpoint/kit"
import { NativeAgent, NativeVmm } from "@stillpoint/native"
import { Effect, Layer } from "effect"
import { Images } from "../src/Images.ts"
import { type LayerEntry, writeLayout } from "../src/testing/ociLayout.ts"

/** A folder that goes with the process: images and snapshots of booted kits are shared by the tests of one file. */
const shared = mkdtempSync(join(tmpdir(), "stillpoint-image-guests-"))
process.once("exit", () => rmSync(shared, { recursive: true, force: true }))

/** A folder that goes with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-test-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const machines = Layer.mergeAll(
  NativeVmm.layer,
  Layer.provide(GuestKit.layer, NativeAgent.layer),
  SnapshotStore.layerHost,
  Journal.layerMemory,
  Images.layer({ cacheDirectory: join(shared, "images") })
)

/** A kit whose snapshots are kept in that folder. */
export const bootedKitAt = (directory: string) => BootedKit.layer({ directory, memoryMib: 128 })

/** Machines, images, the guest kit, and a booted one. */
export const layer = Layer.provideMerge(bootedKitAt(join(shared, "booted")), machines)

const applets = "sh cat echo sleep sync ls mount touch dd seq tail wc true df mkdir mv rm".split(" ")

/** A small image: busybox, the names that its programs have, two users, and what the test adds. */
export const smallImage = Effect.fn("smallImage")(function* (
  files: ReadonlyArray<LayerEntry> = [],
  config: object = { Cmd: ["sleep", "1000000"] }
) {
  const { busyboxPath } = yield* Effect.flatMap(GuestKit, (kit) => kit.files)
  const entries: ReadonlyArray<LayerEntry> = [
    { path: "bin/", type: "directory" },
    { path: "bin/busybox", content: readFileSync(busyboxPath), mode: 0o755 },
    ...applets.map((name): LayerEntry => ({ path: `bin/${name}`, type: "symlink", link: "busybox" })),
    { path: "etc/", type: "directory" },
    { path: "etc/passwd", content: "root:x:0:0:root:/:/bin/sh\nada:x:1000:1000::/home:/bin/sh\n" },
    { path: "etc/group", content: "root:x:0:\nada:x:1000:\n" },
    { path: "etc/image", content: "from the image\n" },
    ...files
  ]
  const layout = yield* Effect.map(folder, (path) => writeLayout(path, [{ layers: [entries], config }]))
  return yield* Images.use((images) => images.resolve(`oci:${layout}`))
})

/** An image with one file of so many random bytes, `/big`: in a copy that the test may change, and what is in that file. */
export const bigImage = Effect.fn("bigImage")(function* (bigBytes: number, config?: object) {
  const big = randomBytes(bigBytes)
  const image = yield* smallImage([{ path: "big", content: big }], config)
  const file = join(yield* folder, "image")
  copyFileSync(image.file, file)
  return { image: { ...image, file }, big }
})

/** Guest time by which every guest of these tests has done what it is asked. */
export const enough = 60_000_000_000

/** A booted guest of an image that has come to its first event of that kind. */
export const bootedTo = Effect.fn("bootedTo")(function* (kind: GuestEvent["_tag"], input: ImageGuestInput) {
  const kit = yield* GuestKit
  const spec = { ...(yield* kit.bootSpec(input)), memoryMib: 128 }
  const machine = yield* (yield* Vmm).boot(spec)
  yield* runTo(machine, kind)
  return machine
})

/** Runs a guest to its next event of that kind. */
export const runTo = Effect.fn("runTo")(function* (machine: Machine, kind: GuestEvent["_tag"]) {
  const stop = yield* machine.run({ kinds: [kind, "WorkloadFailed", "AgentRejected"], budgetNanos: enough })
  const last = (yield* machine.eventsSoFar()).at(-1)
  if (stop.reason === "event" && last?._tag === kind) return last
  const said = JSON.stringify({ last, lines: (yield* linesOf(machine)).slice(-20) }, (_, value: unknown) =>
    typeof value === "bigint" ? String(value) : value
  )
  return yield* Effect.die(new Error(`expected ${kind}, the run ended (${stop.reason}): ${said}`))
})

/** The lines on a guest's console. */
export const linesOf = (machine: Machine) =>
  Effect.map(machine.eventsSoFar(), (events) =>
    events.flatMap((event) => (event._tag === "SerialLine" ? [event.text] : []))
  )

/** The output of a guest's command, which must succeed. */
export const say = Effect.fn("say")(function* (machine: Machine, ...argv: ReadonlyArray<string>) {
  const { code, signal, stderr, stdout } = yield* machine.exec({ argv })
  if (code === 0) return new TextDecoder().decode(stdout)
  const said = new TextDecoder().decode(stderr)
  return yield* Effect.die(
    new Error(`expected ${argv.join(" ")} to succeed, found ${code ?? `signal ${signal}`}: ${said}`)
  )
})

/** Whether a program of the host is there. */
export const isThere = (...paths: ReadonlyArray<string>): boolean => paths.some((path) => existsSync(path))
