/**
 * Files of the host that verbs read.
 *
 * @module
 */
import { assembleTimeline, codeOf, decodeTimelineStream, FileFault, openRegular } from "@stillpoint/core"
import { Effect, Stream } from "effect"

/** The bytes of a file as they are read, until the scope closes, its permissions and its size. */
export const hostFile = (path: string) =>
  Effect.gen(function* () {
    const failed = (cause: unknown) => new FileFault({ operation: "read", path, code: codeOf(cause) })
    const refuse = () => new FileFault({ operation: "read", path, code: "it is not a regular file" })
    const { found, handle } = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () => openRegular(path, { followsLinks: true, refuse }),
        catch: (cause) => (cause instanceof FileFault ? cause : failed(cause))
      }),
      ({ handle }) => Effect.promise(() => handle.close())
    )
    return {
      mode: found.mode & 0o777,
      sizeBytes: found.size,
      content: Stream.fromAsyncIterable(handle.createReadStream({ autoClose: false }), failed)
    }
  })

/** The recording in a file, which is read no further than it is one. */
export const recordingIn = Effect.fnUntraced(function* (path: string) {
  const { content } = yield* hostFile(path)
  return assembleTimeline(yield* Stream.runCollect(decodeTimelineStream(content)))
}, Effect.scoped)
