/**
 * Bringing to an end, on start, what a process left unfinished when it died.
 *
 * @module
 */
import { dirname } from "node:path"
import { Effect } from "effect"
import type { FileFault } from "../snapshot/DurableFiles.ts"
import { Publisher } from "../snapshot/Leftovers.ts"
import { SnapshotStore, type SweepReport } from "../snapshot/SnapshotStore.ts"
import { isActive } from "./activeRuns.ts"
import type { RecoveryFindings } from "./RunCommand.ts"
import { makeRunContext } from "./RunContext.ts"
import { isEnded, type RunPhase } from "./RunState.ts"
import { listRuns, loadRun } from "./runStream.ts"

/** What a recovery did. */
export interface RecoveryReport {
  /** Runs that were brought to an end, and to which. */
  readonly ended: ReadonlyArray<{ readonly runId: string; readonly was: RunPhase; readonly is: RunPhase }>
  /** What was cleared beside the targets of all runs. */
  readonly swept: ReadonlyArray<SweepReport>
}

/** What stands at a run's target, as far as it is that run's. */
const findPublished = Effect.fnUntraced(function* (runId: string, target: string | null) {
  const nothing: RecoveryFindings = { published: null, validation: "absent" }
  if (target === null) return nothing
  const found = yield* Effect.result((yield* SnapshotStore).open(target, { allowUnvalidated: true }))
  if (found._tag === "Failure" || found.success.manifest.runId !== runId) return nothing
  const { directory, manifest, validation } = found.success
  return {
    published: { directory, digest: manifest.digest },
    validation: validation?.verdict ?? "absent"
  } satisfies RecoveryFindings
})

/**
 * Ends every run in the journal that its process can no longer end, and clears leftovers beside the targets of all runs.
 *
 * A run whose snapshot had been published, and whose validation had passed if it wanted one, becomes ready: all others fail, and
 * say where they were cut off. To be called before the first run of a process; runs of living processes are left alone.
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
  const store = yield* SnapshotStore
  const publisher = yield* Publisher
  const ended: Array<RecoveryReport["ended"][number]> = []
  const parents = new Set<string>()
  const sweep = (parent: string): Effect.Effect<SweepReport, FileFault> => store.sweep(parent)
  const unfinished: Array<{ readonly runId: string; readonly was: RunPhase; readonly target: string | null }> = []
  for (const runId of yield* listRuns) {
    const { state } = yield* loadRun(runId)
    if (state.phase === "not-started") continue
    if (state.run.target !== null) parents.add(dirname(state.run.target))
    if (isEnded(state)) continue
    const { ownerPid } = state.run
    if (ownerPid === publisher.pid ? isActive(runId) : publisher.isAlive(ownerPid)) continue
    unfinished.push({ runId, was: state.phase, target: state.run.target })
  }
  // First the files: a snapshot that a replacement had moved aside is back where its run will look for it.
  const swept = yield* Effect.forEach([...parents], sweep)
  for (const { runId, target, was } of unfinished) {
    const findings = yield* findPublished(runId, target)
    const run = yield* makeRunContext(runId)
    const state = yield* run.tell({ _tag: "Recover", findings })
    ended.push({ runId, was, is: state.phase })
  }
  return { ended, swept } satisfies RecoveryReport
}).pipe(Effect.withSpan("recoverRuns"))
