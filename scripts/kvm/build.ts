/**
 * Makes what the outer guest of `make kvm` runs through the addon: the program of the cases, bundled, and a guest of the kit.
 *
 * `node build.ts FOLDER`
 *
 * @module
 */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { GuestKit } from "@stillpoint/kit"
import { NativeAgent } from "@stillpoint/native"
import { Effect, Layer } from "effect"
import { bundle } from "../bundling/bundle.ts"

const packages = fileURLToPath(new URL("../../packages", import.meta.url))

const guest = GuestKit.use((kit) =>
  kit.guest({
    workload: { argv: ["/bin/httpd", "-f", "-p", "8080", "-h", "/www"] },
    network: true,
    files: { "/www/index.html": { content: "a page of amd64\n" } }
  })
).pipe(Effect.provide(Layer.provide(GuestKit.layerOf("amd64"), NativeAgent.layer)))

const folder = process.argv[2] ?? ""
mkdirSync(folder, { recursive: true })
const { initramfs, kernelPath } = await Effect.runPromise(guest)
copyFileSync(kernelPath, join(folder, "vmlinux"))
writeFileSync(join(folder, "initramfs"), initramfs)
await bundle({
  program: fileURLToPath(new URL("cases.ts", import.meta.url)),
  outDir: folder,
  fileName: "cases.js",
  // The addon is found from where the packages are, the program is itself.
  addressOf: (module) =>
    module.startsWith(packages)
      ? JSON.stringify(`file:///suite/packages/${relative(packages, module)}`)
      : "import.meta.url"
})
