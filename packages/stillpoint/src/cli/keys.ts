/**
 * Keys that sign snapshots, that they must be signed by, and that they are encrypted with.
 *
 * @module
 */
import { readVerifyingKey, SigningKey, type SnapshotKeys } from "@stillpoint/core"
import { Effect, Option, Redacted, Stream } from "effect"
import { Flag } from "effect/cli"
import { ArgumentInvalid } from "./ArgumentInvalid.ts"
import { hostFile } from "./inputFile.ts"

/** Largest file of a key that is read, bytes. */
const mostKeyBytes = 64 << 10
/** Maximum number of keys for one command. */
const mostKeys = 100

/** The key of a verb that does nothing but sign. */
export const signingKey = Flag.String("sign-key").pipe(
  Flag.withDescription("Sign the snapshot with the private Ed25519 key in this file (PEM)")
)
export const signKey = Flag.optional(signingKey)
export const requireKey = Flag.String("require-key").pipe(
  Flag.withDescription(
    "Accept only snapshots signed by the public Ed25519 key in this file (PEM); may be repeated, and one of the keys is enough"
  ),
  Flag.between(0, mostKeys)
)

export const encryptionKey = Flag.String("encryption-key").pipe(
  Flag.withDescription(
    "Encrypt what is stored with the key in this file (32 bytes, or 64 hexadecimal digits), and restore only snapshots that are encrypted with it"
  ),
  Flag.optional
)

/** Flags of keys, as they were given. */
export interface AskedKeys {
  readonly signKey?: Option.Option<string>
  readonly requireKey?: ReadonlyArray<string>
  readonly encryptionKey?: Option.Option<string>
}

const contentOf = Effect.fnUntraced(function* (argument: string, path: string) {
  const { content, mode } = yield* hostFile(path)
  const bytes = Buffer.concat(yield* Stream.runCollect(Stream.take(content, 2)))
  if (bytes.byteLength > mostKeyBytes) {
    const found = `more than ${mostKeyBytes} bytes in ${path}`
    return yield* new ArgumentInvalid({ argument, expected: "a key", found })
  }
  return { bytes, mode }
}, Effect.scoped)

const textOf = (argument: string, path: string) =>
  Effect.map(contentOf(argument, path), ({ bytes }) => bytes.toString("utf8"))

/** Bytes of an encryption key. */
const encryptionKeyBytes = 32

/** The key of an `--encryption-key`. Messages say nothing of what is in the file. */
const readEncryptionKey = Effect.fnUntraced(function* (path: string) {
  const argument = "--encryption-key"
  const { bytes, mode } = yield* contentOf(argument, path)
  if ((mode & 0o077) !== 0) {
    const expected = "a file that only its owner can read (chmod 600)"
    return yield* new ArgumentInvalid({ argument, expected, found: `mode ${mode.toString(8)} of ${path}` })
  }
  const text = bytes.toString("latin1").trim()
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Redacted.make(Uint8Array.from(Buffer.from(text, "hex")))
  const isRaw = bytes.byteLength === encryptionKeyBytes && !/^[0-9a-fA-F]*$/.test(text)
  if (isRaw) return Redacted.make(Uint8Array.from(bytes))
  const expected = `${encryptionKeyBytes} bytes, or ${2 * encryptionKeyBytes} hexadecimal digits (openssl rand -hex 32 makes some)`
  const found = /^[0-9a-fA-F]+$/.test(text) ? `${text.length} hexadecimal digits` : `${bytes.byteLength} bytes`
  return yield* new ArgumentInvalid({ argument, expected, found: `${found} in ${path}` })
})

const wrong = (argument: string, path: string) =>
  Effect.mapError(
    ({ expected, found }: { readonly expected: string; readonly found: string }) =>
      new ArgumentInvalid({ argument, expected, found: `${found} in ${path}` })
  )

/** The key of a `--sign-key`. */
export const readSignKey = (path: string) =>
  Effect.flatMap(textOf("--sign-key", path), (text) =>
    SigningKey.read(Redacted.make(text)).pipe(wrong("--sign-key", path))
  )

/** The keys that flags name; those that are not given ask for nothing. */
export const readKeys = Effect.fnUntraced(function* (asked: AskedKeys) {
  const { encryptionKey = Option.none(), requireKey = [], signKey = Option.none() } = asked
  const requiredKeys = yield* Effect.forEach(requireKey, (path) =>
    Effect.flatMap(textOf("--require-key", path), (text) => readVerifyingKey(text).pipe(wrong("--require-key", path)))
  )
  const keys: SnapshotKeys = {
    ...(requiredKeys.length === 0 ? {} : { requiredKeys }),
    ...(Option.isNone(signKey) ? {} : { signingKey: yield* readSignKey(signKey.value) }),
    ...(Option.isNone(encryptionKey) ? {} : { encryptionKey: yield* readEncryptionKey(encryptionKey.value) })
  }
  return keys
})
