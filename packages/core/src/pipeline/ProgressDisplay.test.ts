import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Journal } from "../journal/Journal.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { ScriptedVmm } from "../testing/ScriptedVmm.ts"
import * as Pipeline from "./Pipeline.ts"
import type { Progress } from "./Progress.ts"
import { emptyProgress, ProgressDisplay, renderProgress, viewProgress } from "./ProgressDisplay.ts"

const step = (stage: string, status: Progress["status"], more: Partial<Progress> = {}): Progress => ({
  runId: "run-12345",
  stage,
  status,
  attempt: 1,
  hostNanos: 0,
  detail: "",
  ...more
})

const host = Layer.provideMerge(
  Layer.mergeAll(ScriptedVmm.layer(), SnapshotStore.layer, Journal.layerMemory),
  new MemoryFiles().layer
)

describe("a progress display", () => {
  it("shows-one-line-a-run-with-its-stages", () => {
    const view = [
      step("boot", "started"),
      step("boot", "finished", { hostNanos: 12e6 }),
      step("watch", "started"),
      step("watch", "retrying", { attempt: 2, hostNanos: 5e6, detail: "torn" }),
      step("watch", "finished", { attempt: 2, hostNanos: 1.5e9 }),
      step("boot", "started", { runId: "another-run" })
    ].reduce(viewProgress, emptyProgress)
    assert.deepStrictEqual(renderProgress(view, 80), [
      "run-1234  ✓ boot 12 ms  ✓ watch (try 2) 1.5 s",
      "another-  … boot"
    ])
    assert.strictEqual(renderProgress(view, 20)[0]?.length, 20)
  })

  it.effect("redraws-in-place-on-a-terminal-and-adds-lines-elsewhere", () =>
    Effect.gen(function* () {
      const texts = { terminal: "", file: "" }
      for (const kind of ["terminal", "file"] as const) {
        const output = {
          write: (text: string) => void (texts[kind] += text),
          isTTY: kind === "terminal",
          columns: 100
        }
        yield* Effect.scoped(
          Pipeline.run({ kernelPath: "/kernel" }, { policy: kindTrigger("AgentReady"), target: `/s/${kind}` })
        ).pipe(Effect.provide(ProgressDisplay.layer(output)))
      }
      assert.include(texts.terminal, "\u001B[1A")
      assert.include(texts.terminal.split("\n").at(-2) ?? "", "✓ publish")
      assert.notInclude(texts.file, "\u001B")
      assert.strictEqual(texts.file.trimEnd().split("\n").length, 10)
    }).pipe(Effect.provide(host))
  )
})
