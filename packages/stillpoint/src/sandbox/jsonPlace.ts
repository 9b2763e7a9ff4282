/**
 * Where something stands in a JSON text, as an offset from 0.
 *
 * @module
 */
import { findNodeAtLocation, parseTree, printParseErrorCode, visit } from "jsonc-parser"

/** A place in a text, and what is wrong there. */
export interface JsonProblem {
  readonly at: number
  readonly message: string
}

const value = 'a value: a text in double quotes, a number, true, false, null, "[" or "{"'

/** What stands in valid JSON in the place of an error, by its name. */
const expectedBy: Readonly<Record<string, string>> = {
  InvalidSymbol: value,
  ValueExpected: value,
  PropertyNameExpected: "a name in double quotes",
  ColonExpected: '":"',
  CommaExpected: '"," or the closing bracket',
  CloseBraceExpected: '"}"',
  CloseBracketExpected: '"]"',
  EndOfFileExpected: "the end",
  InvalidCommentToken: "JSON, which has no comments",
  UnexpectedEndOfComment: "JSON, which has no comments",
  InvalidNumberFormat: "a number such as 1.5 or 1e3",
  UnexpectedEndOfNumber: "a number such as 1.5 or 1e3",
  UnexpectedEndOfString: "a text that is closed by a quotation mark on its line",
  InvalidUnicode: "four hexadecimal digits after \\u",
  InvalidEscapeCharacter: 'one of the escapes \\" \\\\ \\/ \\b \\f \\n \\r \\t \\u',
  InvalidCharacter: "a text without control characters: write \\n, \\t or \\u"
}

const mostShown = 40

/** A piece of the text in a message: in one line, and visible. */
const shown = (piece: string): string => {
  if (piece === "") return "the end"
  const visible = piece.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
  return visible.length > mostShown ? `${visible.slice(0, mostShown)}…` : visible
}

/** Maximum levels of brackets; a policy has fewer. */
const mostLevels = 1000

class Found {
  readonly problem: JsonProblem
  constructor(problem: JsonProblem) {
    this.problem = problem
  }
}

/** The first place at which a text is no JSON any more, or repeats a name within one object; `null` if there is none. */
export const problemInJson = (text: string): JsonProblem | null => {
  const found = (at: number, message: string): never => {
    throw new Found({ at, message })
  }
  /** For each bracket that is open: the names so far, or `null` for a list. */
  const open: Array<Set<string> | null> = []
  const enter = (at: number, names: Set<string> | null): void => {
    open.push(names)
    if (open.length > mostLevels) found(at, `expected at most ${mostLevels} levels of brackets, found more`)
  }
  const leave = (): void => void open.pop()
  /** Whether the name of a field belongs at a place. */
  const isName = (at: number): boolean =>
    open.at(-1) instanceof Set && ["{", ","].includes(text.slice(0, at).trimEnd().at(-1) ?? "")
  try {
    visit(
      text,
      {
        onError: (code, at, length) => {
          const error = printParseErrorCode(code)
          const isNameless = isName(at) && ["InvalidSymbol", "ValueExpected"].includes(error)
          const expected = expectedBy[isNameless ? "PropertyNameExpected" : error] ?? "JSON"
          found(at, `expected ${expected}, found ${shown(text.slice(at, at + length))}`)
        },
        onObjectBegin: (at) => enter(at, new Set()),
        onObjectProperty: (name, at) => {
          const names = open.at(-1)
          if (names?.has(name) === true) {
            found(at, `expected every name once in an object, found ${shown(JSON.stringify(name))} again`)
          }
          names?.add(name)
        },
        onObjectEnd: leave,
        onArrayBegin: (at) => enter(at, null),
        onArrayEnd: leave
      },
      { disallowComments: true, allowTrailingComma: false }
    )
  } catch (cause) {
    if (cause instanceof Found) return cause.problem
    throw cause
  }
  return null
}

/** Where the part that a path leads to stands in valid JSON: the name of its field, or the object that should have it. */
export const placeInJson = (text: string, path: ReadonlyArray<string | number>): number => {
  const root = parseTree(text)
  if (root === undefined) return 0
  for (let length = path.length; length > 0; length--) {
    const node = findNodeAtLocation(root, path.slice(0, length))
    if (node === undefined) continue
    return length === path.length && node.parent?.type === "property" ? node.parent.offset : node.offset
  }
  return root.offset
}
