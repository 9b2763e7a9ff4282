/**
 * Inspects the target of a publish.
 *
 * @module
 */
import { join } from "node:path"
import { Effect, Result, Schema } from "effect"
import type { DurableFilesShape } from "../files/DurableFiles.ts"
import { statusInWords } from "../files/fileKind.ts"
import { isOwnedDirectory } from "../files/OwnedDirectory.ts"
import { parseBoundedJson } from "../internal/boundedJson.ts"
import { manifestFileName, ManifestHeader, mostManifestBytes } from "./Manifest.ts"
import { TargetUnfit } from "./SnapshotErrors.ts"

/** Name of the empty file that is held by who puts a manifest into a snapshot's directory. */
export const publishLockName = "publish.lock"

/** Maximum number of a directory's names in a message. */
const mostNames = 5

/** Whether a manifest at `path` begins like one of ours, of any version. */
const isManifest = Effect.fnUntraced(function* (files: DurableFilesShape, path: string) {
  const read = yield* Effect.result(files.read(path, mostManifestBytes))
  if (Result.isFailure(read)) return read.failure._tag === "FileFault" ? yield* read.failure : false
  const parsed = parseBoundedJson(new TextDecoder().decode(read.success))
  return Result.isSuccess(parsed) && Schema.is(Schema.Struct({ format: ManifestHeader.fields.format }))(parsed.success)
})

/**
 * The state of a target: absent; an empty directory, apart from leftovers and drafts of publishers; or a snapshot. Anything
 * else is foreign, and refused.
 */
export const inspectTarget = Effect.fnUntraced(function* (files: DurableFilesShape, target: string) {
  const found = yield* files.inspect(target)
  if (found === null) return "nothing" as const
  if (found.kind !== "directory") return yield* new TargetUnfit({ path: target, found: statusInWords[found.kind] })
  const names = yield* files.list(target)
  const others: Array<string> = []
  let hasContents = false
  for (const name of names) {
    if (name === publishLockName || name === manifestFileName) continue
    if (yield* isOwnedDirectory(files, join(target, name))) hasContents = true
    else others.push(name)
  }
  if (names.includes(manifestFileName)) {
    // A damaged manifest is one of a snapshot where contents of ours stand beside it.
    if (hasContents || (yield* isManifest(files, join(target, manifestFileName)))) return "snapshot" as const
    others.unshift(manifestFileName)
  }
  if (others.length === 0) return "empty" as const
  const more = others.length - mostNames
  const told = `${others.slice(0, mostNames).join(", ")}${more > 0 ? ` and ${more} more` : ""}`
  return yield* new TargetUnfit({ path: target, found: `a directory that holds ${told}` })
})
