/**
 * Programs as one file each: to find nine hundred modules takes longer than what they are started for.
 *
 * @module
 */
import { isAbsolute } from "node:path"
import { build, type Plugin } from "vite"

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

const withAddresses = (addressOf: BundleOptions["addressOf"]): Plugin => ({
  name: "addresses",
  // What the bundler adds of its own is no file, and means the bundle.
  transform: (code, module) =>
    isAbsolute(module) && code.includes("import.meta.url")
      ? code.replaceAll("import.meta.url", () => addressOf(module))
      : undefined
})

/** Bundles a program with everything that it imports, from the sources of the packages. */
export const bundle = async ({ addressOf, fileName, outDir, program }: BundleOptions): Promise<void> => {
  await build({
    configFile: false,
    logLevel: "error",
    plugins: [withAddresses(addressOf)],
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
}
