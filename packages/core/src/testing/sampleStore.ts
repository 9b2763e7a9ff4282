/**
 * Stores of small snapshots with names, and processes that work on them.
 *
 * @module
 */
import { Effect, Layer } from "effect"
import type { DurableFiles } from "../files/DurableFiles.ts"
import { Snapshots } from "../names/Snapshots.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import type { MemoryFiles } from "./MemoryFiles.ts"
import { publishSample } from "./sampleSnapshots.ts"

/** The default folder of the store. */
export const home = "/data/stillpoint"

/** The services of a process that uses a store. */
export type Services = Snapshots | SnapshotStore | DurableFiles

/** One more process on the same files. */
export const handle = (files: Layer.Layer<DurableFiles>, folder = home): Layer.Layer<Services> =>
  Snapshots.layer({ home: folder }).pipe(
    Layer.orDie,
    Layer.provideMerge(SnapshotStore.layer),
    Layer.provideMerge(files)
  )

/** Takes a snapshot that carries a label, as a delta if a parent is named, and keeps it, with its verdict if it has one. */
export const keepSample = (
  label: string,
  name?: string,
  options: { readonly parent?: string; readonly replace?: boolean; readonly verdict?: "passed" | "failed" } = {}
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const snapshots = yield* Snapshots
      const { parent, verdict, ...tagging } = options
      const taken = parent === undefined ? {} : { parent: yield* snapshots.get(parent) }
      const directory = yield* snapshots.draft
      yield* publishSample(directory, label, verdict === undefined ? taken : { ...taken, verdict })
      return yield* snapshots.keep(directory, name, tagging)
    })
  )

/** Runs an operation as a process that has seen nothing of other operations. */
export const run = <A, E>(files: MemoryFiles, work: Effect.Effect<A, E, Services>) =>
  Effect.provide(work, handle(files.layer), { local: true })
