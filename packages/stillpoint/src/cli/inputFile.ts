/**
 * Files of the host that verbs read.
 *
 * @module
 */
import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import { assembleTimeline, codeOf, decodeTimelineStream, FileFault } from "@stillpoint/core"
import { Effect, Stream } from "effect"

/** The bytes of a file as they are read, and its permissions. */
export const hostFile = (path: string) =>
  Effect.gen(function* () {
    const failed = (cause: unknown) => new FileFault({ operation: "read", path, code: codeOf(cause) })
    const found = yield* Effect.tryPromise({ try: () => stat(path), catch: failed })
    // A pipe would be waited for, and a device has no end.
    if (!found.isFile()) return yield* new FileFault({ operation: "read", path, code: "it is no regular file" })
    return { mode: found.mode & 0o777, content: Stream.fromAsyncIterable(createReadStream(path), failed) }
  })

/** The recording in a file, which is read no further than it is one. */
export const recordingIn = Effect.fnUntraced(function* (path: string) {
  const { content } = yield* hostFile(path)
  return assembleTimeline(yield* Stream.runCollect(decodeTimelineStream(content)))
})
