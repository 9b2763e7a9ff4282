import { spawnSync } from "node:child_process"
import { lstat, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Stream } from "effect"
import * as fc from "fast-check"
import { linkWhole, writeWhole } from "./writeWhole.ts"

const inFolder = async <A>(use: (folder: string) => Promise<A>): Promise<A> => {
  const folder = await mkdtemp(join(tmpdir(), "stillpoint-whole-"))
  return await use(folder).finally(() => rm(folder, { recursive: true, force: true }))
}

describe("a file that is written as its bytes come", () => {
  it("is-there-whole-or-what-was-there-before-is-and-nothing-else", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }),
        fc.option(fc.uint8Array({ maxLength: 40 })),
        fc.boolean(),
        (pieces, before, fails) =>
          inFolder(async (folder) => {
            const path = join(folder, "file")
            if (before !== null) await writeFile(path, before)
            const content = fails
              ? Stream.concat(Stream.fromIterable(pieces), Stream.fail("cut"))
              : Stream.fromIterable(pieces)
            const written = await Effect.runPromise(Effect.result(writeWhole(path, content)))
            const expected = fails ? before : Buffer.concat(pieces)
            if (fails) assert(Result.isFailure(written) && written.failure === "cut")
            else assert.deepStrictEqual(written, Result.succeed(Buffer.concat(pieces).length))
            assert.deepStrictEqual(await readdir(folder), expected === null ? [] : ["file"])
            if (expected !== null) assert.isTrue((await readFile(path)).equals(expected))
          })
      ),
      { numRuns: 60 }
    ))

  it("is-there-at-another-path-and-nothing-else-is", () =>
    inFolder(async (folder) => {
      const [from, path] = [join(folder, "from"), join(folder, "path")]
      await writeFile(from, "one")
      await writeFile(path, "before")
      await Effect.runPromise(linkWhole(from, path))
      // The same file under both names already: a rename of one to the other does nothing.
      await Effect.runPromise(linkWhole(from, path))
      assert.strictEqual(await readFile(path, "utf8"), "one")
      assert.deepStrictEqual(await readdir(folder), ["from", "path"])
      const fault = await Effect.runPromise(Effect.flip(linkWhole(join(folder, "none"), path)))
      assert.deepInclude(fault, { _tag: "FileFault", operation: "link", path, code: "ENOENT" })
      assert.deepStrictEqual(await readdir(folder), ["from", "path"])
    }))

  it("goes-into-a-pipe-or-a-device-and-through-a-link-and-replaces-none-of-them", () =>
    inFolder(async (folder) => {
      const [pipe, file, link, full] = ["pipe", "file", "link", "full"].map((name) => join(folder, name)) as [
        string,
        string,
        string,
        string
      ]
      const write = (path: string) =>
        Effect.runPromise(Effect.result(writeWhole(path, Stream.make(Buffer.from("new")))))
      assert.strictEqual(spawnSync("mkfifo", [pipe]).status, 0)
      const unread = await write(pipe)
      assert(Result.isFailure(unread))
      assert.deepInclude(unread.failure, { _tag: "FileFault", operation: "write", path: pipe, code: "ENXIO" })
      const reader = await open(pipe, "r+")
      assert.deepStrictEqual(await write(pipe), Result.succeed(3))
      assert.strictEqual((await reader.read(Buffer.alloc(8), 0, 8)).bytesRead, 3)
      await reader.close()
      assert.isTrue((await lstat(pipe)).isFIFO())
      await writeFile(file, "before")
      await symlink("file", link)
      assert.deepStrictEqual(await write(link), Result.succeed(3))
      assert.strictEqual(await readFile(file, "utf8"), "new")
      assert.isTrue((await lstat(link)).isSymbolicLink())
      assert.deepStrictEqual(await write("/dev/null"), Result.succeed(3))
      assert.isTrue((await lstat("/dev/null")).isCharacterDevice())
      // A link to the device, so that the device is safe if this fails.
      await symlink("/dev/full", full)
      const noRoom = await write(full)
      assert(Result.isFailure(noRoom))
      assert.deepInclude(noRoom.failure, { _tag: "FileFault", operation: "write", code: "ENOSPC" })
      assert.deepStrictEqual(await readdir(folder), ["file", "full", "link", "pipe"])
    }))

  it.effect("says-where-it-cannot-be-written", () =>
    Effect.gen(function* () {
      const fault = yield* Effect.flip(writeWhole("/dev/null/file", Stream.make(new Uint8Array(1))))
      assert.deepInclude(fault, { _tag: "FileFault", operation: "write", path: "/dev/null/file", code: "ENOTDIR" })
    })
  )
})
