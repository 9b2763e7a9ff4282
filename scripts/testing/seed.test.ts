import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fc from "fast-check"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { seedLimit, seedOf } from "./seed.ts"

describe("the seed of a run", () => {
  let directory = ""
  const git = (...args: ReadonlyArray<string>) =>
    execFileSync("git", ["-c", "user.name=x", "-c", "user.email=x", ...args], { cwd: directory, stdio: "ignore" })
  const commit = (text: string, message: string) => {
    writeFileSync(join(directory, "file"), text)
    git("add", "file")
    git("commit", "--allow-empty", "-m", message)
    return seedOf({ CI: "true" }, directory)
  }
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "stillpoint-seed-"))
    git("init")
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  it("is-the-one-that-is-given", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: seedLimit - 1 }), (value) =>
        assert.strictEqual(seedOf({ STILLPOINT_SEED: String(value), CI: "true" }, directory).value, value)
      )
    )
    for (const wrong of ["-1", "x", "1.5", String(seedLimit)])
      assert.throws(() => seedOf({ STILLPOINT_SEED: wrong }, directory), "STILLPOINT_SEED: expected a whole number")
  })

  it("is-the-same-for-the-same-files-and-another-for-others", () => {
    const first = commit("a", "one")
    assert.deepEqual(commit("a", "two"), first)
    assert.notEqual(commit("b", "three").value, first.value)
    assert.isBelow(first.value, seedLimit)
  })

  it("is-a-new-one-each-time-at-a-desk", () => {
    const values = new Set(Array.from({ length: 20 }, () => seedOf({}, directory).value))
    assert.isAbove(values.size, 15)
  })

  it("is-what-properties-of-this-run-try", () => {
    const given = process.env["STILLPOINT_SEED"] ?? ""
    if (given === "") return
    const seen = fc.check(fc.property(fc.integer(), () => true)).runConfiguration.seed
    assert.strictEqual(seen, Number(given))
  })
})
