/**
 * The stages that write a snapshot: into a staging directory, and from there to its target.
 *
 * @module
 */
import { Effect, Metric, Schema } from "effect"
import { recordedChoice } from "../../EngineChoice.ts"
import { FiringJson } from "../../Firing.ts"
import { RunContext } from "../../run/RunContext.ts"
import { type PublishOptions, type Snapshot, SnapshotStore, type Staging } from "../../snapshot/SnapshotStore.ts"
import type { CapturedFiles, Machine } from "../../Vmm.ts"
import { bootSpecJson } from "../BootSpecJson.ts"
import { captureRecording } from "../captureRecording.ts"
import * as Stage from "../Stage.ts"
import { capturePause } from "../stageMetrics.ts"
import { refuseFailedDisk } from "./failedDisk.ts"
import type { Frozen } from "./freeze.ts"

/** Files that were written and are nowhere to be seen yet. */
export interface Captured extends Frozen {
  readonly staging: Staging
  readonly captured: CapturedFiles
  /** The snapshot that was captured against; `null` for a full capture. */
  readonly parent: Snapshot | null
  readonly recording: Uint8Array
}

/** A snapshot at its target. */
export interface Published extends Captured {
  readonly snapshot: Snapshot
}

/** A captured machine that stays in memory. */
export interface Kept extends Frozen {
  /** The machine at the capture; fork it for every clone. */
  readonly snapshot: Machine
}

/** Options of a capture. */
export interface CaptureStageOptions {
  /**
   * Writes only the pages that changed since this snapshot of the machine, of a fork of it, or the one that it was restored
   * from. Full if absent or `null`.
   */
  readonly parent?: Snapshot | null
  /** Whether a snapshot at the target will be replaced; if `false`, a run to an existing target is refused before it begins. */
  readonly replace?: boolean
}

/** Writes the machine into a staging directory beside `target`. The guest stands only while its state is taken. */
export const capture = (target: string, { parent = null, replace }: CaptureStageOptions = {}) =>
  Stage.make(
    "capture",
    (frozen: Frozen) =>
      Effect.gen(function* () {
        const run = yield* RunContext
        const staging = yield* (yield* SnapshotStore).stage(target)
        const recording = yield* captureRecording(frozen.subject, frozen.spec, frozen.earlier)
        const captured = yield* Effect.ensuring(
          frozen.subject.capture(staging.directory, {
            ...staging.kind,
            ...(parent === null ? {} : { parent: parent.manifest.identity })
          }),
          frozen.giveBack
        )
        yield* refuseFailedDisk(frozen, captured.seq)
        yield* Metric.update(capturePause, captured.pauseNanos / 1e6)
        yield* run.tell({
          _tag: "RecordCapture",
          atNanos: captured.atNanos,
          seq: captured.seq,
          pauseNanos: captured.pauseNanos,
          storedBytes: captured.files.reduce((sum, file) => sum + file.storedBytes, 0)
        })
        return { ...frozen, staging, captured, parent, recording } satisfies Captured
      }),
    { check: targetProblems(target, replace) }
  )

/** Problems of a target: that it is no path, taken, or that nothing can be published there. */
const targetProblems = (
  target: string,
  replace: boolean | undefined
): Effect.Effect<ReadonlyArray<string>, never, SnapshotStore> => {
  if (target === "" || target.includes("\0")) {
    return Effect.succeed([`target: expected the path of a directory, found ${JSON.stringify(target)}`])
  }
  return SnapshotStore.use((store) => store.admit(target, { replace: replace !== false })).pipe(
    Effect.as([]),
    Effect.catch(({ reason }) =>
      Effect.succeed([
        reason._tag === "TargetExists"
          ? `target: ${target} exists; choose another one, or ask for replace`
          : `target: ${reason.message}`
      ])
    )
  )
}

/** Publishes the captured files, complete and flushed, with their provenance. */
export const publish = (options: PublishOptions & { readonly validation?: "none" | "required" } = {}) =>
  Stage.make("publish", (stage: Captured) =>
    Effect.gen(function* () {
      const run = yield* RunContext
      const { captured, firing, hasAgent, isWorkloadFrozen, parent, policy, recording, spec, staging } = stage
      const provenance = yield* Effect.orDie(Schema.encodeEffect(FiringJson)(firing))
      const store = yield* SnapshotStore
      const publishing = store.publish(
        staging,
        {
          captured,
          timeline: recording,
          draft: {
            engine: captured.engine,
            ...recordedChoice(stage.machine.engineChoice),
            runId: run.runId,
            memoryMib: captured.memoryMib,
            configuration: bootSpecJson(spec),
            policy: policy.description,
            provenance,
            capture: {
              atNanos: captured.atNanos,
              seq: captured.seq,
              pauseNanos: captured.pauseNanos,
              isWorkloadFrozen,
              hasAgent
            },
            validation: options.validation ?? "none"
          },
          ...(parent === null ? {} : { parent })
        },
        options
      )
      // A snapshot at the target must also be in the journal, so the two cannot be cancelled separately.
      const snapshot = yield* Effect.uninterruptible(
        Effect.tap(publishing, ({ directory, manifest }) =>
          run.tell({ _tag: "RecordPublish", directory, digest: manifest.digest })
        )
      )
      return { ...stage, snapshot } satisfies Published
    })
  )

/** Keeps a fork of the machine as the snapshot, for runs without a target. */
export const keepInMemory = Stage.make("capture", (frozen: Frozen) =>
  Effect.gen(function* () {
    const run = yield* RunContext
    const snapshot = yield* Effect.ensuring(frozen.subject.fork, frozen.giveBack)
    const seq = (yield* frozen.subject.eventsSoFar()).at(-1)?.seq ?? -1
    yield* refuseFailedDisk(frozen, seq)
    yield* run.tell({ _tag: "RecordCapture", atNanos: yield* snapshot.nowNanos, seq, pauseNanos: 0, storedBytes: 0 })
    yield* run.tell({ _tag: "KeepInMemory" })
    return { ...frozen, snapshot } satisfies Kept
  })
)
