import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import { describe } from "vitest"
import { onSerialMatch, onSerialText, PolicyError } from "../index.ts"
import { linearPattern } from "./linearPattern.ts"

const refusal = (build: () => unknown): string => {
  try {
    build()
    return "built"
  } catch (cause) {
    if (!(cause instanceof PolicyError)) throw cause
    return cause.message
  }
}

describe("a regular expression of a user", () => {
  it("does-not-take-for-ever-on-any-text-of-a-guest", () => {
    // Going back, each of these takes longer than the universe is old.
    for (const slow of [/^(a+)+$/, /^(a|aa)+$/, /(x+x+)+y/, /^(.*a){20}$/]) {
      assert.isFalse(linearPattern("test", slow)(`${"a".repeat(20_000)}${"x".repeat(20_000)}!`))
    }
  })

  it("that-no-automaton-can-match-is-refused-when-the-policy-is-built", () => {
    for (const pattern of [/a(?=b)/, /a(?!b)/, /(?<=a)b/, /(?<!a)b/, /(a)\1/, /a{1001}/, /a/v, /a/y]) {
      for (const build of [onSerialMatch, onSerialText]) {
        assert.match(
          refusal(() => build(pattern)),
          /^onSerial(Match|Text)\.(pattern|flags): expected /
        )
      }
    }
  })

  it("that-is-longer-than-it-is-written-is-refused-when-the-policy-is-built", () => {
    const count = fc.integer({ min: 1, max: 31 })
    const piece = fc.constantFrom("a", "[ab]", ".", "\\d")
    const source = fc.tuple(piece, fc.constantFrom("", "?"), count, count).map(([one, sign, inner, outer]) => ({
      source: `((?:${one}${sign}){${inner}}b){${outer}}`,
      // A step for each piece, and one for each that may be left out.
      atLeast: (inner * (sign === "" ? 1 : 2) + 1) * outer
    }))
    let refused = 0
    let built = 0
    fc.assert(
      fc.property(source, ({ atLeast, source }) => {
        const message = refusal(() => onSerialMatch(new RegExp(source)))
        if (message === "built") {
          built += 1
          assert.isAtMost(atLeast, 500)
          return
        }
        refused += 1
        assert.match(
          message,
          /^onSerialMatch\.pattern: expected a regular expression of at most 500 steps, found \d+: /
        )
        // The ends of groups and of the whole are steps, too.
        assert.isAbove(atLeast + 2 * 31 + 2, 500)
      }),
      { numRuns: 300 }
    )
    assert.isAbove(Math.min(refused, built), 0)
    for (const slow of [/(a?){1000}a{1000}/, /[ab]*a[ab]{600}/, /(?:.*a){300}/]) {
      assert.include(
        refusal(() => onSerialText(slow)),
        "at most 500 steps"
      )
    }
  })

  it("finds-what-the-engine-of-javascript-finds-or-is-refused-whatever-is-in-it", () => {
    const sign = fc.constantFrom(
      ..."dDwWsSbBnrtfv0AzZaQECpPhGRXNegko_-/.[]{}^$|é".split("").map((one) => `\\${one}`),
      ..."abzkQE.^$|]{},-#:é ".split(""),
      "\\1",
      "\\8",
      "\\x41",
      "\\x4",
      "\\u0041",
      "\\u{41}",
      "\\cA",
      "\\p{L}",
      "\\pL",
      "\\k<x>",
      "(?<x>a)",
      "(a|b)",
      "[ab]",
      "[^a]",
      "[]",
      "[^]",
      "[[:alpha:]]",
      "[[a]]",
      "[\\b]",
      "[\\s\\d]",
      "[\\Sa]",
      "[a&&b]",
      "[.]",
      "(?i:a)",
      "(?s:.)",
      "(?=a)",
      "*",
      "+",
      "?",
      "{2}",
      "{1,2}",
      "{,3}",
      "{2"
    )
    const text = fc.string({
      unit: fc.constantFrom(..."abzAZkQE019_-.:[]{}\\\r\n\v\b\0\u0001\u00a0\u2028\ufeffé ".split(""), "alpha", "<x>")
    })
    let found = 0
    fc.assert(
      fc.property(
        fc.array(sign, { minLength: 1, maxLength: 4 }),
        fc.constantFrom("", "i", "m", "s", "u"),
        text,
        (signs, flags, line) => {
          let pattern: RegExp
          try {
            pattern = new RegExp(signs.join(""), flags)
          } catch {
            return
          }
          // The ends of lines that JavaScript knows beside the line feed are none here.
          if (flags === "m" && /[\r\u2028]/.test(line)) return
          let finds: (text: string) => boolean
          try {
            finds = linearPattern("test", pattern)
          } catch (cause) {
            assert.instanceOf(cause, PolicyError)
            return
          }
          found += 1
          assert.strictEqual(finds(line), pattern.test(line), `${String(pattern)} in ${JSON.stringify(line)}`)
        }
      ),
      { numRuns: 1000 }
    )
    assert.isAbove(found, 100)
    for (const [source, part] of [
      ["\\Aready", "\\A"],
      ["(?<x>a)\\k<x>", "\\k<x>"],
      ["[^]", "[^]"],
      ["\\p{L}", "\\p"]
    ] as const) {
      assert.include(
        refusal(() => onSerialMatch(new RegExp(source))),
        `found ${part} in /`
      )
    }
  })

  it("finds-what-the-engine-of-javascript-finds", () => {
    const atom = fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "\\d", "\\w", "^", "$", "\\b", "ready", " ")
    const piece = fc
      .tuple(atom, fc.constantFrom("", "", "*", "+", "?", "{1,2}"))
      .map(([one, count]) => (/^(\^|\$|\\b)$/.test(one) ? one : `${one}${count}`))
    const source = fc.array(
      fc.oneof(
        piece,
        piece.map((one) => `(${one}|b)`)
      ),
      { minLength: 1, maxLength: 5 }
    )
    const text = fc.string({ unit: fc.constantFrom("a", "b", "1", " ", "ready", "-", "A") })
    fc.assert(
      fc.property(source, fc.constantFrom("", "i", "g", "m", "s"), text, (parts, flags, line) => {
        const pattern = new RegExp(parts.join(""), flags)
        assert.strictEqual(
          linearPattern("test", pattern)(line),
          new RegExp(pattern.source, flags.replace("g", "")).test(line)
        )
      }),
      { numRuns: 1000 }
    )
  })
})
