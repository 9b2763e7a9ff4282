/**
 * From an opened snapshot to a machine.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { describeValue } from "../describeValue.ts"
import { RestoreError } from "../MachineErrors.ts"
import { isDiskPaths } from "../optionProblems.ts"
import { type Machine, type RestoreChain, Vmm } from "../Vmm.ts"
import type { Manifest } from "./Manifest.ts"
import type { Snapshot } from "./Snapshot.ts"

type DiskPaths = NonNullable<RestoreChain["diskSources"]>

/** Options of restoring an opened snapshot. */
export interface RestoreOptions {
  /**
   * By the names of disks: the present paths of their files, if they differ from those at the capture. A function derives them
   * from the manifest of the opened snapshot.
   */
  readonly diskSources?: DiskPaths | ((manifest: Manifest) => DiskPaths)
}

/** The paths of a snapshot's disks; a function that returns nothing usable is refused by name. */
const diskPaths = (
  given: NonNullable<RestoreOptions["diskSources"]>,
  manifest: Manifest
): Effect.Effect<DiskPaths, RestoreError> => {
  if (typeof given !== "function") return Effect.succeed(given)
  const refused = (found: unknown) =>
    new RestoreError({
      reason: {
        _tag: "DiskUnknown",
        message: `diskSources: expected a function from a manifest to paths by names of disks, found one that ends in ${describeValue(found)}`
      }
    })
  return Effect.try({ try: () => given(manifest), catch: refused }).pipe(
    Effect.flatMap((paths) => (isDiskPaths(paths) ? Effect.succeed(paths) : Effect.fail(refused(paths))))
  )
}

/** A machine of an opened snapshot and of its parents. Ungated: for the gate, and for who executes nothing. */
export const restoreSnapshot = (
  snapshot: Snapshot,
  { diskSources = {} }: RestoreOptions = {}
): Effect.Effect<Machine, RestoreError, Vmm | Scope.Scope> =>
  Effect.gen(function* () {
    const vmm = yield* Vmm
    return yield* vmm.restore(snapshot.layers[0] ?? snapshot.directory, {
      identity: snapshot.manifest.identity,
      parents: snapshot.layers.slice(1),
      ...(snapshot.encryptionKey === undefined ? {} : { encryptionKey: snapshot.encryptionKey }),
      diskSources: yield* diskPaths(diskSources, snapshot.manifest)
    })
  })
