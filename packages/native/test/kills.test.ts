import { assert, describe, it } from "@effect/vitest"
import { explainRun, journalSqlite, listRuns, recoverRuns, SnapshotStore } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { folder } from "./guests.ts"

const program = fileURLToPath(new URL("./killedRun.ts", import.meta.url))

/** Runs the program until it is dead; the signal that killed it, `null` if it ended by itself. */
const runUntilDead = (...args: ReadonlyArray<string>) =>
  Effect.promise(
    () =>
      new Promise<{ readonly signal: string | null; readonly complaint: string }>((resolve, reject) => {
        const child = spawn(process.execPath, ["--conditions=source", "--no-warnings", program, ...args], {
          stdio: ["ignore", "ignore", "pipe"]
        })
        let complaint = ""
        child.stderr.on("data", (chunk: Buffer) => {
          complaint += chunk.toString()
        })
        child.on("error", reject)
        child.on("close", (_code, signal) => resolve({ signal, complaint }))
      })
  )

/** Kills a run there; what its journal and its target say after a recovery. */
const killAt = (stage: string, status: string, delayMillis = 0) =>
  Effect.scoped(
    Effect.gen(function* () {
      const where = yield* folder
      const path = join(where, "journal")
      const target = join(where, "snapshot")
      const { complaint, signal } = yield* runUntilDead(path, target, stage, status, String(delayMillis))
      assert.strictEqual(complaint, "")
      return yield* Effect.gen(function* () {
        const report = yield* recoverRuns
        const again = yield* recoverRuns
        assert.deepStrictEqual(again.ended, [])
        const [runId = ""] = yield* listRuns
        const { state, text } = yield* explainRun(runId)
        const opened = yield* Effect.result((yield* SnapshotStore).open(target))
        // Nothing is left beside the target.
        assert.deepStrictEqual(
          readdirSync(where).filter((name) => !name.startsWith("journal") && name !== "snapshot"),
          []
        )
        // What the journal says and what stands on the disk is the same.
        assert.include(["ready", "failed"], state.phase)
        assert.strictEqual(state.phase === "ready", opened._tag === "Success", text)
        return { signal, ended: report.ended.length, phase: state.phase }
      }).pipe(Effect.provide(Layer.merge(SnapshotStore.layerHost, journalSqlite({ path })), { local: true }))
    })
  )

describe("a process that is killed", () => {
  for (const stage of ["boot", "watch", "quiesce", "capture", "publish", "validate"]) {
    for (const status of ["started", "finished"]) {
      it.live(
        `when-${stage}-has-${status}-leaves-a-snapshot-that-is-ready-or-clearly-not`,
        () =>
          Effect.gen(function* () {
            const { ended, phase, signal } = yield* killAt(stage, status)
            assert.strictEqual(signal, "SIGKILL")
            // The last boundary lies behind the end of the run.
            const isOver = stage === "validate" && status === "finished"
            assert.strictEqual(phase, isOver ? "ready" : "failed")
            assert.strictEqual(ended, isOver ? 0 : 1)
          }),
        120_000
      )
    }
  }

  const moments = Number(process.env["STILLPOINT_KILLS"] ?? 4)
  it.live(
    `at-${moments}-moments-in-between-leaves-no-doubt-either`,
    () =>
      Effect.gen(function* () {
        for (let moment = 0; moment < moments; moment++) {
          // From the first instruction to a little after the end of most runs, in steps that share no factor with anything.
          const delay = 1 + ((moment * 617) % 1_900)
          yield* killAt("boot", "finished", delay)
        }
      }),
    120_000 + moments * 10_000
  )
})
