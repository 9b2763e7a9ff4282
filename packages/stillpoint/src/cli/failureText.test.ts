import * as fc from "fast-check"
import { assert, it } from "vitest"
import { failureText } from "./failureText.ts"

it("no-words-of-others-command-the-terminal", () => {
  const oops = failureText(new Error("registry: oops \u001b[2J\u001b]0;pwned\u0007\n  next line"))
  assert.strictEqual(oops, "stillpoint: registry: oops \\u{1b}[2J\\u{1b}]0;pwned\\u{7}\n  next line")
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      // oxlint-disable-next-line no-control-regex
      assert.notMatch(failureText(new Error(text)), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
    })
  )
})
