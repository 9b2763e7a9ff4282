/**
 * Writes the API reference to `docs/api/`, a page for each entry of each package, with TypeDoc.
 *
 * Entries are what the packages' `exports` name, so a page shows what a user can import.
 */
import { execFileSync } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
const out = join(root, "docs/api")

interface PackageJson {
  readonly name: string
  readonly exports?: Readonly<Record<string, Readonly<Record<string, string>> | null>>
}

const entries = globSync("packages/*/package.json", { cwd: root })
  .toSorted()
  .flatMap((path) => {
    const { exports = {} }: PackageJson = JSON.parse(readFileSync(join(root, path), "utf8"))
    const sources = Object.values(exports).map((conditions) => conditions?.["stillpoint-source"])
    return sources.filter((source) => source !== undefined).map((source) => join(root, dirname(path), source))
  })

const folder = join(root, ".cache/docs")
mkdirSync(folder, { recursive: true })
const tsconfig = {
  extends: join(root, "tsconfig.base.json"),
  compilerOptions: {
    noEmit: true,
    composite: false,
    incremental: false,
    customConditions: ["stillpoint-source"],
    typeRoots: [join(root, "node_modules/@types")]
  },
  files: entries
}
writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(tsconfig))
const options = {
  name: "Stillpoint",
  plugin: [fileURLToPath(import.meta.resolve("typedoc-plugin-markdown"))],
  tsconfig: join(folder, "tsconfig.json"),
  entryPoints: entries,
  basePath: join(root, "packages"),
  displayBasePath: join(root, "packages"),
  router: "module",
  readme: "none",
  out,
  cleanOutputDir: true,
  excludeInternal: true,
  // What classes inherit from libraries stands in their documentation.
  excludeExternals: true,
  excludePrivate: true,
  // The sources are named without a link to a line: a page is the same wherever it is made.
  disableSources: true,
  hideBreadcrumbs: true,
  hidePageHeader: true,
  // Types of our own that an entry does not export are looked at in the code; they are no reason to fail.
  validation: { notExported: false, invalidLink: false, notDocumented: false },
  logLevel: "Warn"
}
writeFileSync(join(folder, "typedoc.json"), JSON.stringify(options))
rmSync(out, { recursive: true, force: true })
const typedoc = join(root, "scripts/docs/node_modules/typedoc/bin/typedoc")
execFileSync(process.execPath, [typedoc, "--options", join(folder, "typedoc.json")], { cwd: root, stdio: "inherit" })
for (const page of globSync("docs/api/**/*.md", { cwd: root }).toSorted()) process.stdout.write(`${page}\n`)
