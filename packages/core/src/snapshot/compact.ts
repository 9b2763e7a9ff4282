/**
 * A chain of deltas as one full snapshot.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { restoreSnapshot } from "./restoreSnapshot.ts"
import { type PublishOptions, SnapshotStore } from "./SnapshotStore.ts"
import { recordedChoice } from "../EngineChoice.ts"
import { Vmm } from "../Vmm.ts"

/** A compacted snapshot did not give the machine that its chain gives; nothing was published. */
export class CompactionDiffers extends Schema.TaggedError<CompactionDiffers>()("CompactionDiffers", {
  directory: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `compacting ${this.directory}: expected machine digest ${this.expected}, found ${this.found}; the chain is as it was`
  }
}

/**
 * Publishes the snapshot in `directory`, which may be a delta of any depth, as a full one at `target`: the same machine, moment,
 * timeline, provenance and verdict, and no parent. Published only if a machine restored from it has the digest of one restored
 * from the chain. The guest executes nothing.
 *
 * `target` may be the directory itself, with `replace`. Deltas that were taken against the original are none to the compacted one.
 *
 * @example
 * ```ts
 * import { compactSnapshot } from "@stillpoint/core"
 *
 * export const compacted = compactSnapshot("snapshots/web-7", "snapshots/web")
 * ```
 */
export const compactSnapshot = Effect.fn("compactSnapshot")(function* (
  directory: string,
  target: string,
  options: PublishOptions = {}
) {
  const store = yield* SnapshotStore
  // Before a machine is restored for it.
  yield* store.admit(target, options)
  const original = yield* store.open(directory)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const machine = yield* restoreSnapshot(original)
      const expected = yield* machine.digest
      const staging = yield* store.stage(target)
      const captured = yield* machine.capture(staging.directory, staging.kind)
      const found = yield* Effect.scoped(
        Effect.gen(function* () {
          const again = yield* (yield* Vmm).restore(staging.directory, {
            identity: captured.identity,
            ...(original.encryptionKey === undefined ? {} : { encryptionKey: original.encryptionKey })
          })
          return yield* again.digest
        })
      )
      if (found !== expected) return yield* new CompactionDiffers({ directory: original.directory, expected, found })
      const { capture, configuration, engine, engineChoice, memoryMib, policy, provenance, runId, validation } =
        original.manifest
      return yield* store.publish(
        staging,
        {
          draft: {
            engine,
            ...recordedChoice(engineChoice),
            runId,
            memoryMib,
            configuration,
            policy,
            provenance,
            capture,
            validation
          },
          captured,
          timeline: yield* store.timeline(original),
          ...(original.validation === null ? {} : { verdict: original.validation })
        },
        options
      )
    })
  )
})
