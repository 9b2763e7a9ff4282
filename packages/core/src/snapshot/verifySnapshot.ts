/**
 * Checks that a directory holds the snapshot that its manifest describes, except for data that is checked on first touch.
 *
 * Nothing that is found is trusted: a file is inspected before it is read, and never read beyond a bound.
 *
 * @module
 */
import { join } from "node:path"
import { Effect } from "effect"
import type { DurableFilesShape } from "../files/DurableFiles.ts"
import { FileUnfit } from "../files/FileErrors.ts"
import { statusInWords } from "../files/fileKind.ts"
import { decodeManifest, type Manifest, manifestFileName, type ManifestFile, mostManifestBytes } from "./Manifest.ts"
import {
  ManifestMissing,
  SnapshotFileAltered,
  SnapshotFileMissing,
  SnapshotFileResized,
  SnapshotMissing
} from "./SnapshotErrors.ts"

/** Maximum bytes of a file that is checked as a whole. Larger files are checked by chunk, or are hostile. */
export const mostWholeBytes = 1 << 30

/** The directory of a snapshot's files. */
export const contentsOf = (directory: string, manifest: Manifest): string => join(directory, manifest.contents)

const inspectSized = Effect.fnUntraced(function* (files: DurableFilesShape, path: string, expectedBytes: number) {
  const found = yield* files.inspect(path)
  if (found === null) return yield* new SnapshotFileMissing({ path })
  if (found.kind !== "file")
    return yield* new FileUnfit({ path, expected: "a regular file", found: statusInWords[found.kind] })
  if (found.sizeBytes !== expectedBytes) {
    return yield* new SnapshotFileResized({ path, expectedBytes, foundBytes: found.sizeBytes })
  }
})

/** The digest of a file that must have so many bytes. */
export const digestOf = Effect.fnUntraced(function* (files: DurableFilesShape, path: string, expectedBytes: number) {
  yield* inspectSized(files, path, expectedBytes)
  const { sha256, sizeBytes } = yield* files.digest(path, mostWholeBytes)
  if (sizeBytes !== expectedBytes) {
    return yield* new SnapshotFileResized({ path, expectedBytes, foundBytes: sizeBytes })
  }
  return sha256
})

const verifyFile = Effect.fnUntraced(function* (files: DurableFilesShape, contents: string, file: ManifestFile) {
  const path = join(contents, file.name)
  if (file.verification.kind === "byChunk") return yield* inspectSized(files, path, file.sizeBytes)
  const found = yield* digestOf(files, path, file.sizeBytes)
  const expected = file.verification.sha256
  if (found !== expected) return yield* new SnapshotFileAltered({ path, expected, found })
})

/** The manifest in a directory, its seal checked. */
export const readManifest = Effect.fnUntraced(function* (files: DurableFilesShape, directory: string) {
  const standing = yield* files.inspect(directory)
  if (standing?.kind !== "directory") {
    return yield* new SnapshotMissing({ path: directory, found: standing === null ? "nothing" : standing.kind })
  }
  const path = join(directory, manifestFileName)
  if ((yield* files.inspect(path)) === null) {
    return yield* new ManifestMissing({ path, holds: (yield* files.list(directory)).slice(0, 100) })
  }
  return yield* decodeManifest(path, new TextDecoder().decode(yield* files.read(path, mostManifestBytes)))
})

/** Checks everything that the manifest in a directory names. */
export const verifyContents = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  directory: string,
  manifest: Manifest
) {
  const contents = contentsOf(directory, manifest)
  const standing = yield* files.inspect(contents)
  if (standing === null) return yield* new SnapshotFileMissing({ path: contents })
  if (standing.kind !== "directory") {
    return yield* new FileUnfit({ path: contents, expected: "a directory", found: statusInWords[standing.kind] })
  }
  for (const file of manifest.files) yield* verifyFile(files, contents, file)
})
