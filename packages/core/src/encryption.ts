/**
 * Encryption of snapshots at rest: the part that this side does. Memory, disks and the machine's state are encrypted by the core.
 *
 * ```text
 * the key, 32 bytes ───────HKDF "stillpoint key id"─────▶ keyId
 * the key and the salt ─┬──HKDF "stillpoint manifest"──▶ tag: HMAC-SHA256 of the manifest
 *                       ├──HKDF "stillpoint timeline"──▶ AES-256-GCM of timeline.ndjson
 *                       └──HKDF "stillpoint verdict"───▶ AES-256-GCM of the evidence and the working set in validation.json
 *
 * sealed bytes              12 bytes nonce, the encrypted bytes, 16 bytes tag
 * ```
 *
 * The salt is the capture's, random and its own. Digests are public: whoever can write files can compute them anew. The manifest's tag
 * cannot be computed without the key, and covers the digest of every file, so nothing can be changed unnoticed.
 *
 * Sources: RFC 5869 (HKDF), RFC 2104 (HMAC), NIST SP 800-38D (GCM).
 *
 * @module
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto"
import { Redacted, Schema } from "effect"
import { canonicalJson } from "./internal/canonicalJson.ts"

/** A key that snapshots are encrypted with: 32 bytes. */
export type EncryptionKey = Redacted.Redacted<Uint8Array>

/** Bytes of a key. */
export const encryptionKeyBytes = 32

const hex32 = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))

/** How a capture is encrypted. */
export const CaptureEncryption = Schema.Struct({
  /** Id of the key, derived from it. */
  keyId: hex32,
  /** Random bytes of this snapshot. */
  salt: hex32
})
export type CaptureEncryption = typeof CaptureEncryption.Type

/** How a snapshot is encrypted; `tag` shows that the manifest was written with the key. */
export const SnapshotEncryption = Schema.Struct({ ...CaptureEncryption.fields, tag: hex32 })
export type SnapshotEncryption = typeof SnapshotEncryption.Type

/** Whether a value is a key. */
export const isEncryptionKey = (value: unknown): value is EncryptionKey => {
  const bytes: unknown = Redacted.isRedacted(value) ? Redacted.value(value) : undefined
  return bytes instanceof Uint8Array && bytes.byteLength === encryptionKeyBytes
}

const derived = (key: EncryptionKey, salt: string, label: string): Buffer =>
  Buffer.from(hkdfSync("sha256", Redacted.value(key), Buffer.from(salt, "hex"), label, 32))

/** Id of a key: 64 hexadecimal digits, which say nothing about the key. */
export const keyIdOf = (key: EncryptionKey): string => derived(key, "", "stillpoint key id").toString("hex")

/** The tag of a manifest. */
export const manifestTag = (
  key: EncryptionKey,
  { keyId, salt }: CaptureEncryption,
  record: Readonly<Record<string, unknown>>
): string => {
  const { digest: _digest, ...rest } = record
  return createHmac("sha256", derived(key, salt, "stillpoint manifest"))
    .update(canonicalJson({ ...rest, encryption: { keyId, salt } }))
    .digest("hex")
}

/** Whether a manifest was written with the key. */
export const isTagged = (
  key: EncryptionKey,
  encryption: SnapshotEncryption,
  record: Readonly<Record<string, unknown>>
): boolean =>
  timingSafeEqual(Buffer.from(encryption.tag, "hex"), Buffer.from(manifestTag(key, encryption, record), "hex"))

/** What is encrypted here, each with a key of its own. */
export type SealedPart = "timeline" | "verdict"

const nonceBytes = 12
const tagBytes = 16

/** Encrypts bytes; they can be decrypted only together with the same `about`. */
export const sealBytes = (
  key: EncryptionKey,
  { salt }: CaptureEncryption,
  part: SealedPart,
  bytes: Uint8Array,
  about = ""
): Uint8Array => {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv("aes-256-gcm", derived(key, salt, `stillpoint ${part}`), nonce)
  cipher.setAAD(Buffer.from(about))
  return Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()])
}

/** Decrypts bytes; `null` if they were not encrypted so. */
export const openBytes = (
  key: EncryptionKey,
  { salt }: CaptureEncryption,
  part: SealedPart,
  sealed: Uint8Array,
  about = ""
): Uint8Array | null => {
  if (sealed.byteLength < nonceBytes + tagBytes) return null
  const end = sealed.byteLength - tagBytes
  const decipher = createDecipheriv(
    "aes-256-gcm",
    derived(key, salt, `stillpoint ${part}`),
    sealed.subarray(0, nonceBytes),
    { authTagLength: tagBytes }
  )
  decipher.setAAD(Buffer.from(about)).setAuthTag(sealed.subarray(end))
  try {
    return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, end)), decipher.final()])
  } catch {
    return null
  }
}
