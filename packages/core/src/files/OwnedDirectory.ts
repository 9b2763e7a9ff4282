/**
 * Directories that a process owns until it gives them away: locked by their maker, marked inside, and cleared by any process once
 * their owner is gone.
 *
 * ```text
 * .stillpoint-<id> or contents-<id>
 * ├── owner.lock   empty; held while the owner lives (see holdFile)
 * ├── owner.json   the marker: kind and id, which the name repeats, the directory's inode, and who made it, for people
 * └── …            what it was made for
 * ```
 *
 * A name alone proves nothing. A directory is cleared only if it has a marker of ours that agrees with its name and with the
 * directory itself, and a lock that no process holds. A copy, such as one that `cp -a` is making, has our marker but is not ours.
 * The lock is taken before the marker is written, so a directory in the making is never mistaken for a leftover.
 *
 * No file system creates a directory together with its contents, so a process that is killed on the way leaves one without a
 * marker. Such a name is cleared too, in its two possible forms, without guessing at an owner. An empty directory is removed by
 * `rmdir`, which fails if it contains anything; a living owner finds its directory gone when it takes its lock, and makes
 * another. A directory with a lock and at most the beginning of a marker is removed under that lock, which a living owner holds,
 * or finds taken and then makes another. In both cases the file system decides, between threads, processes, and containers on one
 * volume alike. Making the directory elsewhere and renaming it here would only move the problem there.
 *
 * A path proves nothing either: a process that may rename in the parent folder can put a link or another folder there. Only the
 * very directory that was made, or was inspected and found to be marked, is removed, by its device and inode; anything else at
 * the path stays.
 *
 * @module
 */
import { basename, join } from "node:path"
import { Effect, Exit, Result, Schema, Scope } from "effect"
import type { DurableFilesShape, FileStatus } from "./DurableFilesShape.ts"
import { FileFault, FileUnfit } from "./FileErrors.ts"
import { statusInWords } from "./fileKind.ts"
import { Owner, OwnerRecord } from "./Owner.ts"

/** The purpose of a directory: to be moved elsewhere and vanish, or to hold published contents. */
export type OwnedKind = "staging" | "contents"

const markerName = "owner.json"
const lockName = "owner.lock"

const Marker = Schema.fromJsonString(
  Schema.Struct({
    format: Schema.Literal("stillpoint-owner"),
    version: Schema.Literal(1),
    kind: Schema.Literals(["staging", "contents"]),
    id: Schema.String,
    /** The directory's own; markers of earlier builds do not say. */
    inode: Schema.optionalKey(Schema.String),
    owner: OwnerRecord
  })
)

const mostMarkerBytes = 4096

/** The beginning of a marker's text. */
const beginOfMarker = (kind: OwnedKind, id: string): string =>
  `{"format":"stillpoint-owner","version":1,"kind":"${kind}","id":"${id}",`

const prefixes: Readonly<Record<OwnedKind, string>> = { staging: ".stillpoint-", contents: "contents-" }

const nameOf = (kind: OwnedKind, id: string): string => `${prefixes[kind]}${id}`

/** Kind and id from the name of a directory; `null` for a name that none of them has. */
const parseName = (name: string): { readonly kind: OwnedKind; readonly id: string } | null => {
  for (const kind of ["staging", "contents"] as const) {
    const id = name.slice(prefixes[kind].length)
    if (name.startsWith(prefixes[kind]) && /^[0-9a-f]{32}$/.test(id)) return { kind, id }
  }
  return null
}

/** A directory of this owner's. */
export interface OwnedDirectory {
  readonly path: () => string
  /** The user that it belongs to: ourselves, as the file system there sees us. */
  readonly userId: number
  /** Fails if the path holds anything else, including a link to the directory. */
  readonly stands: Effect.Effect<void, FileFault | FileUnfit>
  /** Says where it has been moved to. */
  readonly moved: (path: string) => void
  /** Gives it away: it stays when the scope closes, and its lock is released. */
  readonly give: Effect.Effect<void>
  /** Removes it now, and not when the scope closes. What cannot be removed is left for others to clear. */
  readonly discard: Effect.Effect<void>
}

/** Whether a directory that was found is the one that was made, whatever its path. */
const isSame = (found: FileStatus | null, made: FileStatus): boolean =>
  found?.kind === "directory" && found.device === made.device && found.inode === made.inode

/**
 * Removes a directory, with its marker second to last, so that an interrupted removal is still recognised. Returns `false` if
 * something else is at its path now, which is left untouched.
 */
const discard = Effect.fnUntraced(function* (files: DurableFilesShape, path: string, made: FileStatus) {
  const isThere = Effect.map(files.inspect(path), (found) => isSame(found, made))
  if ((yield* files.inspect(path)) === null) return true
  if (!(yield* isThere)) return false
  const names = yield* files.list(path)
  for (const name of [...names.filter((name) => name !== markerName && name !== lockName), markerName, lockName]) {
    if (!(yield* isThere)) return false
    yield* files.removeTree(join(path, name))
  }
  if (yield* files.removeEmptyDirectory(path)) return true
  // Something has been made in it meanwhile.
  if (!(yield* isThere)) return false
  yield* files.removeTree(path)
  return true
})

/** Maximum number of names to try when other processes clear the empty directory before its lock is taken. */
const mostAttempts = 8

/**
 * Makes a directory in `parent`, which exists. When the scope closes it is removed, unless it was given away.
 *
 * No other process touches its contents while this process lives.
 */
export const makeOwnedDirectory = (
  files: DurableFilesShape,
  parent: string,
  kind: OwnedKind
): Effect.Effect<OwnedDirectory, FileFault | FileUnfit, Scope.Scope> => {
  const attempt = Effect.gen(function* () {
    const id = yield* files.uniqueName
    let path = join(parent, nameOf(kind, id))
    let isOurs = true
    let made: FileStatus | null = null
    const holding = yield* Scope.make()
    const give = Effect.suspend(() => {
      isOurs = false
      return Scope.close(holding, Exit.void)
    })
    const removed = Effect.suspend(() =>
      made === null ? files.removeEmptyDirectory(path) : discard(files, path, made)
    )
    const remove = Effect.suspend(() => (isOurs ? Effect.andThen(Effect.ignore(removed), give) : Effect.void))
    yield* Effect.addFinalizer(() => remove)
    if (!(yield* files.makeDirectory(path))) {
      isOurs = false
      return yield* new FileFault({ operation: "makeDirectory", path, code: "EEXIST" })
    }
    const own = yield* files.inspect(path)
    if (own === null) return yield* new FileFault({ operation: "makeDirectory", path, code: "ENOENT" })
    made = own
    const stands = Effect.suspend(() =>
      Effect.flatMap(files.inspect(path), (found) => {
        if (isSame(found, own)) return Effect.void
        const what =
          found === null ? "nothing" : found.kind === "directory" ? "another directory" : statusInWords[found.kind]
        return new FileUnfit({ path, expected: "the directory that was made there", found: what })
      })
    )
    const outcome = yield* files.hold(join(path, lockName), { create: true }).pipe(Scope.provide(holding))
    if (outcome !== "held") return yield* new FileFault({ operation: "hold", path, code: "ENOENT" })
    yield* stands
    const { inode } = own
    const marker = yield* Effect.orDie(
      Schema.encodeEffect(Marker)({ format: "stillpoint-owner", version: 1, kind, id, inode, owner: yield* Owner })
    )
    yield* files.write(join(path, markerName), new TextEncoder().encode(`${marker}\n`))
    yield* files.flush(join(path, markerName))
    return {
      path: () => path,
      userId: own.userId,
      stands,
      moved: (to) => void (path = to),
      give,
      discard: remove
    } satisfies OwnedDirectory
  })
  return Effect.uninterruptible(
    // A process that clears leftovers may remove it while it is empty; then another one is made.
    Effect.retry(attempt, {
      times: mostAttempts,
      while: (fault) => fault._tag === "FileFault" && fault.code === "ENOENT"
    })
  )
}

/** Ensures that no process clears a directory, however this process ends; it belongs to another owner from now on. */
export const keepOwnedDirectory = (files: DurableFilesShape, path: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    // The target of a link there has an owner already.
    if ((yield* Effect.orElseSucceed(files.inspect(path), () => null))?.kind !== "directory") return
    // Held for as long as the process lives, should the marker not go.
    const forever = yield* Scope.make()
    yield* Effect.ignore(files.hold(join(path, lockName), { create: false }).pipe(Scope.provide(forever)))
    yield* Effect.ignore(files.removeTree(join(path, markerName)))
  })

/**
 * Whether a directory is one of these: by its name, and by the marker in it or nothing but a lock. This includes one that is
 * being removed at the moment.
 */
export const isOwnedDirectory = (files: DurableFilesShape, path: string): Effect.Effect<boolean, FileFault> => {
  const named = parseName(basename(path))
  if (named === null) return Effect.succeed(false)
  return holdsMarker(files, path, named).pipe(
    Effect.catch((fault) => (fault.code === "ENOENT" ? Effect.succeed(true) : Effect.fail(fault)))
  )
}

const holdsMarker = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  path: string,
  named: { readonly kind: OwnedKind; readonly id: string }
) {
  const found = yield* files.inspect(path)
  // It is gone: it was being removed.
  if (found === null) return true
  if (found.kind !== "directory") return false
  const names = yield* files.list(path)
  const isEmpty = names.every((name) => name === lockName || name === markerName)
  if (!names.includes(markerName)) return isEmpty
  const read = yield* Effect.result(files.read(join(path, markerName), mostMarkerBytes))
  if (Result.isFailure(read)) return read.failure._tag === "FileFault" ? yield* read.failure : false
  const text = new TextDecoder().decode(read.success)
  const marker = yield* Effect.result(Schema.decodeUnknownEffect(Marker)(text))
  if (Result.isSuccess(marker)) return marker.success.kind === named.kind && marker.success.id === named.id
  // Power was lost while it was written, and before anything else was.
  const begin = beginOfMarker(named.kind, named.id)
  return isEmpty && (begin.startsWith(text) || text.startsWith(begin))
})

/** Whether a directory with a marker of ours is a copy of the one that the marker was made for. */
const isCopy = Effect.fnUntraced(function* (files: DurableFilesShape, path: string) {
  const read = yield* Effect.result(files.read(join(path, markerName), mostMarkerBytes))
  if (Result.isFailure(read)) return false
  const marker = yield* Effect.result(Schema.decodeUnknownEffect(Marker)(new TextDecoder().decode(read.success)))
  if (Result.isFailure(marker) || marker.success.inode === undefined) return false
  return marker.success.inode !== (yield* files.inspect(path))?.inode
})

/** Something that was to be cleared and could not be. */
export interface ClearingFault {
  readonly path: string
  readonly fault: FileFault | FileUnfit
}

/** The result of clearing. */
export interface Cleared {
  readonly removed: ReadonlyArray<string>
  /** Directories that could not be removed, with the reasons; all others were cleared. */
  readonly failed: ReadonlyArray<ClearingFault>
}

/** The caller's knowledge about a directory: it is needed, it may be cleared wherever it was made, or unknown. */
export type Claimed = "needed" | "superseded" | "unknown"

const clearOne = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  path: string,
  claimed: Effect.Effect<Claimed, FileFault | FileUnfit>
) {
  const found = yield* files.inspect(path)
  if (found === null || !(yield* isOwnedDirectory(files, path))) return false
  // The lock exists before the marker and is removed after it: a marker without a lock is left from a power failure and has no
  // owner.
  const isMarked = (yield* files.list(path)).includes(markerName)
  const outcome = yield* files.hold(join(path, lockName), { create: false })
  if (outcome === "absent" && !isMarked) return yield* files.removeEmptyDirectory(path)
  // Checked under the lock: from now on no process can need it again.
  if (outcome === "taken") return false
  const known = yield* claimed
  if (known === "needed" || (known === "unknown" && (yield* isCopy(files, path)))) return false
  return yield* discard(files, path, found)
})

/**
 * Removes the directories of one kind in `parent` whose owners are gone, except those that are `claimed` as needed. Any number may do
 * so at once.
 */
export const clearOwnedDirectories = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  parent: string,
  kind: OwnedKind,
  claimed: (path: string) => Effect.Effect<Claimed, FileFault | FileUnfit> = () => Effect.succeed("unknown")
) {
  const removed: Array<string> = []
  const failed: Array<ClearingFault> = []
  for (const name of yield* files.list(parent)) {
    if (parseName(name)?.kind !== kind) continue
    const path = join(parent, name)
    const cleared = yield* Effect.result(Effect.scoped(clearOne(files, path, claimed(path))))
    if (Result.isSuccess(cleared)) {
      if (cleared.success) removed.push(path)
    } else if ((yield* Effect.orElseSucceed(files.inspect(path), () => ({}))) !== null) {
      // Not what another one has cleared meanwhile.
      failed.push({ path, fault: cleared.failure })
    }
  }
  if (removed.length > 0) yield* Effect.ignore(files.flushDirectory(parent))
  return { removed, failed } satisfies Cleared
})
