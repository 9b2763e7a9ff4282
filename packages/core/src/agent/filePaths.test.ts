import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { GuestFileFailure, GuestFiles } from "../guestFiles/GuestFiles.ts"
import { toldAgent } from "../testing/toldAgent.ts"

const drained = (stream: Stream.Stream<unknown, GuestFileFailure>) => Stream.runDrain(stream)

/** Every operation, on one path; of two, on both. */
const operations: Readonly<
  Record<
    keyof Omit<GuestFiles, "watch$">,
    (files: GuestFiles, path: string) => Effect.Effect<unknown, GuestFileFailure>
  >
> = {
  stream: (files, path) => drained(files.stream(path)),
  read: (files, path) => files.read(path),
  write: (files, path) => files.write(path, "content"),
  list: (files, path) => files.list(path),
  stat: (files, path) => files.stat(path),
  mkdir: (files, path) => files.mkdir(path),
  remove: (files, path) => files.remove(path),
  rename: (files, path) => files.rename("/from", path),
  chmod: (files, path) => files.chmod(path, 0o600),
  pack: (files, path) => drained(files.pack(path)),
  unpack: (files, path) => files.unpack(path, new Uint8Array()),
  watch: (files, path) => drained(files.watch(path))
}

describe("a path of an operation on files", () => {
  for (const [name, operation] of Object.entries(operations)) {
    it.effect(`of-${name}-that-is-none-is-told-what-is-wrong-with-it`, () =>
      Effect.gen(function* () {
        const said = (path: unknown) =>
          Effect.map(Effect.flip(operation(toldAgent().files, path as string)), ({ message }) => message)
        assert.strictEqual(yield* said(""), 'files: expected a path, found ""; the root is "/"')
        assert.strictEqual(yield* said("a\0b"), 'files: expected a path without zero bytes, found "a\\u0000b"')
        for (const half of ["/tmp/\ud800", "/tmp/\udc00a", "\udc00\ud800"]) {
          assert.strictEqual(
            yield* said(half),
            `files: expected a path of whole characters, found ${JSON.stringify(half)}`
          )
        }
        assert.match(yield* said(5), /^files: expected a path, found 5/)
      })
    )
  }
})
