/**
 * Everything that sandboxes need, with every default.
 *
 * @module
 */
import { join } from "node:path"
import {
  DurableFiles,
  Journal,
  keyProblems,
  makeDirectories,
  type SnapshotKeys,
  Snapshots,
  snapshotsHome,
  SnapshotStore
} from "@stillpoint/core"
import { Artifacts, Images, type ImagesOptions, imagesOptionsProblems } from "@stillpoint/images"
import { NativeVmm } from "@stillpoint/native"
import { Effect, Layer, Schema } from "effect"
import { kitLayer } from "./kitLayer.ts"
import { RestoreLog } from "./RestoreLog.ts"
import { optionOf, Path, problemsOf, refused } from "./checkedOptions.ts"

/** Options of the services that sandboxes share. */
export interface StillpointOptions {
  /** The folder of snapshots and runs; `STILLPOINT_HOME` or the user's data folder if absent. */
  readonly home?: string
  /** Options for resolving images. */
  readonly images?: ImagesOptions
  /** Keys that sign or encrypt new snapshots, and keys that are required of restored ones. */
  readonly keys?: SnapshotKeys
}

/** A journal of runs beside the snapshots; in memory where the folder cannot be written. */
const journalIn = (home: string) =>
  Layer.unwrap(
    DurableFiles.use((files) => makeDirectories(files, home)).pipe(
      Effect.match({
        onSuccess: () => Journal.layerSqlite({ path: join(home, "runs.journal") }),
        onFailure: () => Journal.layerMemory
      }),
      Effect.provide(DurableFiles.layer)
    )
  )

/** One layer with the engine of this host, the guest kit, images, registries, the user's snapshots, and a journal of runs beside them. */
export const sandboxServices = (options: StillpointOptions = {}) =>
  Layer.unwrap(
    Effect.map(
      Effect.suspend(() => refused("Stillpoint.layer", servicesProblems(options))),
      () => servicesOf(options)
    )
  )

const ServicesData = Schema.Struct({
  home: Schema.optional(Path),
  images: Schema.optional(Schema.Unknown),
  keys: Schema.optional(Schema.Unknown)
})

/** All that is wrong with the options of the services. */
export const servicesProblems = (options: unknown): ReadonlyArray<string> => {
  const images = optionOf(options, "images")
  const keys = optionOf(options, "keys")
  return [
    ...problemsOf(ServicesData, options),
    ...(images === undefined ? [] : imagesOptionsProblems(images)),
    ...(keys === undefined ? [] : keyProblems(keys))
  ]
}

const servicesOf = (options: StillpointOptions) => {
  const { home = snapshotsHome(), keys = {} } = options
  return Layer.mergeAll(
    NativeVmm.layer,
    kitLayer,
    Images.layer(options.images),
    Artifacts.layer(options.images),
    Snapshots.layerHost({ home, ...keys }),
    Layer.provide(SnapshotStore.layerKeyed(keys), DurableFiles.layer),
    DurableFiles.layer,
    Layer.provideMerge(RestoreLog.layer, journalIn(home))
  )
}
