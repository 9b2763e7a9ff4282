import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { examplesDirectory, extractExamples } from "./extractExamples.ts"

const examples = extractExamples()

describe("examples in documentation", () => {
  it("every-example-type-checks", { timeout: 180_000 }, () => {
    const tsc = fileURLToPath(new URL("../../node_modules/.bin/tsc", import.meta.url))
    const checked = spawnSync(tsc, ["-p", join(examplesDirectory, "tsconfig.json")], { encoding: "utf8" })
    expect(checked.stdout + checked.stderr).toBe("")
  })

  for (const example of examples) {
    it.skipIf(!example.isRun)(`the-example-at-${example.where}-runs`, { timeout: 60_000 }, async () => {
      await import(/* @vite-ignore */ example.path)
    })
  }
})
