/**
 * From an opened snapshot to a machine.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import type { RestoreError } from "../MachineErrors.ts"
import { type Machine, type RestoreChain, Vmm } from "../Vmm.ts"
import type { Snapshot } from "./SnapshotStore.ts"

/** A machine of an opened snapshot and of its parents. Ungated: for the gate, and for who executes nothing. */
export const restoreSnapshot = (
  snapshot: Snapshot,
  options: Pick<RestoreChain, "diskSources"> = {}
): Effect.Effect<Machine, RestoreError, Vmm | Scope.Scope> =>
  Effect.flatMap(Vmm, (vmm) =>
    vmm.restore(snapshot.layers[0] ?? snapshot.directory, {
      identity: snapshot.manifest.identity,
      parents: snapshot.layers.slice(1),
      ...(options.diskSources === undefined ? {} : { diskSources: options.diskSources })
    })
  )
