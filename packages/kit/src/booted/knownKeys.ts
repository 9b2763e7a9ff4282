/**
 * The keys of booted kits that were found out before: finding one out costs a machine.
 *
 * ```text
 * keys/<sha256>   a key, and a line feed; named by what the machine was made of: the machines' build, the specification, the kernel
 * ```
 *
 * A file that says something else than a key is as good as none, and one that names no snapshot costs what is not known costs.
 *
 * @module
 */
import { bootSpecJson, type BootSpec, readRegularFile, writeWhole } from "@stillpoint/core"
import { Effect, Option, Stream } from "effect"
import { createHash } from "node:crypto"
import { mkdir, stat } from "node:fs/promises"
import { dirname, join } from "node:path"

/** Where the key of such a machine is kept; `null` where it is not known what makes machines. */
export const placeOfKey = (directory: string, build: string | undefined, spec: BootSpec) =>
  Effect.option(
    Effect.tryPromise(async () => {
      if (build === undefined) return null
      // Which file it is, and that nobody has written to it since its key was found out: then, its content was verified.
      const { ctimeNs, dev, ino, mtimeNs, size } = await stat(spec.kernelPath, { bigint: true })
      const kernel = [dev, ino, size, mtimeNs, ctimeNs].map(String)
      const made = createHash("sha256").update(JSON.stringify([build, bootSpecJson(spec), kernel]))
      return join(directory, "keys", made.digest("hex"))
    })
  ).pipe(Effect.map(Option.getOrNull))

/** Bytes of a file that holds a key. */
const keyFileBytes = 65

/** The key that is kept there; `null` for none. */
export const recallKey = (place: string | null) =>
  Effect.option(
    Effect.tryPromise(async () => {
      if (place === null) return null
      const bytes = await readRegularFile(place, keyFileBytes)
      return /^([0-9a-f]{64})\n$/.exec(new TextDecoder().decode(bytes))?.[1] ?? null
    })
  ).pipe(Effect.map(Option.getOrNull))

/** Keeps a key there. What cannot be kept is found out anew. */
export const rememberKey = (place: string | null, key: string): Effect.Effect<void> => {
  if (place === null) return Effect.void
  const made = Effect.tryPromise(() => mkdir(dirname(place), { recursive: true, mode: 0o700 }))
  const text = Stream.make(new TextEncoder().encode(`${key}\n`))
  return Effect.ignore(Effect.andThen(made, writeWhole(place, text, { mode: 0o600 })))
}
