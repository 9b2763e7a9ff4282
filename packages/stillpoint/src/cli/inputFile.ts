/**
 * Files of the host that verbs read.
 *
 * @module
 */
import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import { Effect, Schema, Stream } from "effect"
import { codeOf } from "../archive/ArchiveErrors.ts"

/** A file on the host could not be read. */
export class InputNotRead extends Schema.TaggedError<InputNotRead>()("InputNotRead", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `${this.path} could not be read: ${this.code}`
  }
}

/** The bytes of a file as they are read, and its permissions. */
export const hostFile = (path: string) =>
  Effect.gen(function* () {
    const failed = (cause: unknown) => new InputNotRead({ path, code: codeOf(cause) })
    const found = yield* Effect.tryPromise({ try: () => stat(path), catch: failed })
    // A pipe would be waited for, and a device has no end.
    if (!found.isFile()) return yield* new InputNotRead({ path, code: "it is no regular file" })
    return { mode: found.mode & 0o777, content: Stream.fromAsyncIterable(createReadStream(path), failed) }
  })
