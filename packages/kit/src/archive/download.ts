/**
 * Fetches a file over HTTP and keeps it only if it matches a digest.
 *
 * The bytes go to a partial file beside the target and are hashed on the way; the target appears by one
 * rename, whole and right, or not at all.
 *
 * @module
 */
import { writeWhole } from "@stillpoint/core"
import { Effect, Schedule, Stream } from "effect"
import { createHash } from "node:crypto"
import { mkdir } from "node:fs/promises"
import { dirname } from "node:path"
import { ArchiveUnreachable, DigestMismatch, FileUnusable, KitError } from "../KitError.ts"
import type { Described } from "./ReleaseIndex.ts"

/** Told how far a download has got. */
export type OnProgress = (name: string, doneBytes: number, totalBytes: number) => void

/** The archive counts as gone when nothing arrives for this long. */
const stallMillis = 30_000
/** A download is tried this often in all. */
const attempts = 3

const unreachable = (url: string, status: number | null, detail: string) =>
  new KitError({ reason: new ArchiveUnreachable({ url, status, detail }) })

/** `fetch` only reports "fetch failed"; its cause has the reason. */
const detailOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message || String(error.cause) : error.message
}

/** The bytes behind `url` in pieces. Fails with a `KitError` that names the URL. */
async function* piecesOf(url: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const stall = new AbortController()
  const timer = setTimeout(() => stall.abort(`nothing arrived for ${stallMillis} ms`), stallMillis)
  let doneBytes = 0
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any([signal, stall.signal]),
      // Digests are of the bytes as they lie in the archive: nothing may be unpacked on the way.
      headers: { "user-agent": "stillpoint-guest-kit", "accept-encoding": "identity" }
    })
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel()
      throw unreachable(url, response.status, response.statusText)
    }
    for await (const piece of response.body) {
      timer.refresh()
      doneBytes += piece.length
      yield piece
    }
  } catch (error) {
    if (error instanceof KitError) throw error
    const why = detailOf(stall.signal.aborted ? stall.signal.reason : error)
    throw unreachable(url, null, doneBytes === 0 ? why : `cut after ${doneBytes} bytes: ${why}`)
  } finally {
    clearTimeout(timer)
  }
}

/** Whether a retry can help: not if the archive has answered that there is no such file. */
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
      const pieces: Array<Uint8Array> = []
      let size = 0
      for await (const piece of piecesOf(url, signal)) {
        size += piece.length
        if (size > limitBytes) throw unreachable(url, null, `expected at most ${limitBytes} bytes, found more`)
        pieces.push(piece)
      }
      return Buffer.concat(pieces).toString("utf8")
    },
    catch: (cause) => (cause instanceof KitError ? cause : unreachable(url, null, String(cause)))
  }).pipe(Effect.retry(backoff))

/** The pieces, until more come than `expected` says; it ends in an error unless they are what `expected` describes. */
async function* verified(
  url: string,
  expected: Described,
  onProgress: OnProgress,
  signal: AbortSignal
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256")
  let size = 0
  for await (const piece of piecesOf(url, signal)) {
    size += piece.length
    hash.update(piece)
    onProgress(url, size, expected.sizeBytes)
    // A server that never stops sending does not fill the disk.
    if (size > expected.sizeBytes) break
    yield piece
  }
  const found = hash.digest("hex")
  if (size !== expected.sizeBytes || found !== expected.sha256) {
    throw new KitError({
      reason: new DigestMismatch({
        source: url,
        expectedSha256: expected.sha256,
        foundSha256: found,
        expectedBytes: expected.sizeBytes,
        foundBytes: size
      })
    })
  }
}

const fetchOnce = (url: string, expected: Described, target: string, onProgress: OnProgress) =>
  Effect.gen(function* () {
    const unusable = (detail: string) => new KitError({ reason: new FileUnusable({ path: target, detail }) })
    yield* Effect.tryPromise({
      try: () => mkdir(dirname(target), { recursive: true }),
      catch: (cause) => unusable(String(cause))
    })
    const pieces = Stream.unwrap(
      Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => new AbortController()),
          (stop) => Effect.sync(() => stop.abort())
        ),
        ({ signal }) =>
          Stream.fromAsyncIterable(verified(url, expected, onProgress, signal), (cause) =>
            cause instanceof KitError ? cause : unusable(String(cause))
          )
      )
    )
    yield* writeWhole(target, pieces).pipe(
      Effect.catchTag("FileFault", (fault) => Effect.fail(unusable(fault.message)))
    )
  })

/**
 * Fetches `url` to `target`. A download that is truncated or differs from `expected` is refused and fetched again,
 * three times in all; the last refusal is the error.
 */
export const download = (
  url: string,
  expected: Described,
  target: string,
  onProgress: OnProgress
): Effect.Effect<void, KitError> =>
  fetchOnce(url, expected, target, onProgress).pipe(
    Effect.retry(backoff),
    Effect.withSpan("GuestKit.download", { attributes: { url } })
  )
