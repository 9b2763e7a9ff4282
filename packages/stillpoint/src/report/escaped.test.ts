import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { escaped } from "./escaped.ts"

/** The characters that XML 1.0 has (section 2.2). */
const ofXml = /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u

const unusual = fc.constantFrom("\u0000", "\u001b", "\ud800", "\udfff", "\ufffe", "\uffff", "&", "<", ">", '"', "'")
const texts = fc.array(fc.oneof(unusual, fc.string({ unit: "binary" }))).map((parts) => parts.join(""))

const readBack = (written: string): string =>
  written.replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)))

describe("escaped", () => {
  it("what-is-written-is-text-of-xml-and-reads-as-what-it-was", () => {
    let replaced = 0
    fc.assert(
      fc.property(texts, (text) => {
        const written = escaped(text)
        assert.match(written, ofXml)
        assert.notMatch(written, /[<>"']|&(?!#\d+;)/)
        const shown = [...text].map((character) => (ofXml.test(character) ? character : "\ufffd")).join("")
        if (shown !== text) replaced += 1
        assert.strictEqual(readBack(written), shown)
      })
    )
    assert.isAbove(replaced, 10)
  })
})
