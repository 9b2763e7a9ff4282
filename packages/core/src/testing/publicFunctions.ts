/**
 * The functions that a package exports, found by inspecting its index.
 *
 * @module
 */
import { Context, Schema } from "effect"

const isReference = (value: unknown): boolean =>
  typeof value === "function" && Context.isReference(value as unknown as Context.Key<unknown, unknown>)

const isClass = (value: unknown): value is abstract new (...args: ReadonlyArray<never>) => object =>
  typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value))

/** Own properties that are data: getters are not called, but for those that a module's names may be. */
const ownValues = (holder: object): ReadonlyArray<readonly [name: string, value: unknown]> =>
  Symbol.toStringTag in holder && holder[Symbol.toStringTag] === "Module"
    ? Object.entries(holder)
    : ofDescriptors(holder)

const ofDescriptors = (holder: object): ReadonlyArray<readonly [name: string, value: unknown]> =>
  Object.entries(Object.getOwnPropertyDescriptors(holder)).flatMap(([name, descriptor]) =>
    "value" in descriptor ? [[name, descriptor.value] as const] : []
  )

/** Members that every class of Effect's, and of the language, has. */
const isOfEverybody = (name: string): boolean => /^(length|name|prototype|constructor|_.*|~.*)$/.test(name)

const functionsOf = (name: string, value: unknown, depth: number): ReadonlyArray<string> => {
  if (Schema.isSchema(value) || isReference(value)) return []
  if (isClass(value)) {
    const members = [...ownValues(value), ...ownValues(value.prototype as object)]
    return members.flatMap(([member, held]) =>
      isOfEverybody(member) || typeof held !== "function" || isClass(held) ? [] : [`${name}.${member}`]
    )
  }
  if (typeof value === "function") return [name]
  const isHolder = typeof value === "object" && value !== null && depth < 2 && !Array.isArray(value)
  const isPlain = isHolder && [null, Object.prototype].includes(Object.getPrototypeOf(value) as object | null)
  return isPlain ? ownValues(value).flatMap(([member, held]) => functionsOf(`${name}.${member}`, held, depth + 1)) : []
}

/** Exports that are neither tried nor exempt, and exemptions that no longer exist. */
export const uncovered = (
  exported: Readonly<Record<string, unknown>>,
  tried: Iterable<string>,
  exempt: Readonly<Record<string, ReadonlyArray<string>>>
): { readonly missing: ReadonlyArray<string>; readonly gone: ReadonlyArray<string> } => {
  const all = new Set(publicFunctions(exported))
  const excused = Object.values(exempt).flat()
  const covered = new Set([...tried, ...excused])
  return {
    missing: [...all].filter((name) => !covered.has(name)),
    gone: excused.filter((name, index) => !all.has(name) || excused.indexOf(name) !== index)
  }
}

/**
 * The names of all functions that are exported, those in exported namespaces, records and classes too: `Pipeline.run`,
 * `Images.layer`, `Sandbox.exec`. Schemas and references are data, and none of them.
 */
export const publicFunctions = (exported: Readonly<Record<string, unknown>>): ReadonlyArray<string> =>
  Object.entries(exported).flatMap(([name, value]) => functionsOf(name, value, 0))
