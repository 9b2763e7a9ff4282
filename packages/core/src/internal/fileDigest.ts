import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import { Effect } from "effect"

const known = new Map<string, Promise<string>>()

const digestOf = async (path: string): Promise<string> => {
  const hash = createHash("sha256")
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Uint8Array)
  return hash.digest("hex")
}

const digestOnce = async (path: string): Promise<string> => {
  const { mtimeMs, size } = await stat(path)
  const key = `${path}\0${size}\0${mtimeMs}`
  const digest = known.get(key) ?? digestOf(path)
  known.set(key, digest)
  return digest
}

/** SHA-256 of a file, remembered while its size and time stand; `null` for one that cannot be read. */
export const fileDigest = (path: string): Effect.Effect<string | null> =>
  Effect.match(
    Effect.tryPromise(() => digestOnce(path)),
    { onFailure: () => null, onSuccess: (digest) => digest }
  )
