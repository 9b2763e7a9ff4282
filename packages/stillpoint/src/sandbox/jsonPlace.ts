/**
 * Where a part of a JSON text stands.
 *
 * @module
 */

const isSpace = (character: string | undefined): boolean => character !== undefined && " \t\r\n".includes(character)

/** Reads valid JSON from an offset on. */
class JsonReader {
  readonly text: string
  at: number

  constructor(text: string) {
    this.text = text
    this.at = 0
    this.space()
  }

  is(character: string): boolean {
    return this.text[this.at] === character
  }

  space(): void {
    while (isSpace(this.text[this.at])) this.at += 1
  }

  /** A sign, and the space behind it. */
  sign(): void {
    this.at += 1
    this.space()
  }

  string(): string {
    const from = this.at
    this.at += 1
    while (!this.is('"')) this.at += this.is("\\") ? 2 : 1
    this.at += 1
    return JSON.parse(this.text.slice(from, this.at)) as string
  }

  /** The rest of a number or of `true`, `false` and `null`. */
  private restOfWord(): void {
    while (/[\w.+-]/.test(this.text[this.at] ?? "")) this.at += 1
  }

  /** Any value, and the space behind it. */
  value(): void {
    let depth = 0
    do {
      if (this.is('"')) this.string()
      else {
        if (this.is("{") || this.is("[")) depth += 1
        if (this.is("}") || this.is("]")) depth -= 1
        this.at += 1
        if (depth === 0) this.restOfWord()
      }
    } while (depth > 0 && this.at < this.text.length)
    this.space()
  }

  /** Goes to a member of the object or list that begins here; where the name of a field stands, or a member of a list. */
  member(step: string | number): number | undefined {
    const isObject = this.is("{")
    if (!isObject && !this.is("[")) return undefined
    this.sign()
    for (let index = 0; !this.is("}") && !this.is("]") && this.at < this.text.length; index++) {
      const place = this.at
      let name: string | number = index
      if (isObject) {
        name = this.string()
        this.space()
        this.sign()
      }
      if (name === step) return place
      this.value()
      if (this.is(",")) this.sign()
    }
    return undefined
  }
}

/**
 * The line and column, from 1, of what a path leads to in a valid JSON text: the name of its field, or the object that should have
 * it.
 */
export const placeInJson = (
  text: string,
  path: ReadonlyArray<string | number>
): { readonly line: number; readonly column: number } => {
  const reader = new JsonReader(text)
  let place = reader.at
  for (const step of path) {
    const enclosing = reader.at
    const found = reader.member(step)
    place = found ?? enclosing
    if (found === undefined) break
  }
  const before = text.slice(0, place)
  return { line: before.split("\n").length, column: place - before.lastIndexOf("\n") }
}
