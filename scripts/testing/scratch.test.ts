import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { assert, describe, it } from "vitest"
import { scratchIn } from "./scratch.ts"

describe("what tests write", () => {
  it("goes-where-the-system-says-if-there-is-room", () => {
    const { directory, why } = scratchIn("/nowhere", 0)
    assert.strictEqual(dirname(directory), tmpdir())
    assert.isTrue(existsSync(directory))
    assert.strictEqual(why, "")
    assert.strictEqual(statSync(directory).mode & 0o7777, 0o1777)
    rmSync(directory, { recursive: true })
  })

  it("goes-beside-the-repository-if-not-and-it-is-said-why", () => {
    const cache = join(mkdtempSync(join(tmpdir(), "stillpoint-scratch-")), "cache")
    const { directory, why } = scratchIn(cache, Number.MAX_SAFE_INTEGER)
    assert.strictEqual(dirname(directory), cache)
    assert.isTrue(existsSync(directory))
    assert.match(why, /has \d+ MiB left of the \d+ MiB/)
    rmSync(dirname(cache), { recursive: true })
  })
})
