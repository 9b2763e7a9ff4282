/**
 * Programs that tests run many times, as one file each: what starts from its sources loads nine hundred modules, which takes longer than
 * what it is started for.
 *
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { build } from "vite"
/** A module's address stays that of its source: files beside it are found from there. */
const keepsAddresses = {
  name: "keeps-addresses",
  transform: (code, id) =>
    code.includes("import.meta.url")
      ? code.replaceAll("import.meta.url", JSON.stringify(pathToFileURL(id).href))
      : undefined
}
/** Compiled once, however often it starts. */
const start = `import { enableCompileCache } from "node:module"
enableCompileCache(new URL("compiled", import.meta.url).pathname)
await import("./whole.mjs")
`
/** Bundles a program with everything that it imports; its path, which is there as long as this process. */
export const bundled = async (program) => {
  const outDir = mkdtempSync(join(tmpdir(), "stillpoint-bundled-"))
  process.once("exit", () => rmSync(outDir, { recursive: true, force: true }))
  await build({
    configFile: false,
    logLevel: "error",
    plugins: [keepsAddresses],
    ssr: { noExternal: true, resolve: { conditions: ["stillpoint-source"] } },
    build: { ssr: program, outDir, minify: false, rolldownOptions: { output: { entryFileNames: "whole.mjs" } } }
  })
  writeFileSync(join(outDir, "program.mjs"), start)
  return join(outDir, "program.mjs")
}
//# sourceMappingURL=bundled.js.map
