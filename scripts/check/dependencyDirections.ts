/**
 * Checks that dependencies point one way: between packages as the table below says, inside a package without a cycle,
 * between the Rust crates as the second table says, inside a crate without a cycle of modules, and between the parts of the
 * guest's agent without a cycle of headers. A package or crate that stands in neither table is a problem, too.
 *
 * Inside a package each folder is checked separately: its files and subfolders, taken as wholes, must form a graph without
 * a cycle. So `kit/cli.ts` may use `kit/archive/`, which may use `kit/KitError.ts`; two folders side by side may not use
 * each other.
 *
 * A package's barrel (`index.ts`) and tests are not part of the folder graph: the barrel imports everything and no module
 * of its own package imports it; tests may import anything inside it.
 */
import { globSync, readFileSync } from "node:fs"
import { dirname, join, normalize, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { rustModuleGraphs } from "./rustModules.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Our packages that each package may import. */
const mayImport: Readonly<Record<string, ReadonlyArray<string>>> = {
  core: [],
  triggers: ["core"],
  kit: ["core"],
  native: ["core"],
  images: ["core", "native"],
  stillpoint: ["core", "triggers", "kit", "native", "images"]
}

/** Our crates that each crate may depend on. */
const mayDependOn: Readonly<Record<string, ReadonlyArray<string>>> = {
  vmm: [],
  soft: ["vmm"],
  kvm: ["vmm"],
  engines: ["vmm", "soft", "kvm"],
  confine: [],
  net: ["vmm", "confine"],
  host: ["vmm", "net", "confine"],
  images: [],
  binding: ["vmm", "engines", "host", "images", "net", "confine"]
}

const problems: Array<string> = []

/** Folders of a kind that no table lists would not be checked. */
const stranded = (where: string, manifest: string, known: Readonly<Record<string, unknown>>): void => {
  for (const path of globSync(`*/${manifest}`, { cwd: join(root, where) })) {
    const name = dirname(path)
    if (!(name in known)) problems.push(`${where}/${name}: expected a line in scripts/check/dependencyDirections.ts`)
  }
}
stranded("packages", "package.json", mayImport)
stranded("packages/native/crates", "Cargo.toml", mayDependOn)

const importsOf = (text: string): ReadonlyArray<string> => {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "")
  const pattern =
    /(?:^|\n)\s*(?:import|export)\b[^"'\n]*?(?:\{[^}]*\}[^"'\n]*?)?from\s+["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)|(?:^|\n)\s*import\s+["']([^"']+)["']/g
  return [...code.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3] ?? "")
}

/** The first cycle found in a graph, as the nodes on it. */
const cycleIn = (graph: ReadonlyMap<string, ReadonlySet<string>>): ReadonlyArray<string> | undefined => {
  const done = new Set<string>()
  const path: Array<string> = []
  const visit = (node: string): ReadonlyArray<string> | undefined => {
    const at = path.indexOf(node)
    if (at >= 0) return [...path.slice(at), node]
    if (done.has(node)) return undefined
    path.push(node)
    for (const next of graph.get(node) ?? []) {
      const found = visit(next)
      if (found !== undefined) return found
    }
    path.pop()
    done.add(node)
    return undefined
  }
  for (const node of graph.keys()) {
    const found = visit(node)
    if (found !== undefined) return found
  }
  return undefined
}

for (const [name, allowed] of Object.entries(mayImport)) {
  const source = join(root, "packages", name, "src")
  const graphs = new Map<string, Map<string, Set<string>>>()
  const because = new Map<string, string>()
  for (const file of globSync("**/*.ts", { cwd: source })) {
    const isTest = file.endsWith(".test.ts")
    for (const specifier of importsOf(readFileSync(join(source, file), "utf8"))) {
      const [, scoped, whole] = /^@stillpoint\/([a-z]+)|^(stillpoint)(?:\/|$)/.exec(specifier) ?? []
      const ours = scoped ?? whole
      if (ours !== undefined && !allowed.includes(ours) && !isTest) {
        problems.push(
          `packages/${name}/src/${file} imports ${specifier}; ${name} may import ${allowed.join(", ") || "nothing of ours"}`
        )
      }
      if (!specifier.startsWith(".")) continue
      const target = relative(source, normalize(join(source, dirname(file), specifier)))
      if (target.startsWith("..")) {
        if (!isTest) problems.push(`packages/${name}/src/${file} imports ${specifier}, outside its package's sources`)
        continue
      }
      if (isTest || /(^|\/)index\.ts$/.test(file)) continue
      const [from, to] = [file.split("/"), target.split("/")]
      const depth = from.findIndex((part, index) => part !== to[index])
      const folder = from.slice(0, depth).join("/")
      const [user, used] = [from.slice(0, depth + 1).join("/"), to.slice(0, depth + 1).join("/")]
      if (depth < 0) continue
      const graph = graphs.get(folder) ?? new Map<string, Set<string>>()
      graphs.set(folder, graph)
      graph.set(user, (graph.get(user) ?? new Set()).add(used))
      because.set(`${user} → ${used}`, `${file} imports ${target}`)
    }
  }
  for (const graph of graphs.values()) {
    const cycle = cycleIn(graph)
    if (cycle === undefined) continue
    const steps = cycle.slice(1).map((to, index) => `    ${because.get(`${cycle[index]} → ${to}`) ?? ""}`)
    problems.push(`packages/${name}/src: a circle of dependencies: ${cycle.join(" → ")}\n${steps.join("\n")}`)
  }
}

for (const [name, allowed] of Object.entries(mayDependOn)) {
  const manifest = readFileSync(join(root, "packages/native/crates", name, "Cargo.toml"), "utf8")
  // Those of one kind of host, too; a crate that only tests use is no direction.
  const sections = manifest.matchAll(/^\[(?:target\..*\.)?dependencies\]\n((?:[^[\n].*\n|\n)*)/gm)
  const dependencies = [...sections].map(([, lines = ""]) => lines).join("")
  for (const match of dependencies.matchAll(/^stillpoint-([a-z]+)/gm)) {
    if (!allowed.includes(match[1] ?? "")) {
      problems.push(
        `packages/native/crates/${name} depends on ${match[0]}; it may depend on ${allowed.join(", ") || "nothing of ours"}`
      )
    }
  }
}

for (const name of Object.keys(mayDependOn)) {
  const { because, graphs } = rustModuleGraphs(join(root, "packages/native/crates", name, "src"))
  for (const graph of graphs.values()) {
    const cycle = cycleIn(graph)
    if (cycle === undefined) continue
    const steps = cycle.slice(1).map((to, index) => `    ${because.get(`${cycle[index]} → ${to}`) ?? ""}`)
    problems.push(`packages/native/crates/${name}/src: a circle of modules: ${cycle.join(" → ")}\n${steps.join("\n")}`)
  }
}

// A part of the agent is a source and its header; what it includes are the parts that it uses.
const agent = join(root, "packages/native/agent/src")
const parts = new Map<string, Set<string>>()
for (const file of globSync("*.{c,h}", { cwd: agent })) {
  const part = file.replace(/\.[ch]$/, "")
  const used = parts.get(part) ?? new Set()
  parts.set(part, used)
  for (const [, header = ""] of readFileSync(join(agent, file), "utf8").matchAll(/^#include "(\w+)\.h"/gm)) {
    if (header !== part) used.add(header)
  }
}
const partCycle = cycleIn(parts)
if (partCycle !== undefined) problems.push(`packages/native/agent/src: a circle of headers: ${partCycle.join(" → ")}`)

for (const problem of problems) process.stderr.write(`${problem}\n`)
process.exitCode = problems.length > 0 ? 1 : 0
