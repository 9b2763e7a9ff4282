import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import { describe } from "vitest"
import { matchingText, withoutLookaround } from "./matchingText.ts"

describe("texts for a pattern", () => {
  it("match-it-also-where-it-looks-round", () => {
    const patterns = [
      /^server (up|ready) in \d{1,3} ms$/,
      /(?<=ready )\w+/,
      /^(?!not )ready(?= in \d+ ms)/,
      /(?<!un)ready[(\])]\(?(?!yet|soon)!/,
      /\p{Lu}{3}/u,
      /\bready[ .]*\b/gi
    ]
    for (const pattern of patterns) {
      const texts = fc.sample(matchingText(pattern), { numRuns: 100, seed: 1 })
      assert.isAbove(texts.filter((text) => text.search(pattern) >= 0).length, 30, String(pattern))
    }
    assert.strictEqual(withoutLookaround("a(?<!x(y))b\\((?=[)c])"), "a(?:x(y)){0}b\\((?:[)c])")
  })

  it("cannot-be-made-of-one-that-refers-to-its-groups", () => {
    assert.throws(() => matchingText(/(a|b)\1/), /hears\.text: expected a pattern .* without references to its groups/)
  })
})
