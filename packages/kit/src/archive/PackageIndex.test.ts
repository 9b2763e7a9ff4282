import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import { stanzaOf } from "../testing/debianFiles.ts"
import { isPoolPath, PackageReader } from "./PackageIndex.ts"

const deb = Buffer.from("content")
const text = [
  stanzaOf("a", "1.0-1", "pool/a_1.deb", deb, "libc6 (>= 2), b | c [riscv64], d:any"),
  stanzaOf("b", "1.0-1", "pool/b_1.deb", deb),
  stanzaOf("a", "1.0-10", "pool/a_10.deb", deb),
  stanzaOf("a", "1.0-9", "pool/a_9.deb", deb)
].join("\n")

const read = (pieces: ReadonlyArray<string>) => {
  const reader = new PackageReader((name) => name !== "b")
  for (const piece of pieces) reader.push(piece)
  reader.end()
  return reader.found
}

it("of-several-versions-the-newest-is-found", () => {
  assert.deepStrictEqual([...read([text]).keys()], ["a"])
  assert.strictEqual(read([text]).get("a")?.filename, "pool/a_10.deb")
})

it("dependencies-are-names-alone", () => {
  const found = read([stanzaOf("a", "1", "pool/a.deb", deb, "libc6 (>= 2), b | c [riscv64], d:any")]).get("a")
  assert.deepStrictEqual(found?.depends, ["libc6", "b", "c", "d"])
})

it("where-the-text-is-cut-does-not-matter", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(text.length)), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), text.length]
      const pieces = at.slice(1).map((end, i) => text.slice(at[i], end))
      assert.deepStrictEqual(read(pieces), read([text]))
    })
  )
})

it("a-stanza-that-leads-outside-the-archive-is-not-taken", () => {
  for (const path of ["../../etc/passwd", "/etc/passwd", "pool/../../x", "http://elsewhere/x y", ""]) {
    assert.strictEqual(read([stanzaOf("a", "1", path, deb)]).size, 0, path)
    assert.isFalse(isPoolPath(path), path)
  }
})
