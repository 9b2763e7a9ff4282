/**
 * Ends, on start, the runs that a dead process left unfinished.
 *
 * @module
 */
import { dirname } from "node:path"
import { Effect, Result, type Scope } from "effect"
import type { FileFault } from "../files/FileErrors.ts"
import { Journal } from "../journal/Journal.ts"
import type { JournalError } from "../journal/JournalErrors.ts"
import { SnapshotStore, type SweepReport } from "../snapshot/SnapshotStore.ts"
import { claimRun } from "./activeRuns.ts"
import type { RecoveryFindings } from "./RunCommand.ts"
import { makeRunContext, type RunCommandError } from "./RunContext.ts"
import { isEnded, type RunPhase } from "./RunState.ts"
import { listRuns, loadRun } from "./runStream.ts"

/** Something that could not be recovered; everything else was. */
export type RecoveryFailure =
  | { readonly _tag: "Run"; readonly runId: string; readonly error: RunCommandError }
  | { readonly _tag: "Folder"; readonly path: string; readonly error: FileFault }

/** The result of a recovery. */
export interface RecoveryReport {
  /** Runs that were ended, and their outcomes. */
  readonly ended: ReadonlyArray<{ readonly runId: string; readonly was: RunPhase; readonly is: RunPhase }>
  /** Leftovers that were cleared beside the targets of all runs, and those that could not be. */
  readonly swept: ReadonlyArray<SweepReport>
  readonly failed: ReadonlyArray<RecoveryFailure>
}

/** The snapshot at a run's target, if it belongs to that run. */
const findPublished = Effect.fnUntraced(function* (runId: string, target: string | null) {
  const nothing: RecoveryFindings = { published: null, validation: "absent" }
  if (target === null) return nothing
  const found = yield* Effect.result((yield* SnapshotStore).open(target, { allowUnvalidated: true, allowLocked: true }))
  if (found._tag === "Failure" || found.success.manifest.runId !== runId) return nothing
  const { directory, manifest, validation } = found.success
  return {
    published: { directory, digest: manifest.digest },
    validation: validation?.verdict ?? "absent"
  } satisfies RecoveryFindings
})

/** Ends a run that no process has claimed; `null` if one has, or the run has ended. */
const endRun = Effect.fnUntraced(function* (runId: string) {
  if (!(yield* claimRun(runId))) return null
  // Its owner, or another recovery, may have ended it before the claim.
  const run = yield* makeRunContext(runId)
  const state = yield* run.state
  if (state.phase === "not-started") return null
  if (isEnded(state)) return null
  const { phase } = yield* run.tell({ _tag: "Recover", findings: yield* findPublished(runId, state.run.target) })
  return { runId, was: state.phase, is: phase }
}, Effect.scoped)

/** One recovery of a journal at a time: the others wait, and find nothing left to do. */
const recoveryTurn: Effect.Effect<void, JournalError, Journal | Scope.Scope> = Effect.gen(function* () {
  const journal = yield* Journal
  while (!(yield* journal.claim("recovery"))) yield* Effect.sleep("5 millis")
})

/**
 * Ends every run in the journal whose process has ended, and removes leftovers beside the targets of all runs and beside the journal.
 *
 * A run whose snapshot was published, and validated if it required that, becomes ready; all others fail, and say where they were cut
 * off. Call this before the first run of a process. Runs that are still in progress, in this process or another one, are not touched.
 * Any number of recoveries may run at once: each run is ended once, and all return when the work is done. The report lists failures;
 * they do not keep the rest from being recovered.
 *
 * @example
 * ```ts
 * import { Journal, recoverRuns, SnapshotStore } from "@stillpoint/core"
 * import { Effect, Layer } from "effect"
 *
 * const report = await Effect.runPromise(
 *   recoverRuns.pipe(Effect.provide(Layer.merge(Journal.layerMemory, SnapshotStore.layerHost)))
 * )
 * console.log(report.ended) // []
 * ```
 */
export const recoverRuns = Effect.gen(function* () {
  yield* recoveryTurn
  const store = yield* SnapshotStore
  const ended: Array<RecoveryReport["ended"][number]> = []
  const failed: Array<RecoveryFailure> = []
  const swept: Array<SweepReport> = []
  const folders = new Set<string>()
  for (const runId of yield* listRuns) {
    const loaded = yield* Effect.result(loadRun(runId))
    if (Result.isFailure(loaded)) {
      failed.push({ _tag: "Run", runId, error: loaded.failure })
      continue
    }
    const { state } = loaded.success
    if (state.phase === "not-started") continue
    const { target } = state.run
    if (target !== null) folders.add(dirname(yield* Effect.orElseSucceed(store.resolve(target), () => target)))
    if (isEnded(state)) continue
    const outcome = yield* Effect.result(endRun(runId))
    if (Result.isFailure(outcome)) failed.push({ _tag: "Run", runId, error: outcome.failure })
    else if (outcome.success !== null) ended.push(outcome.success)
  }
  yield* (yield* Journal).sweepClaims
  for (const path of folders) {
    const report = yield* Effect.result(store.sweep(path))
    if (Result.isFailure(report)) failed.push({ _tag: "Folder", path, error: report.failure })
    else swept.push(report.success)
  }
  return { ended, swept, failed } satisfies RecoveryReport
}).pipe(Effect.scoped, Effect.withSpan("recoverRuns"))
