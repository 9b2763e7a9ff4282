import { repeatedName } from "@stillpoint/core"
import { writablePolicy } from "@stillpoint/triggers/testing"
import * as fc from "fast-check"
import { createScanner } from "jsonc-parser"
import { assert, describe, it } from "vitest"
import { placeInJson, problemInJson } from "./jsonPlace.ts"
import { readMomentResult } from "./readMoment.ts"

/** A value, and the paths of its parts. */
const pathsOf = (value: unknown, path: ReadonlyArray<string | number> = []): ReadonlyArray<typeof path> =>
  typeof value !== "object" || value === null
    ? [path]
    : [
        path,
        ...(Array.isArray(value)
          ? value.flatMap((one, index) => pathsOf(one, [...path, index]))
          : Object.entries(value).flatMap(([name, one]) => pathsOf(one, [...path, name])))
      ]

const reached = (value: unknown, path: ReadonlyArray<string | number>): unknown =>
  path.reduce((inner: unknown, step) => (inner as Record<string | number, unknown>)[step], value)

/** What V8 says of a text: `null` of valid JSON, else where it stopped, if it says that. */
const refusedAt = (text: string): { readonly at: number | undefined; readonly message: string } | null => {
  try {
    JSON.parse(text)
    return null
  } catch (cause) {
    const message = (cause as Error).message
    const at = /at position (\d+)/.exec(message)?.[1]
    return {
      at: message.includes("end of JSON input") ? text.length : at === undefined ? undefined : Number(at),
      message
    }
  }
}

/** Where the last token begins that a change at a place can be part of. */
const tokenBefore = (text: string, changedAt: number): number => {
  const scanner = createScanner(text, true)
  let begin = 0
  for (scanner.scan(); scanner.getTokenOffset() < Math.min(changedAt, text.length); scanner.scan()) {
    begin = scanner.getTokenOffset()
  }
  return begin
}

describe("a place in JSON", () => {
  it("is-the-first-at-which-a-policy-with-one-character-changed-is-none-any-more", () => {
    const counted = { broken: 0, placedByBoth: 0, valid: 0, repeated: 0 }
    const character = fc.oneof(
      fc.constantFrom(..."{}[]:,\"\\ \n\r\t/*-+.eE01xu'", "\u0000", "\ufeff", "\u2028"),
      fc.string({ unit: "binary", minLength: 1, maxLength: 1 })
    )
    const change = fc.record({ kind: fc.constantFrom("changed", "removed", "inserted"), place: fc.nat(), character })
    const wholeText = fc
      .tuple(writablePolicy, fc.constantFrom(0, 2))
      .map(([{ description }, indent]) => JSON.stringify(description, null, indent))
    fc.assert(
      fc.property(wholeText, change, (whole, { character, kind, place }) => {
        const changedAt = place % (whole.length + (kind === "inserted" ? 1 : 0))
        const rest = whole.slice(kind === "inserted" ? changedAt : changedAt + 1)
        const text = whole.slice(0, changedAt) + (kind === "removed" ? "" : character) + rest
        const problem = problemInJson(text)
        const refused = refusedAt(text)
        const isRepeated = refused === null && repeatedName(text) !== null
        assert.strictEqual(problem === null, refused === null && !isRepeated, text)
        if (problem === null) {
          counted.valid += 1
          return
        }
        counted[isRepeated ? "repeated" : "broken"] += 1
        assert.isNotEmpty(problem.message)
        assert.notMatch(problem.message, /[^\x20-\x7e…]/)
        // All before it is right: it is refused for its end alone.
        const before = text.slice(0, problem.at)
        const ofBefore = refusedAt(before)
        assert.isTrue(ofBefore === null || ofBefore.at === before.length, `${before}: ${ofBefore?.message}`)
        assert.isAtLeast(problem.at, tokenBefore(whole, changedAt), text)
        if (refused?.at === undefined) return
        counted.placedByBoth += 1
        assert.isAtMost(problem.at, refused.at, `${text}: ${refused.message}`)
      }),
      { examples: [['{"a":1,"b":2}', { kind: "changed", place: 8, character: "a" }]] }
    )
    for (const [what, times] of Object.entries(counted)) assert.isAbove(times, 0, what)
  })

  it("is-pointed-at-also-where-the-runtime-names-none", () => {
    const why = (text: string): string => {
      const found = readMomentResult(text)
      return found._tag === "Failure" ? found.failure.why : "none"
    }
    assert.strictEqual(
      why('{"trigger": onIdle}'),
      [
        'policy, column 13: expected a value: a text in double quotes, a number, true, false, null, "[" or "{", found onIdle',
        '  {"trigger": onIdle}',
        "              ^"
      ].join("\n")
    )
    for (const [text, says] of [
      [
        '{\n  "trigger": "never",\n}\n',
        "policy, line 3, column 1: expected a name in double quotes, found }\n  }\n  ^"
      ],
      ["{trigger: 1}", "column 2: expected a name in double quotes, found trigger"],
      ['{"of":[], }', "column 11: expected a name in double quotes, found }"],
      ['{"of":[oops]}', "column 8: expected a value"],
      ['{"trigger":', "policy, column 12: expected a value"],
      ['{"trigger":"never"', 'policy, column 19: expected "}", found the end'],
      ['{"trigger":"never', "column 12: expected a text that is closed by a quotation mark on its line"],
      ['{"trigger":"never"} // that', "column 21: expected JSON, which has no comments"],
      ['{"trigger":"never"}}', "column 20: expected the end, found }"],
      ['\ufeff{"trigger":"never"}', "column 1: expected a value"],
      [
        '{"trigger":"never","trigger":"never"}',
        'column 20: expected every name once in an object, found "trigger" again'
      ],
      [`{"of":${"[".repeat(20_000)}`, "column 1006: expected at most 1000 levels of brackets, found more"]
    ] as const)
      assert.include(why(text), says)
  })

  it("is-where-the-field-or-the-member-stands-however-it-is-spaced", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(0, 1, 2), (value, indent) => {
        const text = `\n ${JSON.stringify(value, null, indent)}`
        const paths = pathsOf(JSON.parse(text))
        for (const path of paths.slice(0, 50)) {
          const rest = text.slice(placeInJson(text, path))
          const last = path.at(-1)
          const expected =
            typeof last === "string" ? JSON.stringify(last) : JSON.stringify(reached(value, path), null, indent)
          assert.strictEqual(rest.slice(0, 1), expected.slice(0, 1))
          if (typeof last === "string") assert.strictEqual(rest.slice(0, expected.length), expected)
        }
      })
    )
  })

  it("of-each-problem-of-a-policy-is-named", () => {
    const why = (text: string): string => {
      const found = readMomentResult(text)
      return found._tag === "Failure" ? found.failure.why : "none"
    }
    assert.strictEqual(
      why('{"trigger":"precedence","of":[{"trigger":"onListener","prot":80}]}'),
      [
        "policy, column 55, of.0.prot: unknown field prot; did you mean port",
        '  {"trigger":"precedence","of":[{"trigger":"onListener","prot":80}]}',
        `${" ".repeat(56)}^`
      ].join("\n")
    )
    assert.strictEqual(
      why('{\n  "trigger": "precedence",\n  "of": [\n    { "trigger": "onListner" }\n  ]\n}\n'),
      'policy, line 4, column 7, of.0.trigger: unknown trigger onListner; did you mean onListener\n      { "trigger": "onListner" }\n        ^'
    )
    assert.match(why('  {"trigger":"onIdle"}'), /^policy, column 3, nanos: /)
  })
})
