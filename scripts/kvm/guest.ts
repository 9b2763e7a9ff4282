/**
 * The guest of `cases.ts`: an amd64 image, made here of the kit's busybox, that serves a page.
 *
 * @module
 */
import { copyFileSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { GuestKit } from "@stillpoint/kit"
import { Images } from "@stillpoint/images"
import { NativeAgent } from "@stillpoint/native"
import { Effect, Layer } from "effect"
import { type LayerEntry, writeLayout } from "../../packages/images/src/testing/ociLayout.ts"

/** A program that tries every known way to the agent: `agent/test/reach.c`. */
const probe = fileURLToPath(new URL("../../packages/native/agent/build/probe-amd64", import.meta.url))
const page = "a page of amd64\n"
const programs = ["sh", "cat", "echo", "hostname", "httpd", "uname", "mount"]

const image = Effect.fn("image")(function* (folder: string) {
  const { busyboxPath } = yield* GuestKit.use((kit) => kit.files)
  const entries: ReadonlyArray<LayerEntry> = [
    ...["bin/", "etc/", "sbin/", "tmp/", "www/"].map((path): LayerEntry => ({ path, type: "directory" })),
    { path: "bin/busybox", content: readFileSync(busyboxPath), mode: 0o755 },
    ...programs.map((name): LayerEntry => ({ path: `bin/${name}`, type: "symlink", link: "busybox" })),
    { path: "bin/probe", content: readFileSync(probe), mode: 0o755 },
    { path: "etc/passwd", content: "root:x:0:0:root:/:/bin/sh\n" },
    { path: "etc/group", content: "root:x:0:\n" },
    { path: "www/index.html", content: page }
  ]
  // What tries to get out must not fail for want of a folder that it may write to.
  const layer = entries.map((entry) => ({ ...entry, owner: 0 }))
  const config = { Entrypoint: ["/bin/httpd", "-f", "-p", "8080", "-h", "/www"], Env: ["PATH=/bin"] }
  const platform = { os: "linux", architecture: "amd64" }
  const layout = writeLayout(join(folder, "layout"), [{ layers: [layer], config, platform }])
  return yield* Images.use((images) => images.resolve(`oci:${layout}`, { platform: "linux/amd64" }))
})

/**
 * What boots it, with its files in `folder`: the image read-only, what is written on a disk of its own, a network. `at` is where the
 * folder is when it boots.
 */
export const guest = Effect.fn("guest")(
  function* (folder: string, work: string, at: string) {
    const found = yield* image(work)
    const kit = yield* GuestKit
    const spec = yield* kit.bootSpec({ image: found, network: true, scratch: { diskBytes: 16 << 20 } })
    copyFileSync(spec.kernelPath, join(folder, "vmlinux"))
    copyFileSync(found.file, join(folder, "image"))
    const { initramfs, ...more } = spec
    const disks = spec.disks.map((disk) => ("source" in disk ? { ...disk, source: `${at}/image` } : disk))
    return { initramfs, spec: { ...more, kernelPath: `${at}/vmlinux`, initramfsPath: `${at}/initramfs`, disks } }
  },
  (effect, _folder, work) =>
    Effect.provide(
      effect,
      Layer.merge(
        Layer.provide(GuestKit.layerOf("amd64"), NativeAgent.layer),
        Images.layer({ cacheDirectory: join(work, "images") })
      )
    )
)
