/**
 * Writes files of the host completely or not at all.
 *
 * @module
 */
import { constants } from "node:fs"
import * as Fs from "node:fs/promises"
import { dirname } from "node:path"
import { Effect, Stream } from "effect"
import type { FileFault } from "./FileErrors.ts"
import { attempt, hostFiles } from "./hostFiles.ts"

/** Has a file made beside a path, which it takes by one rename; what fails leaves nothing. */
const throughDraft = <A, E, R>(
  path: string,
  make: (draft: string) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | FileFault, R> =>
  Effect.acquireUseRelease(
    Effect.map(hostFiles.uniqueName, (name) => `${path}.${name}.partial`),
    (draft) => Effect.tap(make(draft), () => attempt("write", path, () => Fs.rename(draft, path))),
    // Nothing, if it has become the file.
    (draft) => Effect.promise(() => Fs.rm(draft, { force: true }).catch(() => undefined))
  ).pipe(Effect.tap(() => hostFiles.flushDirectory(dirname(path))))

/** Where the content of a path goes: into a file that takes the place of one, or into what stands there and is no file. */
const destinationOf = async (path: string): Promise<{ readonly path: string; readonly isStream: boolean }> => {
  const found = await Fs.stat(path).catch(() => null)
  if (found === null || found.isDirectory()) return { path, isStream: false }
  if (found.isFile()) return { path: await Fs.realpath(path), isStream: false }
  if (found.isFIFO()) {
    // A pipe that nobody reads is refused: opening it would wait for ever.
    const probe = await Fs.open(path, constants.O_WRONLY | constants.O_NONBLOCK)
    await probe.close()
  } else if (!found.isCharacterDevice()) throw Object.assign(new Error("no file, pipe or terminal"), { code: "EINVAL" })
  return { path, isStream: true }
}

/**
 * Writes a file from a stream, completely or not at all: once all bytes are on the disk, one rename creates or replaces it. If
 * the stream fails, nothing is left. A link to a file stays, and the file is replaced. A pipe or a device, such as `/dev/stdout`,
 * gets the bytes as they come. Returns the number of bytes.
 *
 * @example
 * ```ts
 * import { writeWhole } from "@stillpoint/core"
 * import { Effect, Stream } from "effect"
 *
 * const nowhere = Effect.flip(writeWhole("/dev/null/report", Stream.make(new Uint8Array(8))))
 * console.log((await Effect.runPromise(nowhere)).message) // write of /dev/null/report failed: ENOTDIR: not a directory
 * ```
 */
export const writeWhole = <E, R>(
  path: string,
  content: Stream.Stream<Uint8Array, E, R>,
  { mode = 0o666 }: { readonly mode?: number } = {}
): Effect.Effect<number, E | FileFault, R> => {
  const writing = <A>(work: () => Promise<A>) => attempt("write", path, work)
  const writeTo = (target: string, flags: "w" | "wx") =>
    Effect.acquireUseRelease(
      writing(() => Fs.open(target, flags, mode)),
      (file) =>
        Effect.gen(function* () {
          let written = 0
          yield* Stream.runForEach(content, (bytes) => {
            written += bytes.length
            return writing(() => file.writeFile(bytes))
          })
          if (flags === "wx") yield* writing(() => file.sync())
          return written
        }),
      (file) => Effect.promise(() => file.close())
    )
  return Effect.flatMap(
    writing(() => destinationOf(path)),
    (found) => (found.isStream ? writeTo(found.path, "w") : throughDraft(found.path, (draft) => writeTo(draft, "wx")))
  )
}

/**
 * Puts an existing file at another path too, completely or not at all, and replaces a file there: as a hard link if possible,
 * else as a copy that shares its blocks, else as a plain copy.
 *
 * @example
 * ```ts
 * import { linkWhole } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * const nothing = Effect.flip(linkWhole("/nowhere/image", "/tmp/stillpoint-image"))
 * console.log((await Effect.runPromise(nothing)).message) // link of /tmp/stillpoint-image failed: ENOENT: no such file or directory
 * ```
 */
export const linkWhole = (from: string, path: string): Effect.Effect<void, FileFault> =>
  throughDraft(path, (draft) =>
    attempt("link", path, async () => {
      const isLinked = await Fs.link(from, draft).then(
        () => true,
        () => false
      )
      if (isLinked) return
      await Fs.copyFile(from, draft, constants.COPYFILE_FICLONE)
      const file = await Fs.open(draft, "r")
      await file.sync().finally(() => file.close())
    })
  )
