/**
 * Programs that tests run many times, as one file each. A bundle is kept, with the engine's compiled code, and used again as long
 * as each of its modules is unchanged: a digest decides, not a time.
 *
 * ```
 * .cache/bundled/<program>/<digest>/
 *   program.mjs    what is run
 *   whole.mjs      the program with everything that it imports
 *   compiled/      what the engine compiled
 *   modules.json   the sources, each with its digest, and the digest of all that is beside them
 * ```
 *
 * @module
 */
import { createHash } from "node:crypto"
import {
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { bundle } from "../bundling/bundle.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Long after the last process that was started from a bundle has ended. */
const unusedAfterMillis = 24 * 3_600_000

/** Compiled once, however often it starts. */
const start = `import { enableCompileCache } from "node:module"
import { join } from "node:path"
enableCompileCache(join(import.meta.dirname, "compiled"))
await import("./whole.mjs")
`

const draftPrefix = "draft-"

interface Modules {
  readonly beside: string
  readonly sources: Readonly<Record<string, string>>
}

const digestOf = (...texts: ReadonlyArray<string | Buffer>): string => {
  const hash = createHash("sha256")
  for (const text of texts) hash.update(createHash("sha256").update(text).digest())
  return hash.digest("hex")
}

/** The digest of a file; that of an empty one if it is missing. */
const digestOfFile = (path: string): string => {
  try {
    return digestOf(readFileSync(path))
  } catch {
    return ""
  }
}

/** The digest of what decides beside the sources: which packages are installed, where modules are found, and how they are bundled. */
const besideSources = (): string =>
  digestOf(
    root,
    ...["pnpm-lock.yaml", "package.json", "scripts/bundling/bundle.ts", "scripts/testing/bundled.ts"].map((path) =>
      digestOfFile(join(root, path))
    ),
    ...globSync(["packages/*/package.json", "{packages/*,.}/tsconfig*.json"], { cwd: root })
      .toSorted()
      .map((path) => path + digestOfFile(join(root, path)))
  )

const entriesOf = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** The bundle in a folder, if it is up to date. */
const current = (folder: string, beside: string): string | undefined => {
  try {
    const made = JSON.parse(readFileSync(join(folder, "modules.json"), "utf8")) as Modules
    const isCurrent =
      made.beside === beside &&
      Object.entries(made.sources).every(([path, digest]) => digestOfFile(join(root, path)) === digest)
    return isCurrent ? join(folder, "program.mjs") : undefined
  } catch {
    return undefined
  }
}

const isUnused = (folder: string): boolean => {
  try {
    return Date.now() - statSync(folder).mtimeMs > unusedAfterMillis
  } catch {
    return false
  }
}

/** Bundles a program with all its imports, unless that is done already; returns its path. */
export const bundled = async (program: string): Promise<string> => {
  const folder = join(root, ".cache/bundled", relative(root, program).replaceAll("/", "-"))
  const beside = besideSources()
  // A draft belongs to its process until it has its name.
  for (const name of entriesOf(folder).filter((each) => !each.startsWith(draftPrefix))) {
    const found = current(join(folder, name), beside)
    if (found !== undefined) return found
  }
  mkdirSync(folder, { recursive: true })
  for (const name of entriesOf(folder)) {
    if (isUnused(join(folder, name))) rmSync(join(folder, name), { recursive: true, force: true })
  }
  const draft = mkdtempSync(join(folder, draftPrefix))
  const addressOf = (module: string): string => JSON.stringify(pathToFileURL(module).href)
  const modules = await bundle({ program, outDir: draft, fileName: "whole.mjs", addressOf })
  const sources = Object.fromEntries(
    modules.filter((path) => !path.includes("/node_modules/")).map((path) => [relative(root, path), digestOfFile(path)])
  )
  const made = JSON.stringify({ beside, sources } satisfies Modules)
  writeFileSync(join(draft, "program.mjs"), start)
  writeFileSync(join(draft, "modules.json"), made)
  const whole = join(folder, digestOf(made))
  try {
    renameSync(draft, whole)
  } catch {
    // Another process was first, with the same.
    rmSync(draft, { recursive: true, force: true })
  }
  return join(whole, "program.mjs")
}
