import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { format } from "node:util"
import { describe, expect, it, vi } from "vitest"
import { examplesDirectory, extractExamples, isAsSaid } from "./extractExamples.ts"

const examples = extractExamples()

describe("examples in documentation", () => {
  it("every-example-type-checks", () => {
    const tsc = fileURLToPath(new URL("../../node_modules/.bin/tsc", import.meta.url))
    const checked = spawnSync(tsc, ["-p", join(examplesDirectory, "tsconfig.json")], { encoding: "utf8" })
    expect(checked.stdout + checked.stderr).toBe("")
  })

  it("what-is-said-is-compared-with-what-is-printed", () => {
    const said = ["boot in … ms", "…", "ready"]
    expect(isAsSaid(["boot in 12.5 ms", "a", "b", "ready"], said)).toBe(true)
    expect(isAsSaid(["boot in 12.5 ms", "ready"], said)).toBe(true)
    expect(isAsSaid(["boot in 12.5 ms", "ready", "and more"], said)).toBe(false)
    expect(isAsSaid([], said)).toBe(false)
    expect(isAsSaid(["never"], [])).toBe(false)
    expect(isAsSaid([], [])).toBe(true)
    expect(isAsSaid(["onListener(80)"], ["onListener.80."])).toBe(false)
  })

  it("every-example-is-run-or-says-why-it-is-not", () => {
    expect(examples.filter(({ notRun }) => notRun === "").map(({ where }) => where)).toEqual([])
  })

  for (const example of examples) {
    const why = example.notRun === undefined ? "" : ` (skipped: ${example.notRun})`
    it.skipIf(example.notRun !== undefined)(`the-example-at-${example.where}-prints-what-it-says${why}`, async () => {
      const printed: Array<string> = []
      const log = vi.spyOn(console, "log").mockImplementation((...values: ReadonlyArray<unknown>) => {
        printed.push(...format(...values).split("\n"))
      })
      try {
        await import(/* @vite-ignore */ example.path)
      } finally {
        log.mockRestore()
      }
      // Where they differ, the one is shown beside the other.
      expect(printed).toEqual(isAsSaid(printed, example.prints) ? printed : example.prints)
    })
  }
})
