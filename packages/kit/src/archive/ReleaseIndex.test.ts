import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import { parseRelease } from "./ReleaseIndex.ts"

const digest = "ab".repeat(32)

it("digests-are-read-from-their-section-alone", () => {
  const text = [
    "Origin: Debian",
    "Codename: trixie",
    "Acquire-By-Hash: yes",
    "MD5Sum:",
    " 0123456789abcdef0123456789abcdef 5 main/binary-riscv64/Packages.gz",
    "SHA256:",
    ` ${digest}    12910137 main/binary-riscv64/Packages.gz`,
    " short 1 main/other",
    "SHA512:",
    ` ${digest}${digest} 7 main/third`
  ].join("\n")
  const release = Result.getOrThrow(parseRelease("x", text))
  assert.strictEqual(release.codename, "trixie")
  assert.isTrue(release.byHash)
  assert.isNull(release.validUntilMillis)
  assert.deepStrictEqual(
    [...release.files],
    [["main/binary-riscv64/Packages.gz", { sha256: digest, sizeBytes: 12_910_137 }]]
  )
})

it("the-end-of-validity-is-read", () => {
  const text = `Codename: trixie\nValid-Until: Sat, 21 Nov 2026 09:15:44 UTC\nSHA256:\n ${digest} 1 a`
  assert.strictEqual(Result.getOrThrow(parseRelease("x", text)).validUntilMillis, Date.UTC(2026, 10, 21, 9, 15, 44))
})

it("a-text-without-digests-is-refused", () => {
  assert.isTrue(Result.isFailure(parseRelease("x", "Codename: trixie\nSHA256:\n")))
  assert.isTrue(Result.isFailure(parseRelease("x", `SHA256:\n ${digest} 1 a`)))
})
