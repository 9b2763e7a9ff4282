/**
 * Publishing snapshots whole or not at all, and opening none that is not exactly what was published.
 *
 * @module
 */
import { join, resolve } from "node:path"
import { Context, Effect, Layer, type Scope } from "effect"
import type { CapturedFiles } from "../Vmm.ts"
import { DurableFiles, type DurableFilesShape, type FileFault } from "./DurableFiles.ts"
import { leftoverPath, parseLeftover, Publisher } from "./Leftovers.ts"
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
  type ManifestDraft,
  type ManifestFile,
  manifestFileName,
  sealManifest,
  sha256,
  timelineFileName,
  validationFileName
} from "./Manifest.ts"
import {
  CaptureMismatch,
  ManifestMissing,
  SnapshotFileAltered,
  SnapshotFileMissing,
  SnapshotFileResized,
  SnapshotMissing,
  SnapshotNotReady,
  SnapshotOpenError,
  type SnapshotOpenReason,
  SnapshotPublishError,
  type SnapshotPublishReason,
  TargetExists,
  TargetNeeded
} from "./SnapshotErrors.ts"
import { activeStagings, isInUse, makePlacement } from "./placement.ts"
import { followChain, referenceTo } from "./SnapshotChain.ts"
import { decodeValidation, encodeValidation, makeValidation, type Validation, type WorkingSet } from "./Validation.ts"

/** A directory in which a snapshot is being written; it vanishes with its scope unless published. */
export interface Staging {
  /** Where the machine writes its files: existing, empty. */
  readonly directory: string
  /** Where the snapshot will stand. */
  readonly target: string
}

/** A published snapshot whose manifest and small files were verified, and those of its parents. */
export interface Snapshot {
  readonly directory: string
  readonly manifest: Manifest
  /** Directories of what it was taken against: its parent, that one's parent and so on. None for a full snapshot. */
  readonly parents: ReadonlyArray<string>
  /** The verdict of its validation, if it has one. */
  readonly validation: Validation | null
}

/** How a snapshot is opened. */
export interface OpenOptions {
  /** Open a snapshot whose required validation is still to come: only for the one who validates. */
  readonly allowUnvalidated?: boolean
}

/** How a snapshot is published. */
export interface PublishOptions {
  /** Replace what stands at the target; without it an existing target is refused. */
  readonly replace?: boolean
}

/** What becomes a snapshot. */
export interface SnapshotContents {
  readonly draft: ManifestDraft
  readonly captured: CapturedFiles
  readonly timeline: Uint8Array
  /** The snapshot that was captured against; absent for a full capture. */
  readonly parent?: Snapshot
  /** A verdict that holds from the beginning, published with the rest; it can be recorded later if absent. */
  readonly verdict?: Verdict
}

/** What a validation came to. */
export interface Verdict {
  readonly verdict: "passed" | "failed"
  readonly detail: string
  readonly workingSet: WorkingSet | null
}

/** What a sweep did. */
export interface SweepReport {
  /** Directories that were removed: unfinished or superseded snapshots. */
  readonly removed: ReadonlyArray<string>
  /** Snapshots that were put back to where an interrupted replacement had taken them from. */
  readonly restored: ReadonlyArray<string>
}

/** Operations of a {@link SnapshotStore}. */
export interface SnapshotStoreShape {
  /** Makes an empty directory beside `target`; removed with the scope unless published from. */
  readonly stage: (target: string) => Effect.Effect<Staging, SnapshotPublishError, Scope.Scope>
  /**
   * Writes the timeline and, last, the manifest; flushes everything; renames the directory to its target.
   *
   * When it returns the snapshot survives a crash; when it fails the target is as it was.
   */
  readonly publish: (
    staging: Staging,
    contents: SnapshotContents,
    options?: PublishOptions
  ) => Effect.Effect<Snapshot, SnapshotPublishError>
  /**
   * Opens a snapshot: header, seal, sizes and digests of all but the memory, whose chunks are checked when touched. Of a delta
   * the same is checked for everything it was taken against; those need not be ready themselves.
   */
  readonly open: (directory: string, options?: OpenOptions) => Effect.Effect<Snapshot, SnapshotOpenError>
  /** The recorded timeline of a snapshot, checked again as it is read. */
  readonly timeline: (snapshot: Snapshot) => Effect.Effect<Uint8Array, SnapshotOpenError>
  /** Writes the verdict of a validation; the snapshot is ready from then on, or never. */
  readonly recordValidation: (snapshot: Snapshot, verdict: Verdict) => Effect.Effect<Snapshot, SnapshotPublishError>
  /** Clears what crashed publishers left beside the snapshots in a directory. Leaves what living processes own. */
  readonly sweep: (parentDirectory: string) => Effect.Effect<SweepReport, FileFault>
  /**
   * Removes a snapshot; the manifest goes first, so that a crash cannot leave half a snapshot. Deltas that were taken against it
   * are refused from then on.
   */
  readonly remove: (directory: string) => Effect.Effect<void, FileFault>
}

const memoryFileName = "memory.bin"
const chunkTableName = "memory.digests"

const make = (files: DurableFilesShape, publisher: (typeof Publisher)["Service"]): SnapshotStoreShape => {
  const readText = (path: string) => Effect.map(files.read(path), (bytes) => new TextDecoder().decode(bytes))

  /** Writes a file anew: a publish that failed may be tried again. */
  const writeDurably = (path: string, bytes: Uint8Array) =>
    files.removeTree(path).pipe(Effect.andThen(files.write(path, bytes)), Effect.andThen(files.flush(path)))

  const { moveIntoPlace, undoReplacement } = makePlacement(files, publisher)

  const publishFailed = (target: string) => (reason: SnapshotPublishReason) =>
    new SnapshotPublishError({ target, reason })

  const stage = Effect.fn("SnapshotStore.stage")(
    function* (path: string) {
      const target = resolve(path)
      const directory = leftoverPath(target, "staging", publisher.pid, yield* files.uniqueSuffix)
      yield* Effect.acquireRelease(
        Effect.andThen(
          Effect.sync(() => activeStagings.add(directory)),
          files.makeDirectory(directory)
        ).pipe(Effect.tapError(() => Effect.sync(() => activeStagings.delete(directory)))),
        // A published staging directory has been renamed, or holds the snapshot that was replaced.
        () =>
          Effect.andThen(
            Effect.ignore(files.removeTree(directory)),
            Effect.sync(() => activeStagings.delete(directory))
          )
      )
      return { directory, target }
    },
    (effect, path) => Effect.mapError(effect, publishFailed(resolve(path)))
  )

  const describe = Effect.fnUntraced(function* (
    directory: string,
    name: string,
    storedBytes: number,
    claimedBytes: number
  ) {
    const path = join(directory, name)
    const found = yield* files.inspect(path)
    if (found?.kind !== "file") return yield* new SnapshotFileMissing({ path })
    if (found.sizeBytes !== claimedBytes) {
      return yield* new SnapshotFileResized({ path, expectedBytes: claimedBytes, foundBytes: found.sizeBytes })
    }
    const verification: ManifestFile["verification"] =
      name === memoryFileName
        ? { kind: "byChunk", table: chunkTableName }
        : { kind: "whole", sha256: sha256(yield* files.read(path)) }
    return { name, sizeBytes: found.sizeBytes, storedBytes, verification }
  })

  const publish: SnapshotStoreShape["publish"] = Effect.fn("SnapshotStore.publish")(
    function* (staging, { captured, draft, parent, timeline, verdict }, options) {
      const { directory, target } = staging
      if (options?.replace !== true && (yield* files.inspect(target)) !== null) {
        return yield* new TargetExists({ path: target })
      }
      const parents = parent === undefined ? [] : [parent.directory, ...parent.parents]
      if (parents.includes(target)) return yield* new TargetNeeded({ path: target })
      const capturedAgainst = captured.parent ?? "none"
      const expected = parent?.manifest.identity ?? "none"
      if (capturedAgainst !== expected) return yield* new CaptureMismatch({ expected, found: capturedAgainst })
      yield* writeDurably(join(directory, timelineFileName), timeline)
      const described: Array<ManifestFile> = []
      for (const file of captured.files) {
        described.push(yield* describe(directory, file.name, file.storedBytes, file.sizeBytes))
      }
      described.push(yield* describe(directory, timelineFileName, timeline.byteLength, timeline.byteLength))
      const manifest = sealManifest(draft, {
        identity: captured.identity,
        parent: parent === undefined ? null : referenceTo(parent, target),
        files: described
      })
      const validation = verdict === undefined ? null : makeValidation({ ...verdict, manifestDigest: manifest.digest })
      if (validation !== null) {
        yield* writeDurably(join(directory, validationFileName), encodeValidation(validation))
      }
      yield* writeDurably(join(directory, manifestFileName), encodeManifest(manifest))
      yield* files.flushDirectory(directory)
      yield* moveIntoPlace(directory, target, options?.replace === true)
      return { directory: target, manifest, parents, validation }
    },
    (effect, staging) => Effect.mapError(effect, publishFailed(staging.target))
  )

  const verifyFile = Effect.fnUntraced(function* (directory: string, file: ManifestFile) {
    const path = join(directory, file.name)
    const found = yield* files.inspect(path)
    if (found?.kind !== "file") return yield* new SnapshotFileMissing({ path })
    if (found.sizeBytes !== file.sizeBytes) {
      return yield* new SnapshotFileResized({ path, expectedBytes: file.sizeBytes, foundBytes: found.sizeBytes })
    }
    if (file.verification.kind === "whole") {
      const digest = sha256(yield* files.read(path))
      if (digest !== file.verification.sha256) {
        return yield* new SnapshotFileAltered({ path, expected: file.verification.sha256, found: digest })
      }
    }
  })

  const readManifest = Effect.fnUntraced(function* (directory: string) {
    const standing = yield* files.inspect(directory)
    if (standing?.kind !== "directory") {
      return yield* new SnapshotMissing({ path: directory, found: standing === null ? "nothing" : standing.kind })
    }
    const path = join(directory, manifestFileName)
    if ((yield* files.inspect(path))?.kind !== "file") {
      return yield* new ManifestMissing({ path, holds: yield* files.list(directory) })
    }
    return yield* decodeManifest(path, yield* readText(path))
  })

  const readValidation = Effect.fnUntraced(function* (directory: string, manifest: Manifest) {
    const path = join(directory, validationFileName)
    if ((yield* files.inspect(path)) === null) return null
    const validation = yield* decodeValidation(path, yield* readText(path))
    if (validation.manifestDigest !== manifest.digest) {
      return yield* new SnapshotNotReady({ path: directory, verdict: "foreign", detail: validation.manifestDigest })
    }
    return validation
  })

  const verifyWhole = Effect.fnUntraced(function* (directory: string) {
    const manifest = yield* readManifest(directory)
    for (const file of manifest.files) yield* verifyFile(directory, file)
    return manifest
  })

  const openOnce = Effect.fnUntraced(function* (directory: string, options: OpenOptions | undefined) {
    if ((yield* files.inspect(directory)) === null) yield* undoReplacement(directory)
    const manifest = yield* verifyWhole(directory)
    const parents = yield* followChain(directory, manifest, verifyWhole)
    const validation = yield* readValidation(directory, manifest)
    if (options?.allowUnvalidated !== true) {
      if (validation?.verdict === "failed") {
        return yield* new SnapshotNotReady({ path: directory, verdict: "failed", detail: validation.detail })
      }
      if (validation === null && manifest.validation === "required") {
        return yield* new SnapshotNotReady({ path: directory, verdict: "absent", detail: "" })
      }
    }
    return { directory, manifest, parents, validation }
  })

  const manifestText = (directory: string) =>
    Effect.orElseSucceed(readText(join(directory, manifestFileName)), () => "")

  /** What is replaced while it is looked at seems torn: it is looked at again. */
  const openVerified = (
    directory: string,
    options: OpenOptions | undefined,
    retries = 8
  ): ReturnType<typeof openOnce> =>
    Effect.flatMap(manifestText(directory), (before) =>
      openOnce(directory, options).pipe(
        Effect.catch((refusal) =>
          Effect.flatMap(manifestText(directory), (after) =>
            after === before || retries === 0 ? Effect.fail(refusal) : openVerified(directory, options, retries - 1)
          )
        )
      )
    )

  const open: SnapshotStoreShape["open"] = Effect.fn("SnapshotStore.open")(
    (path: string, options?: OpenOptions) => openVerified(resolve(path), options),
    (effect, path) =>
      Effect.mapError(effect, (reason: SnapshotOpenReason) => new SnapshotOpenError({ path: resolve(path), reason }))
  )

  const timeline: SnapshotStoreShape["timeline"] = ({ directory, manifest }) => {
    const path = join(directory, timelineFileName)
    const file = manifest.files.find(({ name }) => name === timelineFileName)
    const whole = Effect.gen(function* () {
      if (file === undefined) return yield* new SnapshotFileMissing({ path })
      yield* verifyFile(directory, file)
      return yield* files.read(path)
    })
    return Effect.mapError(whole, (reason) => new SnapshotOpenError({ path: directory, reason }))
  }

  const recordValidation: SnapshotStoreShape["recordValidation"] = Effect.fn("SnapshotStore.recordValidation")(
    function* (snapshot, verdict) {
      const { directory, manifest } = snapshot
      const validation = makeValidation({ ...verdict, manifestDigest: manifest.digest })
      const draft = join(directory, `${validationFileName}.${yield* files.uniqueSuffix}`)
      yield* files.write(draft, encodeValidation(validation)).pipe(
        Effect.andThen(files.flush(draft)),
        Effect.andThen(files.rename(draft, join(directory, validationFileName))),
        Effect.tapError(() => Effect.ignore(files.removeTree(draft)))
      )
      yield* files.flushDirectory(directory)
      return { ...snapshot, validation }
    },
    (effect, snapshot) => Effect.mapError(effect, publishFailed(snapshot.directory))
  )

  const sweep = Effect.fn("SnapshotStore.sweep")(function* (parentDirectory: string) {
    const parent = resolve(parentDirectory)
    const removed: Array<string> = []
    const restored: Array<string> = []
    if ((yield* files.inspect(parent))?.kind !== "directory") return { removed, restored }
    for (const name of yield* files.list(parent)) {
      const leftover = parseLeftover(name)
      if (leftover === null) continue
      const path = join(parent, name)
      if (isInUse(publisher, leftover.ownerPid, path)) continue
      const target = join(parent, leftover.target)
      if (leftover.kind === "replaced" && (yield* files.inspect(target)) === null) {
        yield* files.rename(path, target)
        restored.push(target)
      } else {
        yield* files.removeTree(path)
        removed.push(path)
      }
    }
    if (removed.length + restored.length > 0) yield* files.flushDirectory(parent)
    return { removed, restored }
  })

  const remove = Effect.fn("SnapshotStore.remove")(function* (path: string) {
    const directory = resolve(path)
    yield* files.removeTree(join(directory, manifestFileName))
    if ((yield* files.inspect(directory)) !== null) yield* files.flushDirectory(directory)
    yield* files.removeTree(directory)
  })

  return { stage, publish, open, timeline, recordValidation, sweep, remove }
}

/**
 * Where snapshots are published to and opened from.
 *
 * @example
 * ```ts
 * import { DurableFiles, SnapshotStore } from "@stillpoint/core"
 * import { Effect, Layer } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* SnapshotStore
 *   const refused = yield* Effect.flip(store.open("/nowhere/snapshot"))
 *   console.log(refused.message) // snapshot refused: expected a snapshot directory at /nowhere/snapshot, found nothing
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(Layer.provide(SnapshotStore.layer, DurableFiles.layer))))
 * ```
 */
export class SnapshotStore extends Context.Service<SnapshotStore, SnapshotStoreShape>()(
  "@stillpoint/core/snapshot/SnapshotStore"
) {
  /** A store on whatever {@link DurableFiles} is given: the host's disk, or memory with injected faults. */
  static readonly layer: Layer.Layer<SnapshotStore, never, DurableFiles> = Layer.effect(
    SnapshotStore,
    Effect.gen(function* () {
      return make(yield* DurableFiles, yield* Publisher)
    })
  )

  /** A store on the host's file system. */
  static readonly layerHost: Layer.Layer<SnapshotStore> = Layer.provide(SnapshotStore.layer, DurableFiles.layer)
}
