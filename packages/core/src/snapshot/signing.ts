/**
 * Signs the snapshots of a store, and requires signatures.
 *
 * @module
 */
import { KeyObject } from "node:crypto"
import { join } from "node:path"
import { Effect, Redacted } from "effect"
import type { DurableFilesShape } from "../files/DurableFiles.ts"
import { replaceFile } from "../files/replaceFile.ts"
import { isRecord, isText, kindProblems, orAbsent, unknownProblems } from "../optionProblems.ts"
import type { Secret } from "../Secret.ts"
import { type EncryptionKey, encryptionKeyBytes, isEncryptionKey } from "../encryption.ts"
import type { Manifest } from "./Manifest.ts"
import {
  decodeSignatures,
  encodeSignatures,
  mostSignaturesBytes,
  type Signature,
  signaturesFileName,
  signedBy,
  KeyInvalid,
  SigningKey,
  type VerifyingKey
} from "./Signature.ts"
import { SnapshotNotSigned } from "./SnapshotErrors.ts"
import type { Validation } from "./Validation.ts"
import { contentsOf } from "./verifySnapshot.ts"

/** Keys of a store. */
export interface SnapshotKeys {
  /** Signs every snapshot that is published, and every verdict that is recorded. */
  readonly signingKey?: SigningKey
  /**
   * Every snapshot that is opened must be signed by one of these: any other is refused with `SnapshotNotSigned` before anything of it
   * is read but its manifest. Given and empty, nothing can be opened.
   */
  readonly requiredKeys?: ReadonlyArray<VerifyingKey>
  /**
   * Every snapshot that is published is encrypted with this key, 32 random bytes; and only snapshots that are encrypted with it are
   * restored. It is needed for nothing else: snapshots are listed, signed, moved and removed without it. It is never written anywhere.
   */
  readonly encryptionKey?: Secret<Uint8Array>
}

/** Keys of a store, checked. */
export interface CheckedKeys extends Omit<SnapshotKeys, "encryptionKey"> {
  readonly encryptionKey?: EncryptionKey
}

const keyNames = { signingKey: true, requiredKeys: true, encryptionKey: true } as const satisfies Record<
  keyof SnapshotKeys,
  true
>

const isVerifyingKey = (value: unknown): boolean =>
  isRecord(value) && isText(value["id"]) && value["key"] instanceof KeyObject && value["key"].type === "public"

/**
 * Problems of a store's keys: a misspelt option would sign nothing, or require nothing.
 *
 * @example
 * ```ts
 * import { keyProblems } from "@stillpoint/core"
 *
 * console.log(keyProblems({}), keyProblems({ requiredKeys: [] })) // [] []
 * ```
 */
export const keyProblems = (keys: unknown): ReadonlyArray<string> =>
  isRecord(keys)
    ? [
        ...unknownProblems("keys", keys, keyNames),
        ...kindProblems(
          "keys.signingKey",
          keys["signingKey"],
          "a key, as SigningKey.read reads it",
          orAbsent((found) => found instanceof SigningKey)
        ),
        ...kindProblems(
          "keys.requiredKeys",
          keys["requiredKeys"],
          "a list of public keys, as readVerifyingKey reads them",
          orAbsent((found) => Array.isArray(found) && Array.from(found).every(isVerifyingKey))
        ),
        ...encryptionKeyProblems(keys["encryptionKey"])
      ]
    : kindProblems("keys", keys, "{ signingKey, requiredKeys, encryptionKey }", isRecord)

/** The problem says nothing of the value: it may be a secret of another form. */
const encryptionKeyProblems = (given: unknown): ReadonlyArray<string> => {
  const key: unknown = Redacted.isRedacted(given) ? Redacted.value(given) : given
  if (given === undefined || isEncryptionKey(Redacted.make(key))) return []
  const found = key instanceof Uint8Array ? `${key.byteLength} bytes` : typeof key
  return [`keys.encryptionKey: expected ${encryptionKeyBytes} bytes in a Uint8Array, or Redacted, found ${found}`]
}

/** The key is a copy: the caller may overwrite theirs. */
const redacted = (key: Secret<Uint8Array>): EncryptionKey =>
  Redacted.make(Uint8Array.from(Redacted.isRedacted(key) ? Redacted.value(key) : key))

/** Refuses keys that are none. */
export const checkedKeys = (keys: SnapshotKeys): Effect.Effect<CheckedKeys, KeyInvalid> => {
  const problems = keyProblems(keys)
  if (problems.length > 0) {
    const expected = "keys of a store, { signingKey, requiredKeys, encryptionKey }"
    return Effect.fail(new KeyInvalid({ expected, found: problems.join("; ") }))
  }
  const { encryptionKey, ...others } = keys
  return Effect.succeed(encryptionKey === undefined ? others : { ...others, encryptionKey: redacted(encryptionKey) })
}

/** The signatures that stand beside a snapshot; none where there is no file of them. */
export const readSignatures = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  directory: string,
  manifest: Manifest
) {
  const path = join(contentsOf(directory, manifest), signaturesFileName)
  if ((yield* files.inspect(path)) === null) return []
  const text = new TextDecoder().decode(yield* files.read(path, mostSignaturesBytes))
  return yield* decodeSignatures(path, text, manifest.digest)
})

const isSame = (one: Signature, other: Signature): boolean =>
  one.keyId === other.keyId && one.validationDigest === other.validationDigest

/** Adds signatures to the existing ones; one of the same key and verdict is replaced. */
export const addSignatures = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  directory: string,
  manifest: Manifest,
  added: ReadonlyArray<Signature>
) {
  if (added.length === 0) return
  const standing = yield* readSignatures(files, directory, manifest)
  const others = standing.filter((one) => !added.some((other) => isSame(one, other)))
  yield* replaceFile(
    files,
    join(contentsOf(directory, manifest), signaturesFileName),
    encodeSignatures(manifest.digest, [...others, ...added])
  )
})

/** The signed parts: the manifest first, and the verdict once it has been read. */
export const requireSigned = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  directory: string,
  manifest: Manifest,
  keys: ReadonlyArray<VerifyingKey>
) {
  const signatures = yield* readSignatures(files, directory, manifest)
  const valid = signedBy(keys, manifest.digest, signatures)
  const refused = (why: SnapshotNotSigned["why"]) =>
    new SnapshotNotSigned({
      path: directory,
      why,
      expected: keys.map(({ id }) => id),
      found: [...new Set(signatures.map(({ keyId }) => keyId))]
    })
  if (valid.length === 0) {
    const isTheirs = signatures.some(({ keyId }) => keys.some(({ id }) => id === keyId))
    return yield* refused(signatures.length === 0 ? "none" : isTheirs ? "broken" : "others")
  }
  return (validation: Validation | null) =>
    valid.some(({ validationDigest }) => validationDigest === (validation?.digest ?? null))
      ? Effect.void
      : refused("verdict")
})
