import { assert, it } from "vitest"
import { runExample } from "../runExample.ts"

it("a-run-that-was-killed-is-brought-to-its-end-by-the-next-process", async () => {
  assert.deepStrictEqual(await runExample(import.meta), [
    "killed when it began to publish: SIGKILL",
    "  its run was publishing and is failed",
    "  no clone: SnapshotMissing",
    "killed when it began to validate: SIGKILL",
    "  its run was validating and is failed",
    "  no clone: SnapshotNotReady",
    "killed when it began to prefetch: SIGKILL",
    "  its run had ended",
    "  a clone answers: written before the kill"
  ])
})
