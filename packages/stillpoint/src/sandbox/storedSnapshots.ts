/**
 * The snapshots of a store, for programs that are written with promises.
 *
 * @module
 */
import { type Removed, type Snapshot, Snapshots, snapshotsHome, type StoredSnapshot } from "@stillpoint/core"
import { Effect } from "effect"
import { type Abortable, cancelled, objectProblems, signalProblems } from "./abortable.ts"
import { refused } from "./checkedOptions.ts"
import { servicesProblems, type StillpointOptions } from "./sandboxServices.ts"

/** Which store is meant. */
export interface StoreOptions extends Pick<StillpointOptions, "home" | "keys">, Abortable {}

const inStore = async <A>(
  operation: string,
  work: Effect.Effect<A, unknown, Snapshots>,
  given: StoreOptions
): Promise<A> => {
  await Effect.runPromise(refused(operation, objectProblems(given, '{ home: "FOLDER" }')))
  const { signal, ...services } = { ...given }
  await Effect.runPromise(refused(operation, [...signalProblems(signal), ...servicesProblems(services)]))
  const { home = snapshotsHome(), keys = {} } = services
  return cancelled(signal, (options) =>
    Effect.runPromise(Effect.provide(work, Snapshots.layerHost({ home, ...keys })), options)
  )
}

/** Operations on the snapshots of a store; no guest is started for any of them. */
export const storedSnapshots = {
  /** All snapshots, by name. Those that cannot be opened are included, with the reason. */
  list: (options: StoreOptions = {}): Promise<ReadonlyArray<StoredSnapshot>> =>
    inStore(
      "Stillpoint.snapshots.list",
      Snapshots.use((snapshots) => snapshots.list),
      options
    ),
  /** Opens a snapshot: `name`, `name:tag` or a digest. */
  get: (reference: string, options: StoreOptions = {}): Promise<Snapshot> =>
    inStore(
      "Stillpoint.snapshots.get",
      Snapshots.use((snapshots) => snapshots.get(reference)),
      options
    ),
  /** Removes a name, and the snapshot if that was its last; given a digest, removes the snapshot with all its names. */
  remove: (reference: string, options: StoreOptions = {}): Promise<Removed> =>
    inStore(
      "Stillpoint.snapshots.remove",
      Snapshots.use((snapshots) => snapshots.remove(reference)),
      options
    )
}
