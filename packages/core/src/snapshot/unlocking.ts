/**
 * Compares encryption keys with what snapshots need, and opens what is encrypted in them.
 *
 * @module
 */
import { Effect, Result, Schema } from "effect"
import { parseBoundedJson } from "../internal/boundedJson.ts"
import { type CaptureEncryption, type EncryptionKey, isTagged, keyIdOf, openBytes, sealBytes } from "../encryption.ts"
import type { Manifest } from "./Manifest.ts"
import { FileForged, KeyMissing, KeyWrong, NotEncrypted } from "./SnapshotErrors.ts"
import { makeValidation, type Validation, WorkingSet } from "./Validation.ts"

interface Encrypted {
  readonly encryption?: CaptureEncryption | null | undefined
}

/** Why a snapshot with a key of that id (`null` for none) is not what one needs that has a key of that other id. */
const difference = (path: string, needed: string | null, given: string | null) =>
  needed === given
    ? null
    : needed === null
      ? new NotEncrypted({ path, expected: given ?? "" })
      : given === null
        ? new KeyMissing({ path, expected: needed })
        : new KeyWrong({ path, expected: needed, found: given })

/** Why a key is not the one of a snapshot, or of a capture; `null` if it is, or if neither has one. */
export const keyObstacle = (path: string, { encryption }: Encrypted, key: EncryptionKey | undefined) =>
  difference(path, encryption?.keyId ?? null, key === undefined ? null : keyIdOf(key))

/** Why a snapshot cannot be the parent of another one; `null` if both have the same key, or none. */
export const parentKeyObstacle = (path: string, parent: Encrypted, child: Encrypted) =>
  difference(path, parent.encryption?.keyId ?? null, child.encryption?.keyId ?? null)

/** The key, if it is that of an encrypted snapshot, whose manifest must then have been written with it. */
export const unlocked = (path: string, manifest: Manifest, key: EncryptionKey | undefined) =>
  Effect.suspend((): Effect.Effect<EncryptionKey | null, FileForged> => {
    const { encryption } = manifest
    if (key === undefined || encryption === undefined || keyObstacle(path, manifest, key) !== null) {
      return Effect.succeed(null)
    }
    return isTagged(key, encryption, manifest)
      ? Effect.succeed(key)
      : new FileForged({ path, expected: encryption.keyId })
  })

const Evidence = Schema.Struct({ detail: Schema.String, workingSet: Schema.NullOr(WorkingSet) })

const aboutOf = ({ manifestDigest, verdict }: Pick<Validation, "manifestDigest" | "verdict">): string =>
  `${manifestDigest} ${verdict}`

/** The record of a verdict whose evidence and working set are encrypted if the snapshot is. */
export const validationOf = (
  { digest: manifestDigest, encryption }: Pick<Manifest, "digest" | "encryption">,
  { detail, verdict, workingSet }: Pick<Validation, "detail" | "verdict" | "workingSet">,
  key: EncryptionKey | undefined
): Validation => {
  if (encryption === undefined || key === undefined) {
    return makeValidation({ manifestDigest, verdict, detail, workingSet })
  }
  const bytes = new TextEncoder().encode(JSON.stringify({ detail, workingSet }))
  const sealed = sealBytes(key, encryption, "verdict", bytes, aboutOf({ manifestDigest, verdict }))
  return makeValidation({
    manifestDigest,
    verdict,
    detail: "",
    workingSet: null,
    sealed: Buffer.from(sealed).toString("base64")
  })
}

/** A verdict with its evidence and its working set; `null` if they were not encrypted with the key. */
export const evidentValidation = (
  key: EncryptionKey,
  encryption: CaptureEncryption,
  validation: Validation
): Validation | null => {
  const sealed = Buffer.from(validation.sealed ?? "", "base64")
  // Base64 has several forms of the same bytes.
  if (sealed.toString("base64") !== validation.sealed) return null
  const opened = openBytes(key, encryption, "verdict", sealed, aboutOf(validation))
  if (opened === null) return null
  const parsed = parseBoundedJson(new TextDecoder().decode(opened))
  if (Result.isFailure(parsed) || !Schema.is(Evidence)(parsed.success)) return null
  return { ...validation, ...parsed.success }
}
