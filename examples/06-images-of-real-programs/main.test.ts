import { assert, describe, it } from "vitest"
import { testImages } from "../../scripts/testing/testImages.ts"
import { runExample } from "../runExample.ts"
import { programs } from "./programs.ts"
import type { ProgramReport } from "./proveProgram.ts"

/** All of them with `make software`. */
const wanted = process.env["STILLPOINT_SOFTWARE"] === "all" ? Object.keys(programs) : ["redis", "python"]
const built = testImages()

describe("a real program", () => {
  for (const name of wanted) {
    const why = built.includes(name) ? "" : ` (skipped: no test image of ${name}; make images)`
    it.skipIf(why !== "")(
      `${name}-is-captured-at-its-right-moments-and-its-clones-have-its-data-and-are-others${why}`,
      async () => {
        const lines = await runExample(import.meta, "--json", name)
        const [report] = JSON.parse(lines.at(-1) ?? "") as ReadonlyArray<ProgramReport>
        assert.deepStrictEqual(
          report?.captures.map(({ cause }) => cause),
          ["pre-exec", "listener"]
        )
        const [preExec, listener] = report?.captures ?? []
        assert.isBelow(preExec?.guestNanos ?? Infinity, listener?.guestNanos ?? 0)
        assert.isAbove(report?.imageBytes ?? 0, 1_000_000)
        const clones = report?.clones ?? []
        assert.deepStrictEqual(
          clones.map(({ cause }) => cause),
          ["pre-exec", "pre-exec", "pre-exec", "listener", "listener", "listener"]
        )
        for (const { answer } of clones) assert.match(answer, programs[name]?.answer ?? /^$/)
        assert.strictEqual(new Set(clones.map(({ identity }) => identity)).size, clones.length)
        assert.strictEqual(new Set(clones.map(({ identity }) => identity.split("\n")[0])).size, clones.length)
      }
    )
  }
})
