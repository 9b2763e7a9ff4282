/**
 * Makes what the outer guest of `make kvm` runs through the addon: the program of the cases, bundled, and the guest that it boots.
 *
 * `node build.ts FOLDER`
 *
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { bundle } from "../bundling/bundle.ts"
import { guest } from "./guest.ts"

const packages = fileURLToPath(new URL("../../packages", import.meta.url))

const folder = process.argv[2] ?? ""
mkdirSync(folder, { recursive: true })
const work = mkdtempSync(join(tmpdir(), "stillpoint-kvm-"))
try {
  const { initramfs, spec } = await Effect.runPromise(guest(folder, work, "/suite/kit"))
  writeFileSync(join(folder, "initramfs"), initramfs)
  writeFileSync(join(folder, "guest.json"), JSON.stringify(spec))
} finally {
  rmSync(work, { recursive: true, force: true })
}
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
