/**
 * The lock file: which versions of which packages make up the guest kit, and their digests.
 *
 * It is written from the signed index of the archive, and so what it names is as trusted as that.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { readFile, rename, rm, writeFile } from "node:fs/promises"
import { isPoolPath } from "./archive/PackageIndex.ts"
import { FileUnusable, FormatInvalid, KitError } from "./KitError.ts"

/** One package, pinned. */
export const LockedPackage = Schema.Struct({
  name: Schema.NonEmptyString,
  version: Schema.NonEmptyString,
  /** Path below the archive's root. */
  filename: Schema.String.check(Schema.makeFilter(isPoolPath, { expected: "a path below the archive's root" })),
  sizeBytes: Schema.Natural,
  sha256: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))
})
export type LockedPackage = typeof LockedPackage.Type

/** The lock file's content. */
export const KitLock = Schema.Struct({
  formatVersion: Schema.Literal(1),
  suite: Schema.NonEmptyString,
  architecture: Schema.NonEmptyString,
  kernel: LockedPackage,
  busybox: LockedPackage
})
export type KitLock = typeof KitLock.Type

const KitLockText = Schema.fromJsonString(KitLock)

const unusable = (path: string) => (cause: unknown) =>
  new KitError({ reason: new FileUnusable({ path, detail: cause instanceof Error ? cause.message : String(cause) }) })

/** Reads the lock file at `path`. */
export const readLock = Effect.fn("KitLock.read")(function* (path: string) {
  const text = yield* Effect.tryPromise({ try: () => readFile(path, "utf8"), catch: unusable(path) })
  return yield* Schema.decodeUnknownEffect(KitLockText, { errors: "all" })(text).pipe(
    Effect.mapError(
      (error) =>
        new KitError({
          reason: new FormatInvalid({ source: path, expected: "a lock of the guest kit", found: error.message })
        })
    )
  )
})

/** Writes the lock file at `path`, whole or not at all. */
export const writeLock = (path: string, lock: KitLock): Effect.Effect<void, KitError> =>
  Effect.tryPromise({
    try: async () => {
      const partial = `${path}.partial-${randomUUID()}`
      try {
        await writeFile(partial, `${JSON.stringify(lock, undefined, 2)}\n`)
        await rename(partial, path)
      } finally {
        await rm(partial, { force: true })
      }
    },
    catch: unusable(path)
  })
