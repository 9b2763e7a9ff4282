/**
 * In which order kernel modules are loaded.
 *
 * @module
 */
import { type ModuleInfo, moduleName } from "./moduleInfo.ts"

/**
 * The modules and their dependencies, each once and after its dependencies; a name that neither `modules` nor `builtIn`
 * has is `missing`. Modules that depend on each other come in some order: no kernel loads them.
 */
export const moduleOrder = (
  wanted: Iterable<string>,
  modules: ReadonlyMap<string, ModuleInfo>,
  builtIn: ReadonlySet<string>
): { readonly order: ReadonlyArray<string>; readonly missing: ReadonlyArray<string> } => {
  const byName = new Map([...modules.keys()].map((name) => [moduleName(name), name] as const))
  const byAlias = (alias: string) => [...modules].find(([, info]) => info.aliases.includes(alias))?.[0]
  const order: Array<string> = []
  const missing = new Set<string>()
  const seen = new Set<string>()
  const visit = (name: string) => {
    if (seen.has(name) || builtIn.has(name)) return
    seen.add(name)
    const found = byName.get(name)
    const info = found === undefined ? undefined : modules.get(found)
    if (found === undefined || info === undefined) return void missing.add(name)
    for (const each of info.before) {
      // A soft dependency may be built in, or not wanted at all: it is optional.
      const known = byName.has(each) ? each : byAlias(each)
      if (known !== undefined) visit(moduleName(known))
    }
    for (const each of info.depends) visit(each)
    order.push(found)
  }
  for (const name of wanted) visit(moduleName(name))
  return { order, missing: [...missing] }
}
