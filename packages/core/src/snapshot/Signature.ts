/**
 * Ed25519 signatures of a manifest's digest, and so of every byte of a snapshot and of its parents.
 *
 * ```text
 * contents-<id>/signatures.json   {"format":"stillpoint-signatures","version":1,"manifestDigest":…,
 *                                  "signatures":[{"keyId":…,"validationDigest":… or null,"signature":…}]}
 * what is signed                  "stillpoint-signature-1\n" manifest's digest "\n" verdict's digest or "none" "\n"
 * keyId                           SHA-256 of the public key as DER (SubjectPublicKeyInfo)
 * ```
 *
 * A signature speaks of the verdict, too, that the snapshot had when it was signed: it lies beside the manifest and is not in its digest.
 *
 * Source: RFC 8032 (Ed25519), RFC 8410 (its keys in PEM).
 *
 * @module
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto"
import { Effect, Redacted, Result, Schema } from "effect"
import { describeValue } from "../describeValue.ts"
import { parseBoundedJson } from "../internal/boundedJson.ts"
import { ManifestUnreadable, sha256, Sha256 } from "./Manifest.ts"

/** Name of the signatures' file beside the other contents. */
export const signaturesFileName = "signatures.json"

/** Largest file of signatures that is written or read, bytes. */
export const mostSignaturesBytes = 1 << 20

/** Maximum number of signatures of one snapshot. */
export const mostSignatures = 1000

/** One signature of a snapshot. */
export const Signature = Schema.Struct({
  /** The key that made it: SHA-256 of the public key. */
  keyId: Sha256,
  /** Digest of the verdict that the snapshot had; `null` for none. */
  validationDigest: Schema.NullOr(Sha256),
  /** 64 bytes, lower-case hexadecimal. */
  signature: Schema.String.check(Schema.isPattern(/^[0-9a-f]{128}$/))
})
export type Signature = typeof Signature.Type

const Signatures = Schema.Struct({
  format: Schema.Literal("stillpoint-signatures"),
  version: Schema.Literal(1),
  manifestDigest: Sha256,
  signatures: Schema.Array(Signature).check(Schema.isMaxLength(mostSignatures))
})

/** The given key cannot sign snapshots. The error contains nothing of it. */
export class KeyInvalid extends Schema.TaggedError<KeyInvalid>()("KeyInvalid", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `expected ${this.expected}, found ${this.found}; openssl genpkey -algorithm ed25519 makes one, openssl pkey -pubout its public half`
  }
}

/** A key that signs. Its secret part is not printed. */
export class SigningKey {
  /** SHA-256 of its public half. */
  readonly id: string
  readonly #key: KeyObject

  private constructor(key: KeyObject) {
    this.#key = key
    this.id = idOf(createPublicKey(key))
  }

  /**
   * Reads a private key in PEM (PKCS #8), without a passphrase.
   *
   * @example
   * ```ts
   * import { SigningKey } from "@stillpoint/core"
   * import { Effect } from "effect"
   * import { generateKeyPairSync } from "node:crypto"
   *
   * const { privateKey } = generateKeyPairSync("ed25519")
   * const key = await Effect.runPromise(SigningKey.read(privateKey.export({ type: "pkcs8", format: "pem" }).toString()))
   * console.log(key.id.length) // 64
   * ```
   */
  static readonly read = (pem: string | Redacted.Redacted<string>): Effect.Effect<SigningKey, KeyInvalid> =>
    Effect.map(
      ed25519(
        "a private Ed25519 key in PEM, without a passphrase",
        pem,
        /-----BEGIN PRIVATE KEY-----/,
        createPrivateKey
      ),
      (key) => new SigningKey(key)
    )

  /** The public half, for those who require it. */
  get verifying(): VerifyingKey {
    return { id: this.id, key: createPublicKey(this.#key) }
  }

  /** Its signature of a snapshot with a verdict. */
  sign(manifestDigest: string, validationDigest: string | null): Signature {
    const signature = sign(null, statement(manifestDigest, validationDigest), this.#key).toString("hex")
    return { keyId: this.id, validationDigest, signature }
  }
}

/** The public half of a key, by which signatures are checked. */
export interface VerifyingKey {
  /** SHA-256 of it. */
  readonly id: string
  readonly key: KeyObject
}

/**
 * Reads a public key in PEM.
 *
 * @example
 * ```ts
 * import { readVerifyingKey } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * const { message } = await Effect.runPromise(Effect.flip(readVerifyingKey("no key")))
 * console.log(message.split(",")[0]) // expected a public Ed25519 key in PEM
 * ```
 */
export const readVerifyingKey = (pem: string): Effect.Effect<VerifyingKey, KeyInvalid> =>
  Effect.map(
    ed25519("a public Ed25519 key in PEM", pem, /-----BEGIN PUBLIC KEY-----/, createPublicKey),
    (key): VerifyingKey => ({ id: idOf(key), key })
  )

const ed25519 = (
  expected: string,
  given: unknown,
  begins: RegExp,
  read: (pem: string) => KeyObject
): Effect.Effect<KeyObject, KeyInvalid> =>
  Effect.suspend(() => {
    const pem: unknown = Redacted.isRedacted(given) ? Redacted.value(given) : given
    // Texts are not told: one may be a secret in the wrong place.
    if (typeof pem !== "string") return new KeyInvalid({ expected, found: describeValue(pem) })
    const kind = /-----BEGIN ([A-Z0-9 ]{1,40})-----/.exec(pem)?.[1]
    if (!begins.test(pem)) return new KeyInvalid({ expected, found: kind === undefined ? "no PEM" : `a ${kind}` })
    const key = Result.try(() => read(pem))
    if (Result.isFailure(key)) return new KeyInvalid({ expected, found: "one that cannot be read" })
    const type = key.success.asymmetricKeyType
    return type === "ed25519" ? Effect.succeed(key.success) : new KeyInvalid({ expected, found: `a key of ${type}` })
  })

const idOf = (key: KeyObject): string => sha256(key.export({ type: "spki", format: "der" }))

const statement = (manifestDigest: string, validationDigest: string | null): Buffer =>
  Buffer.from(`stillpoint-signature-1\n${manifestDigest}\n${validationDigest ?? "none"}\n`)

/** The signatures that one of the keys made of a snapshot. */
export const signedBy = (
  keys: ReadonlyArray<VerifyingKey>,
  manifestDigest: string,
  signatures: ReadonlyArray<Signature>
): ReadonlyArray<Signature> =>
  signatures.filter(({ keyId, signature, validationDigest }) =>
    keys.some(
      ({ id, key }) =>
        id === keyId && verify(null, statement(manifestDigest, validationDigest), key, Buffer.from(signature, "hex"))
    )
  )

const textOf = (record: unknown): string => `${JSON.stringify(record)}\n`

/** Bytes of `signatures.json`. */
export const encodeSignatures = (manifestDigest: string, signatures: ReadonlyArray<Signature>): Uint8Array =>
  new TextEncoder().encode(textOf({ format: "stillpoint-signatures", version: 1, manifestDigest, signatures }))

/** Reads the signatures found at `path`, which must be of one manifest. Whether they hold is not said. */
export const decodeSignatures = Effect.fnUntraced(function* (path: string, text: string, manifestDigest: string) {
  const unreadable = (why: string) => new ManifestUnreadable({ path, why, record: "list of signatures" })
  const parsed = parseBoundedJson(text)
  if (Result.isFailure(parsed)) return yield* unreadable(parsed.failure)
  if (textOf(parsed.success) !== text)
    return yield* unreadable("its text is not as it was written: it was cut or edited")
  const record = yield* Schema.decodeUnknownEffect(Signatures, { errors: "all" })(parsed.success).pipe(
    Effect.mapError((error) => unreadable(error.message))
  )
  if (record.manifestDigest !== manifestDigest) {
    return yield* unreadable(`it speaks of ${record.manifestDigest}, and the manifest is ${manifestDigest}`)
  }
  return record.signatures
})
