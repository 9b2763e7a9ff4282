/**
 * Bundles the command line into `packages/stillpoint/whole/`, which `start.ts` runs. Its modules find the files of their packages
 * from the installed packages, so the file is the same here and in the packed package.
 *
 * @module
 */
import { chmodSync, mkdtempSync, renameSync, rmSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { bundle } from "./bundle.ts"

const packages = fileURLToPath(new URL("../../packages", import.meta.url))

/** `packages/kit/src/x/y.ts` is `x/y.ts` beside what `@stillpoint/kit` means. */
const addressOf = (module: string): string => {
  const [, name = "", inside = ""] = /^([^/]+)\/src\/(.*)$/.exec(relative(packages, module)) ?? []
  if (name === "") throw new Error(`${module}: expected a module of packages/, as others' addresses are not known`)
  return name === "stillpoint"
    ? `new URL("../src/${inside}", import.meta.url).href`
    : `new URL("./${inside}", import.meta.resolve("@stillpoint/${name}")).href`
}

/** Bundles it; a process that starts it meanwhile gets the old file or the new one. */
export const bundleCommand = async (): Promise<void> => {
  const folder = join(packages, "stillpoint")
  const draft = mkdtempSync(join(folder, ".whole-"))
  try {
    const program = join(folder, "src/cli/main.ts")
    await bundle({ program, outDir: draft, fileName: "main.js", addressOf })
    // It holds nothing that is not in the sources: who may read those may read it.
    chmodSync(draft, 0o755)
    rmSync(join(folder, "whole"), { recursive: true, force: true })
    renameSync(draft, join(folder, "whole"))
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

if (import.meta.main) await bundleCommand()
