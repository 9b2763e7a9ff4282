/**
 * Moves a finished snapshot to its target, and removes the one that it replaces.
 *
 * ```text
 *  stage    nothing at the target              a snapshot there, or an empty directory
 *           .stillpoint-<id>/snapshot/         <target>/
 *             contents-<id>/  (is written)       contents-<old>/
 *                                                contents-<id>/  (is written)
 *  publish  snapshot/manifest.json written     contents-<id>/manifest.json written
 *           rename  snapshot → <target>        rename  contents-<id>/manifest.json → <target>/manifest.json
 *  then     the empty .stillpoint-<id> goes    contents-<old> goes: no manifest names it, and nobody holds it
 * ```
 *
 * Each is one rename within one directory's file system: every reader, and a crash at any moment, finds the old snapshot or the
 * new one. An existing directory is never renamed, so a target may be a mount point, or lie in a lower layer of an overlay. The
 * publisher holds `publish.lock` from before the rename of the manifest until it is durable or undone.
 *
 * @module
 */
import { basename, dirname, join } from "node:path"
import { Effect, Result, type Scope } from "effect"
import type { DurableFilesShape } from "../files/DurableFiles.ts"
import type { FileFault, FileUnfit } from "../files/FileErrors.ts"
import { makeDirectories } from "../files/makeDirectories.ts"
import {
  clearOwnedDirectories,
  keepOwnedDirectory,
  makeOwnedDirectory,
  type OwnedDirectory
} from "../files/OwnedDirectory.ts"
import { waitToHold } from "../files/waitToHold.ts"
import { parseBoundedJson } from "../internal/boundedJson.ts"
import { contentsForm, encodeManifest, type Manifest, manifestFileName, mostManifestBytes } from "./Manifest.ts"
import { PublishUnsettled, TargetBusy, TargetExists, TargetTaken, TargetUnfit } from "./SnapshotErrors.ts"
import { inspectTarget, publishLockName } from "./standing.ts"
import { readManifest } from "./verifySnapshot.ts"

/** Where a snapshot is made: its contents, and the directory for its manifest. */
export interface Place {
  /** The target itself, or what will be renamed to it. */
  readonly home: string
  readonly contents: OwnedDirectory
  /** The staging directory that contains `home`, if `home` is not the target. */
  readonly staging: OwnedDirectory | null
}

/** Maximum number of times that others may remove the target while a publisher is about to work in it. */
const mostRemovals = 64

/** Repeats a step that failed because the target was removed meanwhile. */
const whileRemoved = <A, E extends { readonly _tag: string }, R>(
  files: DurableFilesShape,
  target: string,
  attempt: Effect.Effect<A, E | FileFault, R>
): Effect.Effect<A, E | FileFault, R> =>
  Effect.retry(attempt, {
    times: mostRemovals,
    while: (fault) =>
      fault._tag === "FileFault" && (fault as FileFault).code === "ENOENT"
        ? Effect.map(files.inspect(target), (found) => found === null)
        : Effect.succeed(false)
  })

/** Makes an empty place for a snapshot that will be published at `target`. */
export const makePlace = (files: DurableFilesShape, target: string) =>
  whileRemoved(files, target, makePlaceOnce(files, target))

/** Refuses a target of another user, who could replace anything in it at any time. */
const requireOwn = Effect.fnUntraced(function* (files: DurableFilesShape, target: string, { userId }: OwnedDirectory) {
  const found = yield* files.inspect(target)
  if (found === null || found.userId === userId) return
  const whose = `user ${found.userId}, and files created in it belong to user ${userId}`
  return yield* new TargetUnfit({ path: target, found: `a directory of another user (it belongs to ${whose})` })
})

/** Keeps a foreign directory that took the place of the contents, which would be removed with everything around it. */
const keepOther = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  staging: OwnedDirectory,
  contents: OwnedDirectory
) {
  const found = yield* Effect.result(contents.stands)
  if (Result.isSuccess(found) || found.failure._tag !== "FileUnfit") return
  if ((yield* Effect.orElseSucceed(files.inspect(contents.path()), () => null))?.kind !== "directory") return
  // If the staging directory itself was exchanged, it must not be touched.
  if (Result.isSuccess(yield* Effect.result(staging.stands))) yield* keepOwnedDirectory(files, staging.path())
  yield* staging.give
})

const makePlaceOnce = Effect.fnUntraced(function* (files: DurableFilesShape, target: string) {
  if ((yield* inspectTarget(files, target)) !== "nothing") {
    const contents = yield* makeOwnedDirectory(files, target, "contents")
    yield* requireOwn(files, target, contents).pipe(Effect.tapError(() => contents.discard))
    return { home: target, contents, staging: null } satisfies Place
  }
  yield* makeDirectories(files, dirname(target))
  const staging = yield* makeOwnedDirectory(files, dirname(target), "staging")
  const home = join(staging.path(), "snapshot")
  yield* files.makeDirectory(home)
  let made: OwnedDirectory | null = null
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => (made === null ? Effect.void : keepOther(files, staging, made)))
  )
  const contents = yield* makeOwnedDirectory(files, home, "contents")
  made = contents
  return { home, contents, staging } satisfies Place
})

/** Holds the lock of a snapshot's directory until the scope closes. */
const holdTarget = (
  files: DurableFilesShape,
  directory: string
): Effect.Effect<void, FileFault | FileUnfit | TargetBusy, Scope.Scope> =>
  waitToHold(
    files,
    join(directory, publishLockName),
    (waitedMillis) => new TargetBusy({ path: directory, waitedMillis })
  )

const writeDurably = (files: DurableFilesShape, path: string, bytes: Uint8Array) =>
  files.removeTree(path).pipe(Effect.andThen(files.write(path, bytes)), Effect.andThen(files.flush(path)))

/**
 * Removes contents in a snapshot's directory that its manifest does not name and no process holds. `superseded` are those of the
 * snapshot that was replaced: they are removed wherever they were made.
 */
export const clearContents = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  directory: string,
  superseded: string | null = null
) {
  return yield* clearOwnedDirectories(files, directory, "contents", (path) =>
    Effect.gen(function* () {
      const manifest = yield* Effect.result(readManifest(files, directory))
      const unneeded = basename(path) === superseded ? "superseded" : "unknown"
      if (Result.isSuccess(manifest)) return manifest.success.contents === basename(path) ? "needed" : unneeded
      const { failure } = manifest
      if (failure._tag === "FileFault" || failure._tag === "FileUnfit") return yield* failure
      // The contents that a damaged manifest names are unknown, so everything is kept.
      return failure._tag !== "ManifestMissing" && failure._tag !== "SnapshotMissing" ? "needed" : unneeded
    })
  )
})

/** Makes a step durable, or undoes it; reports if neither is possible. */
const durably = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  options: {
    readonly target: string
    readonly folder: string
    readonly undo: Effect.Effect<unknown, FileFault>
    readonly kept: string | null
    readonly contents: OwnedDirectory
  }
) {
  const flushed = yield* Effect.result(files.flushDirectory(options.folder))
  if (Result.isSuccess(flushed)) return
  const undone = yield* Effect.result(options.undo)
  if (Result.isSuccess(undone)) return yield* flushed.failure
  // The snapshot at the target is complete: it stays, and so does the one that it replaced.
  yield* options.contents.give
  const { kept, target: path } = options
  if (kept !== null) yield* keepOwnedDirectory(files, kept)
  return yield* new PublishUnsettled({ path, fault: flushed.failure, undoing: undone.failure, kept })
})

/** Fails where something else has come to where a snapshot is being made. */
export const requirePlace = ({ contents, staging }: Place): Effect.Effect<void, FileFault | FileUnfit> =>
  Effect.andThen(staging === null ? Effect.void : staging.stands, contents.stands)

/** Errors of renaming a directory over a non-empty one, or over a file. */
const isTaken = (fault: FileFault): boolean => ["ENOTEMPTY", "EEXIST", "ENOTDIR"].includes(fault.code)

const moveBeside = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  { contents, home }: Place,
  target: string,
  manifest: Manifest
) {
  yield* holdTarget(files, home)
  yield* writeDurably(files, join(home, manifestFileName), encodeManifest(manifest))
  yield* files.flushDirectory(contents.path())
  yield* files.flushDirectory(home)
  const moved = yield* Effect.result(files.rename(home, target))
  if (Result.isFailure(moved)) {
    if (!isTaken(moved.failure)) return yield* moved.failure
    return false
  }
  const before = contents.path()
  contents.moved(join(target, basename(before)))
  const undo = Effect.andThen(
    files.rename(target, home),
    Effect.sync(() => contents.moved(before))
  )
  yield* durably(files, { target, folder: dirname(target), undo, kept: null, contents })
  yield* contents.give
  return true
}, Effect.scoped)

const moveInside = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  { contents }: Place,
  target: string,
  manifest: Manifest
) {
  yield* inspectTarget(files, target)
  yield* requireOwn(files, target, contents)
  yield* holdTarget(files, target)
  yield* inspectTarget(files, target)
  const standing = join(target, manifestFileName)
  const previous = (yield* files.inspect(standing)) === null ? null : yield* files.read(standing, mostManifestBytes)
  const inside = join(target, basename(contents.path()))
  if (contents.path() !== inside) {
    yield* files.rename(contents.path(), inside)
    contents.moved(inside)
  }
  const draft = join(inside, manifestFileName)
  yield* writeDurably(files, draft, encodeManifest(manifest))
  yield* files.flushDirectory(inside)
  yield* files.flushDirectory(target)
  yield* files.rename(draft, standing)
  const undo =
    previous === null
      ? files.removeTree(standing)
      : Effect.andThen(writeDurably(files, draft, previous), files.rename(draft, standing))
  const old = previous === null ? null : contentsNamedIn(previous)
  const kept = old === null ? null : join(target, old)
  yield* durably(files, { target, folder: target, undo, kept, contents })
  yield* contents.give
  yield* Effect.ignore(clearContents(files, target, old))
}, Effect.scoped)

/** The contents that a manifest names; `null` if it cannot be read. */
const contentsNamedIn = (manifest: Uint8Array): string | null => {
  const parsed = parseBoundedJson(new TextDecoder().decode(manifest))
  if (Result.isFailure(parsed)) return null
  const { contents } = Object(parsed.success) as { readonly contents?: unknown }
  return typeof contents === "string" && contentsForm.test(contents) ? contents : null
}

/** Puts a finished snapshot at its target, durably. With `replace`, an existing snapshot is removed, and never anything else. */
export const moveIntoPlace = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  place: Place,
  target: string,
  manifest: Manifest,
  replace: boolean
) {
  const { staging } = place
  const move = Effect.gen(function* () {
    if (staging !== null && (yield* moveBeside(files, place, target, manifest))) return
    // Nothing was there when the place was made; something has come since.
    if (!replace)
      return yield* staging === null ? new TargetExists({ path: target }) : new TargetTaken({ path: target })
    yield* moveInside(files, place, target, manifest)
  })
  yield* whileRemoved(files, target, move)
  if (staging !== null) yield* staging.discard
}, Effect.uninterruptible)

/** Removes a snapshot: its manifest first, with which it is none any more, then its contents, and its directory if nothing else is in it. */
export const takeAway = Effect.fnUntraced(function* (files: DurableFilesShape, directory: string) {
  yield* holdTarget(files, directory)
  const path = join(directory, manifestFileName)
  const manifest = yield* Effect.orElseSucceed(files.read(path, mostManifestBytes), () => null)
  yield* files.removeTree(path)
  yield* files.flushDirectory(directory)
  const { failed } = yield* clearContents(files, directory, manifest === null ? null : contentsNamedIn(manifest))
  const [first] = failed
  if (first !== undefined) return yield* first.fault
  if ((yield* files.list(directory)).some((name) => name !== publishLockName)) return
  yield* files.removeTree(join(directory, publishLockName))
  if (yield* files.removeEmptyDirectory(directory)) yield* files.flushDirectory(dirname(directory))
}, Effect.scoped)
