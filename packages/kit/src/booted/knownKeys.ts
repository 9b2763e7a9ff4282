/**
 * The keys of booted kits that were found out before: finding one out costs a machine.
 *
 * ```text
 * keys/<sha256>   a key, a line feed, the digest of the root, a line feed, and the root: an archive, read whole; named by what the
 *                 machine was made of: the machines' build, the specification, and the files of root and kernel as they stood
 * ```
 *
 * A file with other content counts as missing, and so does one that names no snapshot.
 *
 * @module
 */
import { bootSpecJson, type BootSpec, readRegularFile, sha256, writeWhole } from "@stillpoint/core"
import { Effect, Option, Stream } from "effect"
import { mkdir } from "node:fs/promises"
import { dirname, join } from "node:path"
import { sealsOf } from "../fileSeals.ts"

/** The known facts about a booted kit. */
export interface KnownKey {
  readonly key: string
  readonly initramfs: Uint8Array
}

/**
 * The path of such a machine's key, `seal` being that of its root; `null` if the engine is not identified, or if the kernel's
 * file was changed just now, since a further change might not show.
 */
export const placeOfKey = (
  directory: string,
  build: string | undefined,
  { initramfs: _root, ...spec }: BootSpec,
  seal: string | null
) =>
  Effect.gen(function* () {
    if (build === undefined || seal === null || spec.kernelPath === undefined) return null
    const { byPath, isSettled } = yield* sealsOf([spec.kernelPath])
    const made = JSON.stringify([build, bootSpecJson(spec), [...byPath.values()], seal])
    return isSettled ? join(directory, "keys", sha256(made)) : null
  }).pipe(Effect.orElseSucceed(() => null))

const headBytes = 130
const mostRootBytes = 1 << 26

/** The stored key; `null` if there is none. */
export const recallKey = (place: string | null) =>
  Effect.option(
    Effect.tryPromise(async () => {
      if (place === null) return null
      const bytes = await readRegularFile(place, headBytes + mostRootBytes)
      const head = new TextDecoder().decode(bytes.subarray(0, headBytes))
      const [, key, digest] = /^([0-9a-f]{64})\n([0-9a-f]{64})\n$/.exec(head) ?? []
      const initramfs = bytes.subarray(headBytes)
      return key !== undefined && digest === sha256(initramfs) ? ({ key, initramfs } satisfies KnownKey) : null
    })
  ).pipe(Effect.map(Option.getOrNull))

/** Stores it. A key that cannot be stored is computed again. */
export const rememberKey = (place: string | null, { initramfs, key }: KnownKey): Effect.Effect<void> => {
  if (place === null || initramfs.length > mostRootBytes) return Effect.void
  const made = Effect.tryPromise(() => mkdir(dirname(place), { recursive: true, mode: 0o700 }))
  const head = new TextEncoder().encode(`${key}\n${sha256(initramfs)}\n`)
  return Effect.ignore(Effect.andThen(made, writeWhole(place, Stream.make(head, initramfs), { mode: 0o600 })))
}
