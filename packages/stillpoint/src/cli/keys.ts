/**
 * Keys that sign snapshots, and that they must be signed by.
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

/** Flags of keys, as they were given. */
export interface AskedKeys {
  readonly signKey?: Option.Option<string>
  readonly requireKey?: ReadonlyArray<string>
}

const textOf = Effect.fnUntraced(function* (argument: string, path: string) {
  const { content } = yield* hostFile(path)
  const bytes = Buffer.concat(yield* Stream.runCollect(Stream.take(content, 2)))
  if (bytes.byteLength > mostKeyBytes) {
    const found = `more than ${mostKeyBytes} bytes in ${path}`
    return yield* new ArgumentInvalid({ argument, expected: "a key", found })
  }
  return bytes.toString("utf8")
}, Effect.scoped)

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
export const readKeys = Effect.fnUntraced(function* ({ requireKey = [], signKey = Option.none() }: AskedKeys) {
  const requiredKeys = yield* Effect.forEach(requireKey, (path) =>
    Effect.flatMap(textOf("--require-key", path), (text) => readVerifyingKey(text).pipe(wrong("--require-key", path)))
  )
  const keys: SnapshotKeys = {
    ...(requiredKeys.length === 0 ? {} : { requiredKeys }),
    ...(Option.isNone(signKey) ? {} : { signingKey: yield* readSignKey(signKey.value) })
  }
  return keys
})
