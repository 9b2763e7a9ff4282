/**
 * The kit's folder of unpacked packages, each under the digest of the package that it came from.
 *
 * ```text
 * packages/<sha256>/package.json     form, name, version, and size and digest of each file
 * packages/<sha256>/<file>           e.g. vmlinux, busybox, virtio_mmio
 * modules/<sha256>.json              what the modules of that package say about themselves
 * substitutes/<sha256>.json          the package taken where the archive no longer holds the locked one
 * .stillpoint-<id>/                  what is being fetched and unpacked, and whose that is; see OwnedDirectory of core
 * ```
 *
 * A folder appears by one rename, whole and flushed. Every file is checked against its digest before it is used, and
 * a folder with a damaged one is dropped, so that its package is fetched again.
 *
 * Files of the public archive are readable by everyone, as far as the umask allows, and writable by their owner alone, so a cache
 * may be shared.
 *
 * @module
 */
import {
  clearOwnedDirectories,
  type DurableFilesShape,
  type FileFault,
  type FileUnfit,
  makeDirectories,
  makeOwnedDirectory,
  type MakeOptions,
  replaceFile
} from "@stillpoint/core"
import { Effect, Option, Schema, type Scope } from "effect"
import { createHash } from "node:crypto"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { type KitError, unusable } from "./KitError.ts"
import { LockedPackage } from "./KitLock.ts"
import type { ModuleInfo } from "./modules/moduleInfo.ts"

/** The folder of the cache, and the access to its files. */
export interface KitCache {
  readonly directory: string
  readonly files: DurableFilesShape
}

/** The form of a package's files in the cache: folders of another form are made again. */
const form = 2

const Contents = Schema.Struct({
  form: Schema.optionalKey(Schema.Natural),
  name: Schema.String,
  version: Schema.String,
  files: Schema.Record(Schema.String, Schema.Struct({ sizeBytes: Schema.Natural, sha256: Schema.String }))
})
const ContentsText = Schema.fromJsonString(Contents)
const ModuleInfos = Schema.Record(
  Schema.String,
  Schema.Struct({
    depends: Schema.Array(Schema.String),
    before: Schema.Array(Schema.String),
    aliases: Schema.Array(Schema.String)
  })
)
const ModuleInfosText = Schema.fromJsonString(ModuleInfos)
const LockedPackageText = Schema.fromJsonString(LockedPackage)

/** The paths of an unpacked package's files, by name. */
export type UnpackedFiles = ReadonlyMap<string, string>

/** Number of files that are read at once: reading a small one is mostly waiting for a thread. */
export const filesAtOnce = 8

const mostDescriptionBytes = 1 << 20

const forEverybody: MakeOptions = { readers: "everybody" }

const bytesOf = (described: object): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(described, undefined, 2)}\n`)

const unpackedAt = (directory: string, sha256: string): string => join(directory, "packages", sha256)

const substituteAt = (directory: string, lockedSha256: string): string =>
  join(directory, "substitutes", `${lockedSha256}.json`)

/** A folder for one package on its way into the cache. It goes when the scope closes, or, should the process be killed, by {@link sweep}. */
export const makeStaging = ({ directory, files }: KitCache): Effect.Effect<string, KitError, Scope.Scope> =>
  makeDirectories(files, directory, forEverybody).pipe(
    Effect.andThen(makeOwnedDirectory(files, directory, "staging")),
    Effect.map((staging) => staging.path()),
    Effect.mapError(unusable)
  )

/** Removes unfinished folders of killed processes, never those of a living one, in any container. */
export const sweep = ({ directory, files }: KitCache): Effect.Effect<void> =>
  Effect.ignore(clearOwnedDirectories(files, directory, "staging"))

const readJson = <A>(files: DurableFilesShape, path: string, schema: Schema.Codec<A, string>) =>
  files.read(path, mostDescriptionBytes).pipe(
    Effect.flatMap((bytes) => Schema.decodeUnknownEffect(schema)(new TextDecoder().decode(bytes))),
    Effect.option
  )

interface Expected {
  readonly sizeBytes: number
  readonly sha256: string
}

/** How files are checked: their content, by its digest, or only their names. */
export type Look = "content" | "names"

/** The files of an unpacked package; none when it is not here, or was damaged and has been dropped. */
export const loadUnpacked = Effect.fn("KitCache.load")(function* (
  cache: KitCache,
  sha256: string,
  onDamage: (path: string) => void,
  look: Look = "content"
) {
  const { directory, files } = cache
  const isAsExpected = (path: string, expected: Expected) =>
    Effect.map(files.digest(path, expected.sizeBytes), (found) => found.sha256 === expected.sha256).pipe(
      Effect.orElseSucceed(() => false)
    )
  const folder = unpackedAt(directory, sha256)
  const described = join(folder, "package.json")
  if ((yield* Effect.option(files.inspect(described))).pipe(Option.getOrNull) === null) {
    return Option.none<UnpackedFiles>()
  }
  const contents = yield* readJson(files, described, ContentsText)
  const expected = Object.entries(Option.isSome(contents) ? contents.value.files : {})
  const found = new Map(expected.map(([name]) => [name, join(folder, name)]))
  const looked = look === "content" ? expected : []
  const isFit = yield* Effect.forEach(looked, ([name, each]) => isAsExpected(join(folder, name), each), {
    concurrency: filesAtOnce
  })
  const unfit = looked[isFit.indexOf(false)]
  const damaged = Option.isNone(contents) ? described : unfit && join(folder, unfit[0])
  const isOfForm = Option.isSome(contents) && contents.value.form === form
  if (damaged === undefined && isOfForm) return Option.some<UnpackedFiles>(found)
  if (damaged !== undefined) onDamage(damaged)
  yield* Effect.scoped(drop(cache, folder))
  return Option.none<UnpackedFiles>()
})

/** Removes a folder with one rename: no reader finds half of it. */
const drop = Effect.fnUntraced(function* (cache: KitCache, folder: string) {
  const staging = yield* makeStaging(cache)
  yield* cache.files.rename(folder, join(staging, "damaged")).pipe(
    // Another one has found the damage, too.
    Effect.catch((fault) => (fault.code === "ENOENT" ? Effect.void : Effect.fail(unusable(fault))))
  )
})

const writeAll = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  folder: string,
  contents: ReadonlyMap<string, Uint8Array>
) {
  yield* files.makeDirectory(folder, forEverybody)
  for (const [name, bytes] of contents) {
    yield* files.write(join(folder, name), bytes, forEverybody)
    yield* files.flush(join(folder, name))
  }
  yield* files.flushDirectory(folder)
})

/** Puts a folder in its place. Where someone else has stored the same package meanwhile, theirs is as good. */
const place = Effect.fnUntraced(function* (files: DurableFilesShape, from: string, to: string) {
  yield* files
    .rename(from, to)
    .pipe(
      Effect.catch((fault) =>
        Effect.flatMap(files.inspect(join(to, "package.json")), (standing) =>
          standing === null ? Effect.fail(fault) : Effect.void
        )
      )
    )
})

/** Keeps the files of a package, which `staging` is the folder of. */
export const storeUnpacked = (
  { directory, files }: KitCache,
  staging: string,
  item: LockedPackage,
  unpacked: ReadonlyMap<string, Uint8Array>
): Effect.Effect<UnpackedFiles, KitError> => {
  const folder = unpackedAt(directory, item.sha256)
  const described: Record<string, { sizeBytes: number; sha256: string }> = {}
  for (const [name, bytes] of unpacked) {
    described[name] = { sizeBytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") }
  }
  const description = bytesOf({ form, name: item.name, version: item.version, files: described })
  const ready = join(staging, "unpacked")
  const store: Effect.Effect<void, FileFault | FileUnfit> = Effect.gen(function* () {
    yield* makeDirectories(files, join(directory, "packages"), forEverybody)
    yield* writeAll(files, ready, new Map([...unpacked, ["package.json", description]]))
    yield* place(files, ready, folder)
    yield* files.flushDirectory(join(directory, "packages"))
  })
  return store.pipe(
    Effect.mapError(unusable),
    Effect.as(new Map([...unpacked.keys()].map((name) => [name, join(folder, name)])))
  )
}

/** The substitute for a locked package that the archive no longer has. */
export const loadSubstitute = (
  { directory, files }: KitCache,
  lockedSha256: string
): Effect.Effect<Option.Option<LockedPackage>> =>
  readJson(files, substituteAt(directory, lockedSha256), LockedPackageText)

/** Remembers the substitute, so that it is found again offline. */
export const storeSubstitute = (
  { directory, files }: KitCache,
  lockedSha256: string,
  item: LockedPackage
): Effect.Effect<void, KitError> =>
  makeDirectories(files, join(directory, "substitutes"), forEverybody).pipe(
    Effect.andThen(replaceFile(files, substituteAt(directory, lockedSha256), bytesOf(item), forEverybody)),
    Effect.mapError(unusable)
  )

const moduleInfosAt = (directory: string, sha256: string): string => join(directory, "modules", `${sha256}.json`)

/** The information in the modules of a package; none if it was not read yet. */
export const loadModuleInfos = (
  { directory, files }: KitCache,
  sha256: string
): Effect.Effect<Option.Option<ReadonlyMap<string, ModuleInfo>>> =>
  Effect.map(readJson(files, moduleInfosAt(directory, sha256), ModuleInfosText), (found) =>
    Option.map(found, (infos) => new Map(Object.entries(infos)))
  )

/** Stores the information in a package's modules. A read-only cache works without. */
export const storeModuleInfos = (
  cache: KitCache,
  sha256: string,
  infos: ReadonlyMap<string, ModuleInfo>
): Effect.Effect<void> => {
  const { directory, files } = cache
  const stored = makeDirectories(files, join(directory, "modules"), forEverybody).pipe(
    Effect.andThen(
      replaceFile(files, moduleInfosAt(directory, sha256), bytesOf(Object.fromEntries(infos)), forEverybody)
    )
  )
  const isKept = (known: ReadonlyMap<string, ModuleInfo>) => isDeepStrictEqual(known, infos)
  return Effect.ignore(
    Effect.flatMap(loadModuleInfos(cache, sha256), (known) => (Option.exists(known, isKept) ? Effect.void : stored))
  )
}
