import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { FileUnfit } from "@stillpoint/core"
import { assert, it } from "vitest"
import { cutFile, placed, readPiece } from "./pieces.ts"

it("a-file-that-changes-while-it-is-sent-is-refused-by-name", async () => {
  const folder = mkdtempSync(join(tmpdir(), "stillpoint-pieces-"))
  try {
    const path = join(folder, "memory")
    writeFileSync(path, new Uint8Array(10_000).fill(7))
    const [piece] = placed([await cutFile("memory", path, AbortSignal.timeout(60_000))], () => path)
    assert(piece !== undefined)
    assert.strictEqual((await readPiece(piece)).byteLength, piece.size)
    const change = [() => writeFileSync(path, new Uint8Array(10_000).fill(8)), () => truncateSync(path, 1)]
    for (const changed of change) {
      changed()
      const refused = await readPiece(piece).catch((cause: unknown) => cause)
      assert(refused instanceof FileUnfit)
      assert.strictEqual(refused.path, path)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
