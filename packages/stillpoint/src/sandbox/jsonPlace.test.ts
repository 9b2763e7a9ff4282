import * as fc from "fast-check"
import { assert, describe, it } from "vitest"
import { placeInJson } from "./jsonPlace.ts"
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

describe("a place in JSON", () => {
  it("is-where-the-field-or-the-member-stands-however-it-is-spaced", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(0, 1, 2), (value, indent) => {
        const text = `\n ${JSON.stringify(value, null, indent)}`
        const paths = pathsOf(JSON.parse(text))
        for (const path of paths.slice(0, 50)) {
          const { column, line } = placeInJson(text, path)
          const rest = text
            .split("\n")
            .slice(line - 1)
            .join("\n")
            .slice(column - 1)
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
      "policy, column 55, of.0.prot: unknown field prot; did you mean port"
    )
    assert.strictEqual(
      why('{\n  "trigger": "precedence",\n  "of": [\n    { "trigger": "onListner" }\n  ]\n}\n'),
      "policy, line 4, column 7, of.0.trigger: unknown trigger onListner; did you mean onListener"
    )
    assert.match(why('  {"trigger":"onIdle"}'), /^policy, column 3, nanos: /)
  })
})
