import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { clearsign, sha256 } from "../testing/debianFiles.ts"
import { splitClearsigned } from "./clearsigned.ts"

const signed = clearsign("Codename: trixie\n-dash\nlast", sha256)

it("the-signed-text-and-its-signature-come-apart", () => {
  const parts = Result.getOrThrow(splitClearsigned("x", signed))
  assert.strictEqual(parts.text, "Codename: trixie\n-dash\nlast")
  assert.include(parts.signature, sha256(parts.text))
})

it("any-text-comes-back-but-for-blanks-at-line-ends", () => {
  const line = fc.stringMatching(/^[ -~]{0,20}$/).map((text) => text.replace(/[ \t]+$/, ""))
  fc.assert(
    fc.property(fc.array(line, { minLength: 1 }), (lines) => {
      const parts = splitClearsigned("x", clearsign(lines.join("\n"), sha256))
      assert.strictEqual(Result.getOrThrow(parts).text, lines.join("\n"))
    })
  )
})

it("carriage-returns-and-blanks-at-line-ends-are-not-part-of-the-text", () => {
  const parts = Result.getOrThrow(splitClearsigned("x", signed.replaceAll("\n", " \r\n")))
  assert.strictEqual(parts.text, "Codename: trixie\n-dash\nlast")
})

for (const [what, message] of [
  ["text-before-it", `Codename: evil\n${signed}`],
  ["text-after-it", `${signed}Codename: evil\n`],
  ["a-second-message", `${signed}${signed}`],
  ["no-signature", signed.slice(0, signed.indexOf("-----BEGIN PGP SIGNATURE"))],
  ["a-cut-signature", signed.slice(0, -10)],
  ["text-among-the-headers", signed.replace("Hash: SHA512", "Hash: SHA512\nCodename: evil")],
  ["an-unescaped-dash", signed.replace("- -dash", "-dash")],
  ["nothing", ""]
] as const) {
  it(`a-message-with-${what}-is-refused`, () => {
    assert.isTrue(Result.isFailure(splitClearsigned("x", message)))
  })
}
