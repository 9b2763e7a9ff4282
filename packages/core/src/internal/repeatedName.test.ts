import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { repeatedName } from "./repeatedName.ts"

describe("a name that stands twice in an object of JSON", () => {
  const word = fc.oneof(
    fc.constantFrom("a", "\\", '"', "}", "{", ":", "a:", "[", "\u2028"),
    fc.string({ maxLength: 4 })
  )

  it("is-in-no-text-that-was-written-of-a-value", () =>
    fc.assert(
      fc.property(fc.json(), fc.nat(2), (text, indent) => {
        assert.isNull(repeatedName(JSON.stringify(JSON.parse(text), null, indent)))
      })
    ))

  it("is-told-wherever-the-object-stands-and-however-the-name-is-written", () =>
    fc.assert(
      fc.property(word, fc.array(word), fc.jsonValue(), fc.boolean(), (name, others, value, escaped) => {
        const inside = JSON.stringify(value)
        const pair = (key: string) => `${JSON.stringify(key)} : ${inside}`
        const again = escaped
          ? `"${[...name].map((unit) => (unit.length > 1 ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)).join("")}":1`
          : pair(name)
        const distinct = [...new Set(others.filter((other) => other !== name))]
        const object = `{${[pair(name), ...distinct.map(pair), again].join(",")}}`
        for (const text of [object, `[1,${object}]`, `{"x":[${object}],"y":{}}`]) {
          JSON.parse(text)
          assert.strictEqual(repeatedName(text), name, text)
        }
      })
    ))
})
