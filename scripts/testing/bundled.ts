/**
 * Programs that tests run many times, as one file each.
 *
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { bundle } from "../bundling/bundle.ts"

/** Compiled once, however often it starts. */
const start = `import { enableCompileCache } from "node:module"
enableCompileCache(new URL("compiled", import.meta.url).pathname)
await import("./whole.mjs")
`

/** Bundles a program with everything that it imports; its path, which is there as long as this process. */
export const bundled = async (program: string): Promise<string> => {
  const outDir = mkdtempSync(join(tmpdir(), "stillpoint-bundled-"))
  process.once("exit", () => rmSync(outDir, { recursive: true, force: true }))
  const addressOf = (module: string): string => JSON.stringify(pathToFileURL(module).href)
  await bundle({ program, outDir, fileName: "whole.mjs", addressOf })
  writeFileSync(join(outDir, "program.mjs"), start)
  return join(outDir, "program.mjs")
}
