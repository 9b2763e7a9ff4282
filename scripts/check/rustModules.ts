/**
 * Circles among the modules of a Rust crate.
 *
 * Each folder is checked separately, like the TypeScript packages: its modules, files and subfolders taken as wholes, must
 * form a graph without a cycle. The module of the folder itself (`mod.rs`, `lib.rs`) does not count: it contains the others,
 * and they may use its definitions. A name that it re-exports counts as the original module's. Tests may use anything.
 */
import { existsSync, globSync, readFileSync } from "node:fs"
import { join } from "node:path"

type ModulePath = ReadonlyArray<string>

/** Code without comments, texts and test modules. Characters go first: `'"'` begins no text. */
const codeOf = (text: string): string =>
  text
    .replace(/'(?:[^'\\\n]|\\[^\n]{1,9}?)'/g, "' '")
    .replace(/"(?:[^"\\]|\\[^])*"/g, '""')
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/\/\/.*$/gm, "")
    // A test module stands at the end of its file.
    .replace(/#\[cfg\((?:test|all\(test[^\]]*)\)\]\s*(?:pub\(crate\)\s+)?mod \w+ \{[\s\S]*$/, "")
    .replace(/#\[cfg\(test\)\]\s*(?:pub(?:\([a-z]+\))?\s+)?(?:mod|use) [^;{]*;/g, "")

/** The paths that a use tree names: `a::{b, c::{d, e as f}}` gives `a::b`, `a::c::d` and `a::c::e`. */
const pathsOf = (tree: string): ReadonlyArray<ModulePath> => {
  const found: Array<ModulePath> = []
  const visit = (text: string, prefix: ModulePath): void => {
    let depth = 0
    let start = 0
    const parts: Array<string> = []
    for (const [at, char] of [...text].entries()) {
      if (char === "{") depth++
      if (char === "}") depth--
      if (char === "," && depth === 0) {
        parts.push(text.slice(start, at))
        start = at + 1
      }
    }
    for (const part of [...parts, text.slice(start)].map((item) => item.trim()).filter((item) => item !== "")) {
      const brace = part.indexOf("{")
      const head = brace < 0 ? part : part.slice(0, brace)
      const segments = head
        .replace(/\s+as\s+\w+$/, "")
        .split("::")
        .map((segment) => segment.trim())
        .filter((segment) => segment !== "")
      if (brace < 0) found.push([...prefix, ...segments])
      else visit(part.slice(brace + 1, part.lastIndexOf("}")), [...prefix, ...segments])
    }
  }
  visit(tree, [])
  return found
}

interface Module {
  readonly path: ModulePath
  readonly file: string
  readonly uses: ReadonlyArray<{ readonly target: ModulePath; readonly isPassedOn: boolean }>
}

const modulesOf = (source: string): ReadonlyMap<string, Module> => {
  const modules = new Map<string, Module>()
  for (const file of globSync("**/*.rs", { cwd: source })) {
    if (/(^|\/)(tests?|main)(\.rs$|\/)/.test(file)) continue
    const path = file.replace(/\.rs$/, "").split("/")
    if (["mod", "lib"].includes(path.at(-1) ?? "")) path.pop()
    const code = codeOf(readFileSync(join(source, file), "utf8"))
    const absolute = (target: ModulePath): ModulePath | undefined => {
      const [first, ...rest] = target
      if (first === "crate") return rest
      if (first === "self") return [...path, ...rest]
      if (first === "super") {
        const ups = target.findIndex((segment) => segment !== "super")
        const climbed = ups < 0 ? target.length : ups
        return [...path.slice(0, path.length - climbed), ...target.slice(climbed)]
      }
      return undefined
    }
    const uses: Array<Module["uses"][number]> = []
    for (const match of code.matchAll(/(?:^|[\n;}])\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);/g)) {
      for (const target of pathsOf(match[2] ?? "")) {
        const isPassedOn = match[1] !== undefined
        // Without `crate`, `self` or `super` it is a module held by this one, or another crate.
        const known = absolute(target) ?? [...path, ...target]
        uses.push({ target: known, isPassedOn })
      }
    }
    const inline = code.replace(/(?:^|[\n;}])\s*(?:pub(?:\([^)]*\))?\s+)?use\s+[^;]+;/g, "")
    for (const match of inline.matchAll(/\b((?:crate|(?:super::)*super)(?:::\w+)+)/g)) {
      const target = absolute((match[1] ?? "").split("::"))
      if (target !== undefined) uses.push({ target, isPassedOn: false })
    }
    modules.set(path.join("::"), { path, file, uses })
  }
  return modules
}

/** The module that a path leads to: the longest part of it that is one, through names that are passed on. */
const resolve = (modules: ReadonlyMap<string, Module>, target: ModulePath, depth = 0): ModulePath | undefined => {
  for (let length = target.length; length >= 0; length--) {
    const module = modules.get(target.slice(0, length).join("::"))
    if (module === undefined) continue
    const name = target[length]
    const passed = module.uses.find((use) => use.isPassedOn && use.target.at(-1) === name)
    if (name === undefined || passed === undefined || depth > 8) return module.path
    return resolve(modules, passed.target, depth + 1) ?? module.path
  }
  return undefined
}

/** For each folder of the crate at `source` the graph of its modules, with the reason of each edge. */
export const rustModuleGraphs = (source: string) => {
  const modules = existsSync(source) ? modulesOf(source) : new Map<string, Module>()
  const graphs = new Map<string, Map<string, Set<string>>>()
  const because = new Map<string, string>()
  for (const { file, path, uses } of modules.values()) {
    for (const { target } of uses) {
      const to = resolve(modules, target)
      if (to === undefined) continue
      const depth = path.findIndex((part, index) => part !== to[index])
      // A module's parents and children are not beside it.
      if (depth < 0 || to.length <= depth) continue
      const folder = path.slice(0, depth).join("/")
      const [user, used] = [path.slice(0, depth + 1).join("/"), to.slice(0, depth + 1).join("/")]
      const graph = graphs.get(folder) ?? new Map<string, Set<string>>()
      graphs.set(folder, graph)
      graph.set(user, (graph.get(user) ?? new Set()).add(used))
      const edge = `${user} → ${used}`
      if (!because.has(edge)) because.set(edge, `${file} uses ${target.join("::")}`)
    }
  }
  return { graphs, because }
}
