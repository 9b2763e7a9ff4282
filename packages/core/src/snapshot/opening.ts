/**
 * Opens published snapshots; refuses anything else, and snapshots that are not ready.
 *
 * @module
 */
import { join, resolve } from "node:path"
import { Effect, Result } from "effect"
import { describeValue } from "../describeValue.ts"
import type { DurableFilesShape } from "../files/DurableFiles.ts"
import { type FileFault, FileUnfit } from "../files/FileErrors.ts"
import { type Manifest, sha256, timelineFileName, validationFileName } from "./Manifest.ts"
import type { OpenOptions, Snapshot } from "./Snapshot.ts"
import { openBytes } from "../encryption.ts"
import { makeOpenedBefore, openedBeforeOn } from "./openedBefore.ts"
import { followChain } from "./SnapshotChain.ts"
import { type CheckedKeys, requireSigned } from "./signing.ts"
import {
  FileForged,
  SnapshotFileAltered,
  SnapshotFileMissing,
  SnapshotFileResized,
  SnapshotNotReady,
  SnapshotOpenError,
  type SnapshotOpenReason,
  SnapshotReplaced
} from "./SnapshotErrors.ts"
import { evidentValidation, keyObstacle, parentKeyObstacle, unlocked } from "./unlocking.ts"
import { decodeValidation, mostValidationBytes } from "./Validation.ts"
import { contentsOf, mostWholeBytes, readManifest, verifyContents } from "./verifySnapshot.ts"

/** A path for an error message, whatever value a caller without types has passed. */
export const named = (path: unknown): string => (typeof path === "string" ? resolve(path) : describeValue(path))

/** The path with its links followed; an invalid path is refused. */
export const resolvedPath = (files: DurableFilesShape, path: unknown): Effect.Effect<string, FileFault | FileUnfit> =>
  typeof path === "string" && !path.includes("\0")
    ? files.resolve(path)
    : new FileUnfit({ path: named(path), expected: "the path of a directory", found: describeValue(path) })

/** Why a snapshot is not ready: its validation failed or is pending; `null` if it is ready. */
export const readinessObstacle = ({
  directory: path,
  manifest,
  validation
}: Pick<Snapshot, "directory" | "manifest" | "validation">): SnapshotNotReady | null =>
  validation?.verdict === "failed"
    ? new SnapshotNotReady({ path, verdict: "failed", detail: validation.detail })
    : validation === null && manifest.validation === "required"
      ? new SnapshotNotReady({ path, verdict: "absent", detail: "" })
      : null

type FoundManifest = Result.Result<Manifest, Effect.Error<ReturnType<typeof readManifest>>>

const digestFound = (found: FoundManifest): string => (Result.isSuccess(found) ? found.success.digest : "none")

/** Digest of the snapshot at a path; `none` if there is none. */
export const digestAt = (files: DurableFilesShape, directory: string) =>
  Effect.map(Effect.result(readManifest(files, directory)), digestFound)

/** How snapshots on these files are opened and read. */
export const makeOpening = (files: DurableFilesShape, { encryptionKey, requiredKeys }: CheckedKeys = {}) => {
  const readValidation = Effect.fnUntraced(function* (directory: string, manifest: Manifest, isUnlocked: boolean) {
    const path = join(contentsOf(directory, manifest), validationFileName)
    if ((yield* files.inspect(path)) === null) return null
    const text = new TextDecoder().decode(yield* files.read(path, mostValidationBytes))
    const validation = yield* decodeValidation(path, text)
    if (validation.manifestDigest !== manifest.digest) {
      return yield* new SnapshotNotReady({ path: directory, verdict: "foreign", detail: validation.manifestDigest })
    }
    const { encryption } = manifest
    if (!isUnlocked || encryption === undefined || encryptionKey === undefined) return validation
    const evident = evidentValidation(encryptionKey, encryption, validation)
    return evident ?? (yield* new FileForged({ path, expected: encryption.keyId }))
  })

  /** Reads and checks a parent, which must be encrypted with the key of its child, or not at all. */
  const readParent = (child: Manifest) => (directory: string) =>
    Effect.tap(readManifest(files, directory), (manifest) =>
      Effect.gen(function* () {
        const obstacle = parentKeyObstacle(directory, manifest, child)
        if (obstacle !== null) return yield* obstacle
        yield* unlocked(directory, manifest, encryptionKey)
        yield* verifyContents(files, directory, manifest)
      })
    )

  const openOnce = Effect.fnUntraced(function* (
    directory: string,
    standing: FoundManifest,
    options: OpenOptions | undefined
  ) {
    const manifest = yield* Effect.fromResult(standing)
    // Before anything else of it is read.
    const signed = requiredKeys === undefined ? null : yield* requireSigned(files, directory, manifest, requiredKeys)
    if (options?.allowLocked !== true) {
      const obstacle = keyObstacle(directory, manifest, encryptionKey)
      if (obstacle !== null) return yield* obstacle
    }
    const key = yield* unlocked(directory, manifest, encryptionKey)
    yield* verifyContents(files, directory, manifest)
    if (options?.digest !== undefined && manifest.digest !== options.digest) {
      const expected = describeValue(options.digest)
      return yield* new SnapshotReplaced({ path: directory, expected, found: manifest.digest })
    }
    const chain = yield* followChain(files, directory, manifest, readParent(manifest))
    const validation = yield* readValidation(directory, manifest, key !== null)
    if (signed !== null) yield* signed(validation)
    if (options?.allowUnvalidated !== true) {
      const obstacle = readinessObstacle({ directory, manifest, validation })
      if (obstacle !== null) return yield* obstacle
    }
    const links = [{ directory, manifest }, ...chain]
    const layers = links.map((link) => contentsOf(link.directory, link.manifest))
    const parents = chain.map((link) => link.directory)
    const snapshot: Snapshot = { directory, manifest, layers, parents, validation }
    return { links, snapshot: key === null ? snapshot : { ...snapshot, encryptionKey: key } }
  })

  /** A snapshot that is replaced while it is read looks torn, so it is read again. */
  const openVerified = (
    directory: string,
    options: OpenOptions | undefined,
    retries = 8
  ): ReturnType<typeof openOnce> =>
    Effect.flatMap(Effect.result(readManifest(files, directory)), (standing) =>
      openOnce(directory, standing, options).pipe(
        Effect.catch((refusal) =>
          Effect.flatMap(digestAt(files, directory), (now) =>
            now === digestFound(standing) || retries === 0
              ? Effect.fail(refusal)
              : openVerified(directory, options, retries - 1)
          )
        )
      )
    )

  // Whether a snapshot is signed as this store requires, or written with its key, no other store has seen.
  const isOpen = requiredKeys === undefined && encryptionKey === undefined
  const openedBefore = isOpen ? openedBeforeOn(files) : makeOpenedBefore(files)

  /** One that was opened before and is unchanged, unless it is not what these options ask for. */
  const recall = (path: string, options: OpenOptions | undefined) =>
    typeof path === "string"
      ? Effect.map(openedBefore.recall(path), (known) =>
          known === null ||
          (options?.digest !== undefined && options.digest !== known.manifest.digest) ||
          (options?.allowLocked !== true && keyObstacle(path, known.manifest, encryptionKey) !== null) ||
          (options?.allowUnvalidated !== true && readinessObstacle(known) !== null)
            ? null
            : known
        )
      : Effect.succeed(null)

  const open = Effect.fn("SnapshotStore.open")(
    (path: string, options?: OpenOptions) =>
      Effect.flatMap(recall(path, options), (known): Effect.Effect<Snapshot, SnapshotOpenReason> => {
        if (known !== null) return Effect.succeed(known)
        const beganMillis = performance.now()
        return resolvedPath(files, path).pipe(
          Effect.flatMap((directory) => openVerified(directory, options)),
          Effect.tap(({ links, snapshot }) => openedBefore.remember(path, snapshot, links, beganMillis)),
          Effect.map(({ snapshot }) => snapshot)
        )
      }),
    (effect, path) =>
      Effect.mapError(effect, (reason: SnapshotOpenReason) => new SnapshotOpenError({ path: named(path), reason }))
  )

  const timeline = ({ directory, manifest }: Snapshot) => {
    const path = join(contentsOf(directory, manifest), timelineFileName)
    const whole = Effect.gen(function* () {
      const obstacle = manifest.encryption === undefined ? null : keyObstacle(directory, manifest, encryptionKey)
      if (obstacle !== null) return yield* obstacle
      const file = manifest.files.find(({ name }) => name === timelineFileName)
      if (file?.verification.kind !== "whole") return yield* new SnapshotFileMissing({ path })
      const bytes = yield* files.read(path, mostWholeBytes)
      if (bytes.byteLength !== file.sizeBytes) {
        return yield* new SnapshotFileResized({ path, expectedBytes: file.sizeBytes, foundBytes: bytes.byteLength })
      }
      const found = sha256(bytes)
      const expected = file.verification.sha256
      if (found !== expected) return yield* new SnapshotFileAltered({ path, expected, found })
      const { encryption } = manifest
      if (encryption === undefined || encryptionKey === undefined) return bytes
      const opened = openBytes(encryptionKey, encryption, "timeline", bytes)
      return opened ?? (yield* new FileForged({ path, expected: encryption.keyId }))
    })
    return Effect.mapError(whole, (reason) => new SnapshotOpenError({ path: directory, reason }))
  }

  return { open, timeline }
}
