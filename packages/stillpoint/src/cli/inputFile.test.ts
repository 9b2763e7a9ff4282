import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll, assert } from "vitest"
import { recordingIn } from "./inputFile.ts"

const folder = mkdtempSync(join(tmpdir(), "stillpoint-input-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("a file that is named as a recording", () => {
  it.effect("is-read-no-further-than-it-is-one", () =>
    Effect.gen(function* () {
      const path = join(folder, "boot.jsonl")
      for (const beginning of ["", "[".repeat(100), '{"format":"stillpoint-timeline"}\n']) {
        writeFileSync(path, beginning)
        // Nobody reads all of it.
        truncateSync(path, 2 ** 40)
        const refused = yield* Effect.flip(recordingIn(path))
        assert.strictEqual(refused._tag, "TimelineError", refused.message)
      }
    })
  )
})
