/**
 * Names that stand twice in one object of a JSON text: a parser takes the last of them and says nothing.
 *
 * @module
 */

/**
 * The first name that an object of a JSON text has twice; `null` for none. The text has been parsed: it is JSON.
 *
 * @example
 * ```ts
 * import { repeatedName } from "@stillpoint/core"
 *
 * console.log(repeatedName('{"port":80,"port":81}'), repeatedName('[{"a":1},{"a":2}]')) // port null
 * ```
 */
export const repeatedName = (json: string): string | null => {
  /** For each bracket that is open: the names so far, or `null` for a list. */
  const open: Array<Set<string> | null> = []
  for (const { 0: token } of json.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/g)) {
    if (token === "{") open.push(new Set())
    else if (token === "[") open.push(null)
    else if (token === "}" || token === "]") open.pop()
    else if (token.endsWith(":")) {
      const name = String(JSON.parse(token.slice(0, -1)))
      const names = open.at(-1)
      if (names?.has(name) === true) return name
      names?.add(name)
    }
  }
  return null
}
