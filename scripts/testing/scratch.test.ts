import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { assert, describe, it } from "vitest"
import { scratchIn } from "./scratch.ts"

describe("what tests write", () => {
  it("goes-where-the-system-says-if-there-is-room", () => {
    assert.deepStrictEqual(scratchIn("/nowhere", 0), { directory: tmpdir(), isOwn: false, why: "" })
  })

  it("goes-beside-the-repository-if-not-and-it-is-said-why", () => {
    const cache = join(mkdtempSync(join(tmpdir(), "stillpoint-scratch-")), "cache")
    const { directory, isOwn, why } = scratchIn(cache, Number.MAX_SAFE_INTEGER)
    assert.isTrue(isOwn)
    assert.strictEqual(dirname(directory), cache)
    assert.isTrue(existsSync(directory))
    assert.match(why, /has \d+ MiB left of the \d+ MiB/)
    rmSync(dirname(cache), { recursive: true })
  })
})
