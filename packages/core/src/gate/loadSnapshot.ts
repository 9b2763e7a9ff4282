/**
 * From a directory to a machine that has executed nothing: the step before every gate.
 *
 * @module
 */
import { Effect, Option, type Scope } from "effect"
import { type RestoreOptions, restoreSnapshot } from "../snapshot/restoreSnapshot.ts"
import { type OpenOptions, type Snapshot, SnapshotStore } from "../snapshot/SnapshotStore.ts"
import type { Machine, Vmm } from "../Vmm.ts"
import { GateError } from "./GateErrors.ts"

/** A snapshot, and a machine of it and its parents. */
export interface Loaded {
  readonly snapshot: Snapshot
  readonly machine: Machine
}

/** Options for opening and restoring a snapshot. */
export interface LoadOptions extends Omit<OpenOptions, "allowLocked">, RestoreOptions {}

/** Maximum number of times that a snapshot may be replaced between opening and restoring. */
const mostReplacements = 8

/** Opens and restores the snapshot in a directory; again, if another one was put in its place in between. */
export const loadSnapshot = (
  directory: string,
  options: LoadOptions = {},
  retries = mostReplacements
): Effect.Effect<Loaded, GateError, SnapshotStore | Vmm | Scope.Scope> =>
  Effect.gen(function* () {
    const store = yield* SnapshotStore
    const snapshot = yield* store
      .open(directory, options)
      .pipe(
        Effect.mapError(
          (error) => new GateError({ reason: { _tag: "SnapshotRefused", path: error.path, cause: error.reason } })
        )
      )
    if (!snapshot.manifest.capture.hasAgent) return yield* new GateError({ reason: { _tag: "AgentAbsent" } })
    const restored = yield* Effect.result(restoreSnapshot(snapshot, options))
    if (restored._tag === "Success") return { snapshot, machine: restored.success }
    const now = yield* Effect.option(store.open(directory, options))
    if (retries > 0 && Option.isSome(now) && now.value.manifest.digest !== snapshot.manifest.digest) {
      return yield* loadSnapshot(directory, options, retries - 1)
    }
    const { reason } = restored.failure
    return yield* new GateError({ reason: { _tag: "NotRestored", path: snapshot.directory, cause: reason } })
  })
