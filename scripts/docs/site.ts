/**
 * Builds the site in `site/`: the pages of `docs/` as they stand in `pages.ts`, and the reference of every package, with TypeDoc.
 *
 * The reference covers the packages' `exports`, so it shows what a user can import. A broken link fails the build.
 */
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { Application, type DeclarationReflection, PageEvent, ReflectionKind } from "typedoc"
import type { Row } from "../../bench/row.ts"
import { brokenInSite } from "./builtLinks.ts"
import { brokenLinks, groupNames, home, onSite, pages, root, titleOf } from "./pages.ts"

const out = join(root, "site")
const folder = join(root, ".cache/docs")

interface PackageJson {
  readonly name: string
  readonly exports?: Readonly<Record<string, Readonly<Record<string, string>> | null>>
}

/** The imports of a user, by the file that they come from. */
const entries = new Map(
  globSync("packages/*/package.json", { cwd: root })
    .toSorted()
    .flatMap((path) => {
      const { exports = {}, name }: PackageJson = JSON.parse(readFileSync(join(root, path), "utf8"))
      return Object.entries(exports).flatMap(([key, conditions]) => {
        const source = conditions?.["stillpoint-source"]
        if (source === undefined) return []
        return [[join(root, dirname(path), source), name + key.slice(1)] as const]
      })
    })
)

const fail = (problems: ReadonlyArray<string>): void => {
  if (problems.length === 0) return
  process.stderr.write(`${problems.join("\n")}\n`)
  process.exit(1)
}

/** Writes a copy of a page that begins with its title and its group, where TypeDoc looks for them. */
const staged = (path: string, group?: string): string => {
  const text = readFileSync(join(root, path), "utf8")
  fail(brokenLinks(path, text))
  const body = onSite(path, text)
  const file = join(folder, "pages", path)
  mkdirSync(dirname(file), { recursive: true })
  const matter = `---\ntitle: ${JSON.stringify(titleOf(text))}\ngroup: ${group}\n---\n`
  writeFileSync(file, group === undefined ? body : `${matter}${body}`)
  return file
}

/** The figures of the last `make bench` on this host as a table; nothing if there was none. */
const measuredHere = (): string => {
  const file = join(root, "bench/out/latest.json")
  if (!existsSync(file)) return ""
  const rows: ReadonlyArray<Row> = JSON.parse(readFileSync(file, "utf8"))
  const cells = ({ name, peer, peerValue, ratio, unit, value }: Row) =>
    `| \`${name}\` | ${value} ${unit} | ${peer === null ? "" : `${peerValue} ${unit}, ${peer}`} | ${ratio ?? ""} |`
  const head = "## Measured where this site was built\n\n| row | ours | peer | ratio |\n| --- | --- | --- | --- |\n"
  return `${head}${rows.map(cells).join("\n")}\n`
}

/** A page of its own for the figures: those of the README, and those of this host. */
const performance = (): string => {
  const [, figures = ""] = /^## Figures\n([\s\S]*?)(?=^## )/m.exec(readFileSync(join(root, home), "utf8")) ?? []
  const file = join(folder, "pages/docs/performance.md")
  writeFileSync(file, `---\ntitle: Performance\ngroup: Reference\n---\n# Performance\n${figures}\n${measuredHere()}`)
  return file
}

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
const readme = staged(home)
const projectDocuments = pages.map(({ group, path }) => staged(path, group))
projectDocuments.push(performance())

const tsconfig = join(folder, "tsconfig.json")
writeFileSync(
  tsconfig,
  JSON.stringify({
    extends: join(root, "tsconfig.base.json"),
    compilerOptions: {
      noEmit: true,
      composite: false,
      incremental: false,
      customConditions: ["stillpoint-source"],
      typeRoots: [join(root, "node_modules/@types")]
    },
    files: [...entries.keys()]
  })
)

const app = await Application.bootstrap({
  name: "Stillpoint",
  tsconfig,
  entryPoints: [...entries.keys()],
  basePath: join(root, "packages"),
  displayBasePath: join(root, "packages"),
  readme,
  projectDocuments,
  out,
  cleanOutputDir: true,
  excludeInternal: true,
  // Members inherited from libraries are in those libraries' documentation.
  excludeExternals: true,
  excludePrivate: true,
  // The sources are named without a link to a line: a page is the same wherever it is made.
  disableSources: true,
  disableGit: true,
  includeHierarchySummary: false,
  groupOrder: [...groupNames, "Modules", "*"],
  sort: ["kind", "alphabetical-ignoring-documents"],
  navigation: { includeGroups: true, includeCategories: false, includeFolders: false },
  // Types of our own that an entry does not export are looked at in the code; links to them are their names.
  validation: { notExported: false, invalidLink: false, notDocumented: false },
  logLevel: "Warn"
})
const project = await app.convert()
if (project === undefined) process.exit(1)

/** Modules are called as they are imported. */
const sourceNames = new Map(
  [...entries].map(([path, name]) => [relative(join(root, "packages"), path).replace(/(\/index)?\.ts$/, ""), name])
)
for (const module of project.children ?? []) {
  if (module.kindOf(ReflectionKind.Module)) module.name = sourceNames.get(module.name) ?? module.name
}

/** The name of something with the namespaces that it is in: `Gate.restore`. */
const fullName = (reflection: DeclarationReflection): string => {
  const { parent } = reflection
  return parent?.kindOf(ReflectionKind.Namespace) === true
    ? `${fullName(parent as DeclarationReflection)}.${reflection.name}`
    : reflection.name
}
app.renderer.on(PageEvent.END, (page) => {
  const reflection = page.model as DeclarationReflection
  if (page.contents === undefined || reflection.parent?.kindOf(ReflectionKind.Namespace) !== true) return
  const [name, short] = [fullName(reflection), reflection.name]
  page.contents = page.contents
    .replace(/<h1[^>]*>.*?<\/h1>/s, (heading) => heading.replace(short, name))
    .replace(`<title>${short} |`, `<title>${name} |`)
})

await app.generateDocs(project, out)
if (app.logger.hasErrors()) process.exit(1)
fail(brokenInSite(out))
process.stdout.write(`${join(relative(process.cwd(), out), "index.html")}\n`)
