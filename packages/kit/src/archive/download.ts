/**
 * Fetches a file over HTTP and keeps it only if it is the one that a digest names.
 *
 * The bytes go to a partial file beside the target and are hashed on the way; the target appears by one
 * rename, whole and right, or not at all.
 *
 * @module
 */
import { Effect, Schedule } from "effect"
import { createHash } from "node:crypto"
import { createWriteStream } from "node:fs"
import { mkdir, open, rename, rm } from "node:fs/promises"
import * as http from "node:http"
import * as https from "node:https"
import { dirname } from "node:path"
import type { IncomingMessage } from "node:http"
import { Transform } from "node:stream"
import { pipeline } from "node:stream/promises"
import { ArchiveUnreachable, DigestMismatch, FileUnusable, KitError } from "../KitError.ts"
import type { Described } from "./ReleaseIndex.ts"

/** Told how far a download has got. */
export type OnProgress = (name: string, doneBytes: number, totalBytes: number) => void

/** The archive counts as gone when nothing arrives for this long. */
const stallMillis = 30_000
/** A download is tried this often in all. */
const attempts = 3
const redirectsMax = 5

const unreachable = (url: string, status: number | null, detail: string) =>
  new KitError({ reason: new ArchiveUnreachable({ url, status, detail }) })

/** Opens `url` and follows redirections. */
const request = (url: string, signal: AbortSignal, redirects = redirectsMax): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const client = url.startsWith("https:") ? https : http
    const outgoing = client.get(url, { signal, headers: { "user-agent": "stillpoint-guest-kit" } }, (response) => {
      const status = response.statusCode ?? 0
      const location = response.headers.location
      if (status >= 300 && status < 400 && location !== undefined && redirects > 0) {
        response.resume()
        resolve(request(new URL(location, url).href, signal, redirects - 1))
      } else if (status === 200) {
        resolve(response)
      } else {
        response.resume()
        reject(unreachable(url, status, response.statusMessage ?? ""))
      }
    })
    outgoing.setTimeout(stallMillis, () => outgoing.destroy(new Error(`nothing arrived for ${stallMillis} ms`)))
    outgoing.on("error", (error) => reject(unreachable(url, null, error.message)))
  })

/** Whether trying again can help: not when the archive has said that there is no such file. */
const isTransient = (error: KitError): boolean =>
  error.reason._tag === "DigestMismatch" ||
  (error.reason._tag === "ArchiveUnreachable" && (error.reason.status === null || error.reason.status >= 500))

const backoff = Schedule.exponential("200 millis").pipe(
  Schedule.upTo({ times: attempts - 1 }),
  Schedule.setInputType<KitError>(),
  Schedule.while(({ input }) => isTransient(input))
)

/** Reads a small file whole. Longer than `limitBytes`: refused. */
export const fetchText = (url: string, limitBytes: number): Effect.Effect<string, KitError> =>
  Effect.tryPromise({
    try: async (signal) => {
      const chunks: Array<Buffer> = []
      let size = 0
      for await (const chunk of await request(url, signal)) {
        size += (chunk as Buffer).length
        if (size > limitBytes) throw unreachable(url, null, `expected at most ${limitBytes} bytes, found more`)
        chunks.push(chunk as Buffer)
      }
      return Buffer.concat(chunks).toString("utf8")
    },
    catch: (cause) => (cause instanceof KitError ? cause : unreachable(url, null, String(cause)))
  }).pipe(Effect.retry(backoff))

const fetchOnce = async (
  url: string,
  expected: Described,
  target: string,
  onProgress: OnProgress,
  signal: AbortSignal
): Promise<void> => {
  const partial = `${target}.partial-${process.pid}-${Math.random().toString(36).slice(2)}`
  const hash = createHash("sha256")
  let size = 0
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length
      hash.update(chunk)
      onProgress(url, size, expected.sizeBytes)
      // A server that never stops sending does not fill the disk.
      if (size > expected.sizeBytes) done(new Error("longer than expected"))
      else done(null, chunk)
    }
  })
  const mismatch = () =>
    new KitError({
      reason: new DigestMismatch({
        source: url,
        expectedSha256: expected.sha256,
        foundSha256: hash.digest("hex"),
        expectedBytes: expected.sizeBytes,
        foundBytes: size
      })
    })
  try {
    await mkdir(dirname(target), { recursive: true })
    const response = await request(url, signal)
    try {
      await pipeline(response, check, createWriteStream(partial), { signal })
    } catch (cause) {
      if (size > expected.sizeBytes) throw mismatch()
      const code = (cause as NodeJS.ErrnoException).code
      const syscall = (cause as NodeJS.ErrnoException).syscall
      if (code !== undefined && (syscall === "write" || syscall === "open")) {
        throw new KitError({ reason: new FileUnusable({ path: partial, detail: String(cause) }) })
      }
      throw unreachable(url, null, `cut after ${size} of ${expected.sizeBytes} bytes: ${cause}`)
    }
    if (size !== expected.sizeBytes) throw mismatch()
    const found = hash.copy().digest("hex")
    if (found !== expected.sha256) throw mismatch()
    const file = await open(partial, "r+")
    await file.sync().finally(() => file.close())
    await rename(partial, target)
  } finally {
    await rm(partial, { force: true })
  }
}

/**
 * Fetches `url` to `target`. What is cut or differs from `expected` is refused and fetched again, three
 * times in all; the last refusal is the error.
 */
export const download = (
  url: string,
  expected: Described,
  target: string,
  onProgress: OnProgress
): Effect.Effect<void, KitError> =>
  Effect.tryPromise({
    try: (signal) => fetchOnce(url, expected, target, onProgress, signal),
    catch: (cause) =>
      cause instanceof KitError
        ? cause
        : new KitError({ reason: new FileUnusable({ path: target, detail: String(cause) }) })
  }).pipe(Effect.retry(backoff), Effect.withSpan("GuestKit.download", { attributes: { url } }))
