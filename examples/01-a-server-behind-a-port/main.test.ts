import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { runExample } from "../runExample.ts"

interface Told {
  readonly capture: { readonly cause: string; readonly guestNanos: number; readonly why: string }
  readonly clones: ReadonlyArray<{ readonly url: string; readonly title: string; readonly hostname: string }>
  readonly report: string
}

describe("the demo", () => {
  it("captures-a-server-and-answers-from-three-clones-behind-ports-and-draws-it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-demo-test-"))
    try {
      const lines = await runExample(import.meta, "--json", "--out", join(folder, "new/report.html"))
      const { capture, clones, report } = JSON.parse(lines.at(-1) ?? "") as Told
      assert.strictEqual(capture.cause, "listener")
      assert.isAbove(capture.guestNanos, 0)
      assert.include(capture.why, "port 8080")
      assert.deepStrictEqual(
        clones.map(({ title }) => title),
        ["Stillpoint", "Stillpoint", "Stillpoint"]
      )
      assert.strictEqual(new Set(clones.map(({ hostname }) => hostname)).size, 3)
      assert.strictEqual(new Set(clones.map(({ url }) => url)).size, 3)
      const page = readFileSync(report, "utf8")
      assert.match(page, /^<!doctype html>/i)
      for (const { hostname } of clones) assert.include(lines.join("\n"), hostname)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
