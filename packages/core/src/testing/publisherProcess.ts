/**
 * A process, or a thread of one, that publishes snapshots and recovers runs in parallel with others, and reports the
 * results.
 *
 * `node publisherProcess.ts COMMAND FOLDER NAME COUNT`; it prints one line of JSON.
 *
 * ```text
 * publish  COUNT snapshots: to a target of its own, and, replacing, to one that all share; sweeps after each
 * stage    begins a snapshot and a journal's run, says `ready`, and waits until it is killed
 * recover  sweeps, and recovers the runs in the folder's journal
 * once     publishes with a umask of 0, as far as the process may set one, and writes a journal
 * ```
 *
 * @module
 */
import { writeSync } from "node:fs"
import { join } from "node:path"
import { isMainThread, parentPort, workerData } from "node:worker_threads"
import { Effect, Layer } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import { Journal } from "../journal/Journal.ts"
import { claimRun } from "../run/activeRuns.ts"
import { makeRunContext } from "../run/RunContext.ts"
import { recoverRuns } from "../run/recoverRuns.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { sampleOwner } from "./runArbitraries.ts"
import { publishSample, sampleCapture } from "./sampleSnapshots.ts"

/** The results of a publisher. */
export interface Published {
  readonly published: number
  /** Messages of what failed. */
  readonly failures: ReadonlyArray<string>
  /** The leftovers that its sweeps removed. */
  readonly removed: ReadonlyArray<string>
}

/** The results of a recovery. */
export interface Recovered {
  readonly ended: ReadonlyArray<string>
  readonly removed: ReadonlyArray<string>
  /** Messages of what failed. */
  readonly failures: ReadonlyArray<string>
  /** Leftovers that could not be removed. */
  readonly left: ReadonlyArray<{ readonly path: string; readonly why: string }>
}

const [command = "", folder = "", name = "", count = "1"] = isMainThread
  ? process.argv.slice(2)
  : (workerData as ReadonlyArray<string>)

const tell = (value: unknown): void => {
  if (isMainThread) writeSync(1, `${JSON.stringify(value)}\n`)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origins
  else parentPort?.postMessage(JSON.stringify(value))
}

const publish = Effect.gen(function* () {
  const store = yield* SnapshotStore
  const failures: Array<string> = []
  const removed: Array<string> = []
  let published = 0
  for (let index = 0; index < Number(count); index++) {
    for (const target of [join(folder, `${name}-${index % 4}`), join(folder, "shared")]) {
      const outcome = yield* Effect.result(publishSample(target, `${name}-${index}`, { replace: true }))
      if (outcome._tag === "Success") published += 1
      else failures.push(outcome.failure.message)
    }
    const swept = yield* store.sweep(folder)
    removed.push(...swept.removed)
    failures.push(...swept.failed.map(({ fault }) => fault.message))
  }
  return { published, failures, removed } satisfies Published
})

const journal = Journal.layerSqlite({ path: join(folder, "journal") })

/** Begins a run of its own and a snapshot at its target, and never ends. */
const stage = Effect.gen(function* () {
  const target = join(folder, name)
  yield* claimRun(name)
  const run = yield* makeRunContext(name)
  yield* run.tell({
    _tag: "Start",
    runId: name,
    pipeline: "test",
    owner: sampleOwner,
    policy: null,
    configuration: null,
    target,
    isValidated: false
  })
  const staging = yield* (yield* SnapshotStore).stage(target)
  yield* sampleCapture(staging.directory, name)
  tell({ ready: staging.directory })
  // Something that keeps the process alive, and the claim: a fiber that waits for nothing keeps neither.
  const scope = yield* Effect.scope
  setInterval(() => scope.state, 1_000)
  return yield* Effect.never
})

const once = Effect.gen(function* () {
  process.umask(0)
  const target = join(folder, name, "snapshot")
  const first = yield* publishSample(target, "first", { validation: "required" })
  const store = yield* SnapshotStore
  yield* store.recordValidation(first, { verdict: "passed", detail: "", workingSet: null })
  yield* publishSample(target, "second", { replace: true, verdict: "passed" })
  yield* store.stage(join(folder, name, "another"))
  const log = yield* Journal
  yield* log.append("s", [{ type: "T", schemaVersion: 1, json: "{}" }])
  yield* log.claim("s")
  tell({ ready: target })
  setInterval(() => {}, 1_000)
  return yield* Effect.never
})

const store = Layer.provideMerge(SnapshotStore.layer, DurableFiles.layer)

const recover = Effect.map(recoverRuns, ({ ended, failed, swept }): Recovered => ({
  ended: ended.map(({ runId }) => runId),
  removed: swept.flatMap(({ removed }) => removed),
  failures: failed.map(({ error }) => error.message),
  left: swept.flatMap(({ failed }) => failed.map(({ fault, path }) => ({ path, why: fault.message })))
}))

const programs = { publish, stage, recover, once }
const program: Effect.Effect<unknown, unknown, Effect.Services<(typeof programs)[keyof typeof programs]>> = programs[
  command as keyof typeof programs
]

tell(await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(Layer.merge(store, journal)))))
