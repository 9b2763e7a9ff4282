import { createHash } from "node:crypto"
import { stat } from "node:fs/promises"
import { Effect } from "effect"
import { readRegular } from "../files/readRegular.ts"

const known = new Map<string, Promise<string>>()

const digestOf = async (path: string): Promise<string> => {
  const hash = createHash("sha256")
  const scratch = new Uint8Array(1 << 20)
  await readRegular(path, Infinity, {
    followsLinks: true,
    bufferOf: () => scratch,
    take: (bytes) => hash.update(bytes)
  })
  return hash.digest("hex")
}

const digestOnce = async (path: string): Promise<string> => {
  const { mtimeMs, size } = await stat(path)
  const key = `${path}\0${size}\0${mtimeMs}`
  const digest = known.get(key) ?? digestOf(path)
  known.set(key, digest)
  return digest
}

/** SHA-256 of a file, cached while its size and time do not change; `null` if it cannot be read. */
export const fileDigest = (path: string): Effect.Effect<string | null> =>
  Effect.match(
    Effect.tryPromise(() => digestOnce(path)),
    { onFailure: () => null, onSuccess: (digest) => digest }
  )
