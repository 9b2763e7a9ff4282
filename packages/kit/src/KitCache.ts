/**
 * The kit's folder of unpacked packages, each under the digest of the package that it came from.
 *
 * ```text
 * packages/<sha256>/package.json     name, version, and size and digest of each file; written first
 * packages/<sha256>/<file>           e.g. vmlinux, busybox, virtio_mmio.ko.xz
 * substitutes/<sha256>.json          the package taken where the archive no longer holds the locked one
 * ```
 *
 * A folder appears by one rename, whole. Every file is checked against its digest before it is used, and
 * a folder with a damaged one is dropped, so that its package is fetched again.
 *
 * @module
 */
import { Effect, Option, Schema } from "effect"
import { createHash, randomUUID } from "node:crypto"
import { createReadStream } from "node:fs"
import { access, lstat, mkdir, open, readFile, readdir, rename, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { FileUnusable, KitError } from "./KitError.ts"
import { LockedPackage } from "./KitLock.ts"

const Contents = Schema.Struct({
  name: Schema.String,
  version: Schema.String,
  files: Schema.Record(Schema.String, Schema.Struct({ sizeBytes: Schema.Natural, sha256: Schema.String }))
})
const ContentsText = Schema.fromJsonString(Contents)
const LockedPackageText = Schema.fromJsonString(LockedPackage)

/** The paths of an unpacked package's files, by name. */
export type UnpackedFiles = ReadonlyMap<string, string>

const failing =
  (path: string) =>
  (cause: unknown): KitError =>
    new KitError({ reason: new FileUnusable({ path, detail: cause instanceof Error ? cause.message : String(cause) }) })

const sha256Of = async (path: string): Promise<string> => {
  const hash = createHash("sha256")
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest("hex")
}

/** Writes a file and flushes it to disk. */
const writeDurably = async (path: string, content: string | Uint8Array): Promise<void> => {
  await writeFile(path, content)
  const file = await open(path, "r+")
  await file.sync().finally(() => file.close())
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false
  )

const unpackedAt = (directory: string, sha256: string): string => join(directory, "packages", sha256)

/** Where one download of a package goes: each to a place of its own, as whoever made it removes it. */
export const downloadPath = (directory: string, sha256: string): string =>
  join(directory, "downloads", `${sha256}.deb.partial-${randomUUID()}`)

/** Whoever fetches or unpacks writes all the time, or has given up long before this. */
const abandonedMillis = 24 * 3600_000

/**
 * Removes what processes that were killed have left half done. What nobody has written to for a day is nobody's any more; a
 * process id would say nothing, as others may share the folder from containers or machines of their own.
 */
export const sweep = (directory: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    for (const folder of ["downloads", "packages", "substitutes"]) {
      for (const name of await readdir(join(directory, folder)).catch(() => [])) {
        if (!name.includes(".partial-")) continue
        const path = join(directory, folder, name)
        const written = await lstat(path).catch(() => undefined)
        if (written === undefined || Date.now() - written.mtimeMs < abandonedMillis) continue
        await rm(path, { recursive: true, force: true }).catch(() => undefined)
      }
    }
  })

/** The files of an unpacked package; none when it is not here, or was damaged and has been dropped. */
export const loadUnpacked = Effect.fn("KitCache.load")(function* (
  directory: string,
  sha256: string,
  onDamage: (path: string) => void
) {
  const folder = unpackedAt(directory, sha256)
  const text = yield* Effect.tryPromise(() => readFile(join(folder, "package.json"), "utf8")).pipe(Effect.option)
  if (Option.isNone(text)) return Option.none<UnpackedFiles>()
  const contents = yield* Schema.decodeUnknownEffect(ContentsText)(text.value).pipe(Effect.option)
  const files = new Map<string, string>()
  let damaged = Option.isNone(contents) ? join(folder, "package.json") : undefined
  for (const [name, expected] of Object.entries(Option.isSome(contents) ? contents.value.files : {})) {
    const path = join(folder, name)
    const found = yield* Effect.tryPromise(() => sha256Of(path)).pipe(Effect.option)
    if (Option.isNone(found) || found.value !== expected.sha256) damaged = path
    files.set(name, path)
  }
  if (damaged === undefined) return Option.some<UnpackedFiles>(files)
  onDamage(damaged)
  yield* Effect.tryPromise({ try: () => rm(folder, { recursive: true, force: true }), catch: failing(folder) })
  return Option.none<UnpackedFiles>()
})

/** Keeps the files of a package. */
export const storeUnpacked = (
  directory: string,
  item: LockedPackage,
  files: ReadonlyMap<string, Uint8Array>
): Effect.Effect<UnpackedFiles, KitError> => {
  const folder = unpackedAt(directory, item.sha256)
  return Effect.tryPromise({
    try: async () => {
      const partial = `${folder}.partial-${randomUUID()}`
      const described: Record<string, { sizeBytes: number; sha256: string }> = {}
      try {
        await mkdir(partial, { recursive: true })
        for (const [name, bytes] of files) {
          described[name] = { sizeBytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") }
          await writeDurably(join(partial, name), bytes)
        }
        const contents = { name: item.name, version: item.version, files: described }
        await writeDurably(join(partial, "package.json"), `${JSON.stringify(contents, undefined, 2)}\n`)
        await rename(partial, folder).catch(async (cause: unknown) => {
          // Someone else has stored the same package meanwhile: theirs is as good.
          if (!(await exists(join(folder, "package.json")))) throw cause
        })
      } finally {
        await rm(partial, { recursive: true, force: true })
      }
      return new Map([...files.keys()].map((name) => [name, join(folder, name)]))
    },
    catch: failing(folder)
  })
}

/** What was taken in place of a locked package that the archive no longer holds. */
export const loadSubstitute = (directory: string, lockedSha256: string): Effect.Effect<Option.Option<LockedPackage>> =>
  Effect.tryPromise(() => readFile(join(directory, "substitutes", `${lockedSha256}.json`), "utf8")).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(LockedPackageText)),
    Effect.option
  )

/** Remembers the substitute, so that it is found again offline. */
export const storeSubstitute = (
  directory: string,
  lockedSha256: string,
  item: LockedPackage
): Effect.Effect<void, KitError> => {
  const path = join(directory, "substitutes", `${lockedSha256}.json`)
  return Effect.tryPromise({
    try: async () => {
      const partial = `${path}.partial-${randomUUID()}`
      await mkdir(join(directory, "substitutes"), { recursive: true })
      await writeDurably(partial, `${JSON.stringify(item, undefined, 2)}\n`)
      await rename(partial, path)
    },
    catch: failing(path)
  })
}
