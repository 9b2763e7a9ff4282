/**
 * The lock file: which versions of which packages make up the guest kit, and their digests.
 *
 * It is written from the signed index of the archive, so its content is as trusted as that.
 *
 * @module
 */
import { type DurableFilesShape, replaceFile } from "@stillpoint/core"
import { Effect, Schema } from "effect"
import { isPoolPath } from "./archive/PackageIndex.ts"
import { FormatInvalid, KitError, unusable } from "./KitError.ts"

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

const mostLockBytes = 1 << 20

/** Reads the lock file at `path`. */
export const readLock = Effect.fn("KitLock.read")(function* (files: DurableFilesShape, path: string) {
  const target = yield* Effect.mapError(files.resolve(path), unusable)
  const text = new TextDecoder().decode(yield* Effect.mapError(files.read(target, mostLockBytes), unusable))
  return yield* Schema.decodeUnknownEffect(KitLockText, { errors: "all" })(text).pipe(
    Effect.mapError(
      (error) =>
        new KitError({
          reason: new FormatInvalid({ source: path, expected: "a lock of the guest kit", found: error.message })
        })
    )
  )
})

/** Writes the lock file at `path`: the old one or the new one, whole, after a crash at any moment. */
export const writeLock = Effect.fn("KitLock.write")(function* (files: DurableFilesShape, path: string, lock: KitLock) {
  const text = `${JSON.stringify(lock, undefined, 2)}\n`
  const target = yield* Effect.mapError(files.resolve(path), unusable)
  yield* replaceFile(files, target, new TextEncoder().encode(text), { readers: "everybody" }).pipe(
    Effect.mapError(unusable)
  )
})
