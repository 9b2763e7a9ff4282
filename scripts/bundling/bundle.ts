/**
 * Bundles programs into one file each: finding nine hundred modules takes longer than the programs' own start.
 *
 * @module
 */
import * as http from "node:http"
import { isAbsolute } from "node:path"
import type { Plugin } from "vite"

/** Options of a bundle. */
export interface BundleOptions {
  /** The program's source. */
  readonly program: string
  /** The folder for the file. */
  readonly outDir: string
  readonly fileName: string
  /** The expression for a module's `import.meta.url` in the bundle. Files beside a module are found from there. */
  readonly addressOf: (module: string) => string
}

const withAddresses = (addressOf: BundleOptions["addressOf"], read: Set<string>): Plugin => ({
  name: "addresses",
  transform: (code, module) => {
    // Modules that the bundler adds are not files, and belong to the bundle.
    if (!isAbsolute(module)) return undefined
    read.add(module)
    return code.includes("import.meta.url") ? code.replaceAll("import.meta.url", () => addressOf(module)) : undefined
  }
})

/**
 * Takes `node:http` without importing it: an import reads its getters, too. What they get (`WebSocket` and other globals) is a fifth of
 * the start of a program, and no program takes it from there.
 */
const withoutGettersOfHttp: Plugin = {
  name: "without getters of node:http",
  enforce: "pre",
  resolveId: (name) => (name === "node:http" || name === "http" ? "\0node:http" : undefined),
  load: (module) => {
    if (module !== "\0node:http") return undefined
    const names = Object.keys(http).filter((name) => name !== "default" && !(name in globalThis))
    return `const http = process.getBuiltinModule("node:http")\nexport default http\nexport const { ${names.join(", ")} } = http\n`
  }
}

/** Bundles a program with everything that it imports, from the sources of the packages; the modules that were read. */
export const bundle = async (options: BundleOptions): Promise<ReadonlyArray<string>> => {
  const { addressOf, fileName, outDir, program } = options
  const read = new Set<string>()
  // An up-to-date bundle needs no bundler.
  const { build } = await import("vite")
  await build({
    configFile: false,
    logLevel: "error",
    plugins: [withAddresses(addressOf, read), withoutGettersOfHttp],
    ssr: { noExternal: true, resolve: { conditions: ["stillpoint-source"] } },
    build: {
      ssr: program,
      outDir,
      emptyOutDir: false,
      minify: false,
      // Licence notes stay; other comments are for readers of the sources.
      rolldownOptions: {
        output: { entryFileNames: fileName, comments: { legal: true, jsdoc: false, annotation: false } }
      }
    }
  })
  return [...read]
}
