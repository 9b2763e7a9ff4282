/**
 * How Rust spells what the contract names.
 *
 * @module
 */
import { contract } from "../contract.ts"
import type { Field } from "../form.ts"
import { guestFrames, screaming, snake } from "../names.ts"

/** The name of a field. */
export const rustName = ({ name, type }: Field): string => (type === "json" ? `${snake(name)}_json` : snake(name))

/** The type of a field. */
export const rustType = (type: string): string => {
  const plain: Readonly<Record<string, string>> = {
    natural: "u64",
    bytes: "Vec<u8>",
    text: "String",
    json: "String",
    texts: "Vec<String>",
    kind: "EventKind",
    status: "ExitStatus",
    "u32?": "Option<u32>",
    "natural?": "Option<u64>"
  }
  return plain[type] ?? type
}

/** A limit, as the other modules name it. */
export const limitOf = (name: string): string => `limits::${screaming(name)}`

/** A line of documentation. */
export const doc = (text: string, indent = ""): string => `${indent}/// ${text}\n`

/** The fields of a variant, in braces if there are any. */
export const variantFields = (fields: ReadonlyArray<Field>, by: (field: Field) => string): string =>
  fields.length === 0 ? "" : ` { ${fields.map(by).join(", ")} }`

/** The enumerations that stand in frames of the agent. */
export const usedEnumerations = (): ReadonlyArray<string> =>
  Object.keys(contract.enumerations).filter((name) =>
    guestFrames.some(([, { fields }]) => fields.some(({ type }) => type === name))
  )
