/**
 * Publishes snapshots whole or not at all, and opens them only if they are exactly as published.
 *
 * @module
 */
import { basename, dirname, join } from "node:path"
import { Context, Effect, Layer, type Scope } from "effect"
import type { CapturedFile, CapturedFiles, CaptureKind } from "../Vmm.ts"
import { DurableFiles, type DurableFilesShape } from "../files/DurableFiles.ts"
import { FileFault } from "../files/FileErrors.ts"
import { type Cleared, clearOwnedDirectories, isOwnedDirectory } from "../files/OwnedDirectory.ts"
import { replaceFile } from "../files/replaceFile.ts"
import {
  draftObstacle,
  encodeManifest,
  type ManifestDraft,
  type ManifestFile,
  mostManifestBytes,
  parentPathProblem,
  sealManifest,
  timelineFileName,
  validationFileName
} from "./Manifest.ts"
import {
  CaptureMismatch,
  ManifestUnfit,
  SnapshotFileMissing,
  SnapshotFileResized,
  SnapshotOpenError,
  SnapshotPublishError,
  type SnapshotPublishReason,
  SnapshotRemoveError,
  SnapshotReplaced,
  TargetExists,
  TargetNeeded,
  TargetUnfit
} from "./SnapshotErrors.ts"
import { digestAt, makeOpening, named, resolvedPath } from "./opening.ts"
import { sharingFor } from "./objects.ts"
import { clearContents, makePlace, moveIntoPlace, type Place, requirePlace, takeAway } from "./placement.ts"
import type { OpenOptions, Snapshot } from "./Snapshot.ts"
import { referenceTo } from "./SnapshotChain.ts"
import { keyIdOf, sealBytes } from "../encryption.ts"
import { addSignatures, type CheckedKeys, checkedKeys, readSignatures, type SnapshotKeys } from "./signing.ts"
import { encodeSignatures, type KeyInvalid, type Signature, signaturesFileName } from "./Signature.ts"
import { inspectTarget } from "./standing.ts"
import { keyObstacle, parentKeyObstacle, validationOf } from "./unlocking.ts"
import { encodeValidation, type Validation, type WorkingSet } from "./Validation.ts"
import { contentsOf, digestOf } from "./verifySnapshot.ts"

export type { OpenOptions, Snapshot } from "./Snapshot.ts"
export type { SnapshotKeys } from "./signing.ts"

/** A directory in which a snapshot is being written; its scope removes it unless it was published. */
export interface Staging {
  /** The directory for the machine's files. It exists, and contains only the marker of its owner. */
  readonly directory: string
  /** The snapshot's final path: the given path, with links followed. */
  readonly target: string
  /** The place from which the store moves it there. */
  readonly place: Place
  /** For the capture: the store's encryption key; without one, the folder of objects that it shares, if the snapshot is made in a store. */
  readonly kind: Pick<CaptureKind, "shared" | "encryptionKey">
}

/** Options for publishing a snapshot. */
export interface PublishOptions {
  /** Replace the snapshot at the target; if absent, an existing target is refused. Only a snapshot is ever replaced. */
  readonly replace?: boolean
}

/** The contents of a new snapshot. */
export interface SnapshotContents {
  readonly draft: ManifestDraft
  readonly captured: CapturedFiles
  readonly timeline: Uint8Array
  /** The parent of a delta; absent for a full capture. */
  readonly parent?: Snapshot
  /** A validation verdict to publish with the rest; it can be recorded later if absent. */
  readonly verdict?: Verdict
}

/** The result of a validation. */
export interface Verdict {
  readonly verdict: "passed" | "failed"
  readonly detail: string
  readonly workingSet: WorkingSet | null
}

/** The result of a sweep; `removed` lists unfinished or superseded snapshots. */
export type SweepReport = Cleared

/** Operations of a {@link SnapshotStore}. */
export interface SnapshotStoreShape {
  /** Id of the key that it encrypts with; absent if it does not encrypt. */
  readonly encryptionKeyId?: string
  /**
   * Makes a directory for a snapshot that is to be published to `target`; the scope removes it unless it was published. If the target
   * is a link, it is followed. A target that exists and is not a snapshot is refused.
   */
  readonly stage: (target: string) => Effect.Effect<Staging, SnapshotPublishError, Scope.Scope>
  /**
   * Checks in advance whether a publish to `target` can work, and changes nothing. Fails if the target exists and may not be replaced,
   * is not a snapshot, or cannot be written.
   */
  readonly admit: (target: string, options?: PublishOptions) => Effect.Effect<void, SnapshotPublishError>
  /**
   * Writes the timeline and, last, the manifest; flushes everything; moves it to its target with one rename.
   *
   * When this returns, the snapshot survives a crash. If it fails, the target is unchanged, unless the reason is `PublishUnsettled`.
   * Any number of publishers may use one target at once: without `replace` one of them succeeds, and the others fail with `TargetTaken`.
   */
  readonly publish: (
    staging: Staging,
    contents: SnapshotContents,
    options?: PublishOptions
  ) => Effect.Effect<Snapshot, SnapshotPublishError>
  /**
   * Opens a snapshot: checks its header, its seal, and the sizes and digests of all files except memory, whose chunks are checked when
   * first touched. For a delta, all its ancestors are checked in the same way; they need not be ready themselves.
   */
  readonly open: (directory: string, options?: OpenOptions) => Effect.Effect<Snapshot, SnapshotOpenError>
  /** The path with its links followed. */
  readonly resolve: (path: string) => Effect.Effect<string, FileFault>
  /** The recorded timeline of a snapshot, checked again as it is read. */
  readonly timeline: (snapshot: Snapshot) => Effect.Effect<Uint8Array, SnapshotOpenError>
  /**
   * Writes the verdict of a validation; from then on the snapshot is ready, or refused. If the snapshot was replaced in the meantime,
   * this changes nothing and fails with `SnapshotReplaced`.
   */
  readonly recordValidation: (snapshot: Snapshot, verdict: Verdict) => Effect.Effect<Snapshot, SnapshotPublishError>
  /** The signatures of a snapshot. They are verified by `open` of a store with `requiredKeys`, not here. */
  readonly signatures: (snapshot: Snapshot) => Effect.Effect<ReadonlyArray<Signature>, SnapshotOpenError>
  /** Adds signatures to a snapshot. Its digest stays the same, since signatures are not part of it. */
  readonly addSignatures: (
    snapshot: Snapshot,
    signatures: ReadonlyArray<Signature>
  ) => Effect.Effect<void, SnapshotPublishError>
  /**
   * Removes what dead publishers left in a directory, beside its snapshots and inside them. It does not touch what living publishers
   * own, in any process, thread or container, nor anything that the store did not provably create. Any number of sweeps may run at once.
   */
  readonly sweep: (parentDirectory: string) => Effect.Effect<SweepReport, FileFault>
  /**
   * Removes a snapshot, in one step: removing its manifest makes it cease to be one. Foreign files in its directory stay. Deltas to it
   * are refused from then on. A missing path is no error; a path that is not a snapshot is refused.
   */
  readonly remove: (directory: string) => Effect.Effect<void, SnapshotRemoveError>
}

/** The record of a verdict with what is encrypted in its file. */
const evident = (validation: Validation, { detail, workingSet }: Verdict): Validation => ({
  ...validation,
  detail,
  workingSet
})

const make = (files: DurableFilesShape, keys: CheckedKeys = {}): SnapshotStoreShape => {
  const { encryptionKey, signingKey } = keys
  const writeDurably = (path: string, bytes: Uint8Array) =>
    files.removeTree(path).pipe(Effect.andThen(files.write(path, bytes)), Effect.andThen(files.flush(path)))

  const publishFailed = (target: string) => (reason: SnapshotPublishReason) =>
    new SnapshotPublishError({ target, reason })

  const stage = Effect.fn("SnapshotStore.stage")(
    function* (path: string) {
      const target = yield* resolvedPath(files, path)
      const place = yield* makePlace(files, target)
      const kind = encryptionKey === undefined ? yield* sharingFor(files, target) : { encryptionKey }
      return { directory: place.contents.path(), target, place, kind }
    },
    (effect, path) => Effect.mapError(effect, publishFailed(named(path)))
  )

  const admit: SnapshotStoreShape["admit"] = Effect.fn("SnapshotStore.admit")(
    function* (path, options) {
      const target = yield* resolvedPath(files, path)
      const standing = yield* inspectTarget(files, target)
      if (standing !== "nothing" && options?.replace !== true) return yield* new TargetExists({ path: target })
      let above = standing === "nothing" ? dirname(target) : target
      while ((yield* files.inspect(above)) === null && above !== dirname(above)) above = dirname(above)
      yield* files.admitsNames(above)
    },
    (effect, path) => Effect.mapError(effect, publishFailed(named(path)))
  )

  /** The manifest's entry for a file of the capture. */
  const describe = Effect.fnUntraced(function* (directory: string, file: CapturedFile) {
    const { chunkTable, guestAddress, name, sizeBytes, storedBytes } = file
    const path = join(directory, name)
    if (chunkTable === null) {
      const sha256 = yield* digestOf(files, path, sizeBytes)
      const verification = { kind: "whole", sha256, ...(guestAddress === null ? {} : { guestAddress }) } as const
      return { name, sizeBytes, storedBytes, verification } satisfies ManifestFile
    }
    const found = yield* files.inspect(path)
    if (found?.kind !== "file") return yield* new SnapshotFileMissing({ path })
    if (found.sizeBytes !== sizeBytes) {
      return yield* new SnapshotFileResized({ path, expectedBytes: sizeBytes, foundBytes: found.sizeBytes })
    }
    const verification = { kind: "byChunk", table: chunkTable, guestAddress } as const
    return { name, sizeBytes, storedBytes, verification } satisfies ManifestFile
  })

  const publish: SnapshotStoreShape["publish"] = Effect.fn("SnapshotStore.publish")(
    function* (staging, { captured, draft, parent, timeline, verdict }, options) {
      const { directory, place, target } = staging
      if (options?.replace !== true && (yield* files.inspect(target)) !== null) {
        return yield* new TargetExists({ path: target })
      }
      const parents = parent === undefined ? [] : [parent.directory, ...parent.parents]
      if (parents.includes(target)) return yield* new TargetNeeded({ path: target })
      const capturedAgainst = captured.parent ?? "none"
      const expected = parent?.manifest.identity ?? "none"
      if (capturedAgainst !== expected) return yield* new CaptureMismatch({ expected, found: capturedAgainst })
      const encryption = captured.encryption ?? undefined
      const keyProblem =
        keyObstacle(target, captured, encryptionKey) ??
        (parent === undefined ? null : parentKeyObstacle(parent.directory, parent.manifest, captured))
      if (keyProblem !== null) return yield* keyProblem
      const encrypted =
        encryption === undefined || encryptionKey === undefined ? undefined : { encryption, key: encryptionKey }
      const obstacle = draftObstacle(draft)
      if (obstacle !== null) return yield* new ManifestUnfit({ target, why: obstacle })
      yield* requirePlace(place)
      const recorded =
        encrypted === undefined ? timeline : sealBytes(encrypted.key, encrypted.encryption, "timeline", timeline)
      yield* writeDurably(join(directory, timelineFileName), recorded)
      const described: Array<ManifestFile> = []
      for (const file of captured.files) described.push(yield* describe(directory, file))
      const size = { sizeBytes: recorded.byteLength, storedBytes: recorded.byteLength }
      described.push(
        yield* describe(directory, { name: timelineFileName, ...size, chunkTable: null, guestAddress: null })
      )
      const reference = parent === undefined ? null : referenceTo(parent, target)
      const unfit = reference === null ? undefined : parentPathProblem(reference.directory)
      if (unfit !== undefined) return yield* new ManifestUnfit({ target, why: `its path to its parent: ${unfit}` })
      const manifest = sealManifest(
        draft,
        { identity: captured.identity, parent: reference, contents: basename(directory), files: described },
        encrypted
      )
      const sizeBytes = encodeManifest(manifest).byteLength
      if (sizeBytes > mostManifestBytes) {
        return yield* new ManifestUnfit({ target, why: `${sizeBytes} bytes are more than ${mostManifestBytes}` })
      }
      const validation = verdict === undefined ? null : validationOf(manifest, verdict, encryptionKey)
      if (validation !== null) {
        yield* writeDurably(join(directory, validationFileName), encodeValidation(validation))
      }
      if (signingKey !== undefined) {
        const signature = signingKey.sign(manifest.digest, validation?.digest ?? null)
        yield* writeDurably(join(directory, signaturesFileName), encodeSignatures(manifest.digest, [signature]))
      }
      yield* requirePlace(place)
      yield* moveIntoPlace(files, place, target, manifest, options?.replace === true)
      const layers = [contentsOf(target, manifest), ...(parent?.layers ?? [])]
      const known = verdict === undefined || validation === null ? null : evident(validation, verdict)
      const snapshot: Snapshot = { directory: target, manifest, layers, parents, validation: known }
      return encryptionKey === undefined ? snapshot : { ...snapshot, encryptionKey }
    },
    (effect, staging) => Effect.mapError(effect, publishFailed(staging.target))
  )

  const recordValidation: SnapshotStoreShape["recordValidation"] = Effect.fn("SnapshotStore.recordValidation")(
    function* (snapshot, verdict) {
      const { directory, manifest } = snapshot
      const obstacle = keyObstacle(directory, manifest, encryptionKey)
      if (obstacle !== null) return yield* obstacle
      const validation = validationOf(manifest, verdict, encryptionKey)
      const mustStand = Effect.gen(function* () {
        const found = yield* digestAt(files, directory)
        if (found !== manifest.digest) {
          return yield* new SnapshotReplaced({ path: directory, expected: manifest.digest, found })
        }
      })
      // The verdict is stored with the contents that it belongs to; a later snapshot at this path has others.
      const path = join(contentsOf(directory, manifest), validationFileName)
      yield* mustStand
      // Signed before it is written, so that at no moment is an unsigned verdict there.
      const signature = signingKey?.sign(manifest.digest, validation.digest)
      const recorded = Effect.gen(function* () {
        if (signature !== undefined) yield* addSignatures(files, directory, manifest, [signature])
        yield* replaceFile(files, path, encodeValidation(validation))
      })
      yield* recorded.pipe(Effect.catch((fault) => Effect.andThen(mustStand, Effect.fail(fault))))
      yield* mustStand
      return { ...snapshot, validation: evident(validation, verdict) }
    },
    (effect, snapshot) => Effect.mapError(effect, publishFailed(snapshot.directory))
  )

  const sweep = Effect.fn("SnapshotStore.sweep")(function* (parentDirectory: string) {
    const parent = yield* Effect.catchTag(resolvedPath(files, parentDirectory), "FileUnfit", ({ found }) =>
      Effect.fail(new FileFault({ operation: "resolve", path: found, code: "not a path" }))
    )
    if ((yield* files.inspect(parent))?.kind !== "directory") return { removed: [], failed: [] }
    const { failed, removed } = yield* clearOwnedDirectories(files, parent, "staging")
    const report = { removed: [...removed], failed: [...failed] }
    for (const name of yield* files.list(parent)) {
      const directory = join(parent, name)
      // A directory that cannot be inspected is not ours.
      const isOther = yield* Effect.orElseSucceed(
        Effect.map(files.inspect(directory), (found) => found?.kind !== "directory"),
        () => true
      )
      if (isOther || (yield* Effect.orElseSucceed(isOwnedDirectory(files, directory), () => false))) continue
      const cleared = yield* Effect.orElseSucceed(clearContents(files, directory), () => ({ removed: [], failed: [] }))
      report.removed.push(...cleared.removed)
      report.failed.push(...cleared.failed)
    }
    return report
  })

  const remove: SnapshotStoreShape["remove"] = Effect.fn("SnapshotStore.remove")(
    function* (path: string) {
      const directory = yield* resolvedPath(files, path)
      const standing = yield* inspectTarget(files, directory)
      if (standing === "nothing") return
      if (standing === "empty" && (yield* files.list(directory)).length === 0) {
        return yield* new TargetUnfit({ path: directory, found: "an empty directory" })
      }
      yield* takeAway(files, directory).pipe(
        // Another one has removed it meanwhile.
        Effect.catch((fault) =>
          Effect.flatMap(files.inspect(directory), (found) => (found === null ? Effect.void : Effect.fail(fault)))
        )
      )
    },
    (effect, path) => Effect.mapError(effect, (reason) => new SnapshotRemoveError({ path: named(path), reason }))
  )

  const { open, timeline } = makeOpening(files, keys)

  return {
    ...(encryptionKey === undefined ? {} : { encryptionKeyId: keyIdOf(encryptionKey) }),
    resolve: files.resolve,
    stage,
    admit,
    publish,
    open,
    timeline,
    recordValidation,
    signatures: ({ directory, manifest }) =>
      readSignatures(files, directory, manifest).pipe(
        Effect.mapError((reason) => new SnapshotOpenError({ path: directory, reason }))
      ),
    addSignatures: ({ directory, manifest }, signatures) =>
      Effect.mapError(addSignatures(files, directory, manifest, signatures), publishFailed(directory)),
    sweep,
    remove
  }
}

/**
 * The store that snapshots are published to and opened from.
 *
 * @example
 * ```ts
 * import { SnapshotStore } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* SnapshotStore
 *   const refused = yield* Effect.flip(store.open("/nowhere/snapshot"))
 *   console.log(refused.message) // snapshot refused: expected a snapshot directory at /nowhere/snapshot, found nothing
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(SnapshotStore.layerHost)))
 * ```
 */
export class SnapshotStore extends Context.Service<SnapshotStore, SnapshotStoreShape>()(
  "@stillpoint/core/snapshot/SnapshotStore"
) {
  /**
   * A store on the given {@link DurableFiles} that signs published snapshots, opens only snapshots signed by one of the required
   * keys, or encrypts snapshots and restores only those encrypted with its key.
   */
  static readonly layerKeyed = (keys: SnapshotKeys): Layer.Layer<SnapshotStore, KeyInvalid, DurableFiles> =>
    Layer.effect(
      SnapshotStore,
      Effect.gen(function* () {
        return make(yield* DurableFiles, yield* checkedKeys(keys))
      })
    )

  /** A store on the given {@link DurableFiles}: the host's disk, or memory with injected faults. */
  static readonly layer: Layer.Layer<SnapshotStore, never, DurableFiles> = Layer.orDie(SnapshotStore.layerKeyed({}))

  /** A store on the host's file system: the usual choice. */
  static readonly layerHost: Layer.Layer<SnapshotStore> = Layer.provide(SnapshotStore.layer, DurableFiles.layer)
}
