/**
 * Programs as one file each: to find nine hundred modules takes longer than what they are started for.
 *
 * @module
 */
import { isAbsolute } from "node:path"
import type { Plugin } from "vite"

/** How a program is bundled. */
export interface BundleOptions {
  /** The program's source. */
  readonly program: string
  /** Where the file is written. */
  readonly outDir: string
  readonly fileName: string
  /** What a module's address, its `import.meta.url`, is in the bundle: an expression. Files beside a module are found from there. */
  readonly addressOf: (module: string) => string
}

const withAddresses = (addressOf: BundleOptions["addressOf"], read: Set<string>): Plugin => ({
  name: "addresses",
  transform: (code, module) => {
    // What the bundler adds of its own is no file, and means the bundle.
    if (!isAbsolute(module)) return undefined
    read.add(module)
    return code.includes("import.meta.url") ? code.replaceAll("import.meta.url", () => addressOf(module)) : undefined
  }
})

/** Bundles a program with everything that it imports, from the sources of the packages; the modules that were read. */
export const bundle = async (options: BundleOptions): Promise<ReadonlyArray<string>> => {
  const { addressOf, fileName, outDir, program } = options
  const read = new Set<string>()
  // Whoever finds a bundle as it is wanted needs no bundler.
  const { build } = await import("vite")
  await build({
    configFile: false,
    logLevel: "error",
    plugins: [withAddresses(addressOf, read)],
    ssr: { noExternal: true, resolve: { conditions: ["stillpoint-source"] } },
    build: {
      ssr: program,
      outDir,
      emptyOutDir: false,
      minify: false,
      // Whose code it is stays said; the rest of what is written in it is for readers of the sources.
      rolldownOptions: {
        output: { entryFileNames: fileName, comments: { legal: true, jsdoc: false, annotation: false } }
      }
    }
  })
  return [...read]
}
