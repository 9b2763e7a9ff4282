/**
 * Snapshots with names, in the user's data folder.
 *
 * ```text
 * <home>/                STILLPOINT_HOME, else stillpoint/ in the folder for the user's data (XDG_DATA_HOME)
 *   names.json           which names there are; replaced whole (see nameRecord)
 *   store.lock           held by who changes names or removes snapshots
 *   snapshots/
 *     <digest>/          a snapshot's directory, called by the digest of its manifest
 *     new-<id>/          a snapshot that is being made, and
 *     new-<id>.lock      the lock of who makes it: where nobody holds it, both are cleared
 *     gone-<id>/         a snapshot that is being removed; cleared by whoever finds it
 * ```
 *
 * @module
 */
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { Clock, Context, Effect, Layer, Result, type Scope } from "effect"
import { DurableFiles, type DurableFilesShape } from "../files/DurableFiles.ts"
import { makeDirectories } from "../files/makeDirectories.ts"
import { didYouMean } from "../nearest.ts"
import type { Manifest } from "../snapshot/Manifest.ts"
import { restoreSnapshot } from "../snapshot/restoreSnapshot.ts"
import { type OpenOptions, type Snapshot, SnapshotStore, type SnapshotStoreShape } from "../snapshot/SnapshotStore.ts"
import type { Vmm } from "../Vmm.ts"
import {
  DigestAmbiguous,
  NameMoved,
  NameTaken,
  ParentElsewhere,
  SnapshotNeeded,
  SnapshotsError,
  type SnapshotsReason,
  SnapshotUnknown,
  StoreBusy
} from "./NameErrors.ts"
import { clearDrafts, type Names, readNames, writeNames } from "./nameRecord.ts"
import { parseName, parseReference, printName, type Reference } from "./Reference.ts"

/** How a name is given. */
export interface TagOptions {
  /** Take it from the snapshot that has it; without it, a name that is taken is refused. */
  readonly replace?: boolean
  /** The digest of the snapshot that must have it now, `null` for none: who comes second is told `NameMoved`. */
  readonly expecting?: string | null
}

/** A snapshot of the store. */
export interface StoredSnapshot {
  /** Digest of its manifest: what it is called by, whatever its names. */
  readonly digest: string
  /** Its names, sorted; a tag `latest` is left out. */
  readonly names: ReadonlyArray<string>
  /** When the first of its names was given, milliseconds since 1970; `null` for one without. */
  readonly namedAtMillis: number | null
  readonly directory: string
  /** What it says of itself; `null` if it cannot be opened. */
  readonly manifest: Manifest | null
  /** Why it cannot be opened, or is not ready; `null` if it can. */
  readonly problem: string | null
  /** Bytes that its own files take on the disk. */
  readonly storedBytes: number
  /** Digest of the snapshot that it was taken against; `null` for one that holds all of memory. */
  readonly parent: string | null
  /** Digests of the snapshots that were taken against it. */
  readonly children: ReadonlyArray<string>
}

/** What a store takes. */
export interface StoreUsage {
  readonly home: string
  readonly snapshots: number
  readonly names: number
  /** Bytes of all snapshots' files on the disk, each counted once. */
  readonly storedBytes: number
}

/** What a removal did. */
export interface Removed {
  readonly digest: string
  /** The names that went. */
  readonly names: ReadonlyArray<string>
  /** Whether the snapshot went, too: one that has other names stays. */
  readonly isGone: boolean
}

/** Operations of {@link Snapshots}. */
export interface SnapshotsShape {
  /** The folder of the store. It need not exist before something is kept in it. */
  readonly home: string
  /**
   * Where a snapshot to be kept is published: give it to a pipeline as its target. What stands there when the scope closes, or the
   * process ends, is cleared unless it was kept.
   */
  readonly draft: Effect.Effect<string, SnapshotsError, Scope.Scope>
  /**
   * Takes a snapshot that was published to a {@link SnapshotsShape.draft} into the store, under a name if one is given. The name is
   * given last, in one step: after a kill at any moment it is the old snapshot's or the new one's.
   */
  readonly keep: (
    directory: string,
    name?: string,
    options?: TagOptions
  ) => Effect.Effect<StoredSnapshot, SnapshotsError>
  /** All snapshots, by name. One that cannot be opened is among them and says why. */
  readonly list: Effect.Effect<ReadonlyArray<StoredSnapshot>, SnapshotsError>
  /** The snapshot that a reference means, opened: ready to be restored from its `directory`. */
  readonly get: (reference: string, options?: OpenOptions) => Effect.Effect<Snapshot, SnapshotsError>
  /** What is known of the snapshot that a reference means. */
  readonly inspect: (reference: string) => Effect.Effect<StoredSnapshot, SnapshotsError>
  /** Gives the snapshot one more name. Of many who give one name at once, one does and the others are told. */
  readonly tag: (reference: string, name: string, options?: TagOptions) => Effect.Effect<StoredSnapshot, SnapshotsError>
  /** Takes a name away. The snapshot stays. */
  readonly untag: (name: string) => Effect.Effect<void, SnapshotsError>
  /**
   * Removes what a reference means: a name, and the snapshot if it has no other; a digest with all of its names. A snapshot that
   * deltas need is refused with `SnapshotNeeded`, which says who needs it.
   */
  readonly remove: (reference: string) => Effect.Effect<Removed, SnapshotsError>
  /** Checks every byte of a snapshot: all files are read, and a machine is restored of it, executed nothing, and its memory read. */
  readonly verify: (reference: string) => Effect.Effect<StoredSnapshot, SnapshotsError, Vmm>
  readonly usage: Effect.Effect<StoreUsage, SnapshotsError>
}

/**
 * The folder of the user's store.
 *
 * @example
 * ```ts
 * import { snapshotsHome } from "@stillpoint/core"
 *
 * console.log(snapshotsHome({ XDG_DATA_HOME: "/data" })) // /data/stillpoint
 * console.log(snapshotsHome({ STILLPOINT_HOME: "/srv/snapshots", XDG_DATA_HOME: "/data" })) // /srv/snapshots
 * ```
 */
export const snapshotsHome = (environment: Readonly<Record<string, string | undefined>> = process.env): string => {
  const home = environment["STILLPOINT_HOME"]
  if (home !== undefined && home !== "") return resolve(home)
  const data = environment["XDG_DATA_HOME"]
  // A relative path there is to be ignored, as its specification says.
  return join(data !== undefined && data.startsWith("/") ? data : join(homedir(), ".local/share"), "stillpoint")
}

/** How long another one's few file operations are waited for. */
const longestWaitMillis = 30_000
const lookAgainAfter = "2 millis"

const draftForm = /^new-[0-9a-f]{32}$/
const goneForm = /^gone-[0-9a-f]{32}$/
const digestForm = /^[0-9a-f]{64}$/

const failed = <A, R>(effect: Effect.Effect<A, SnapshotsReason | SnapshotsError, R>) =>
  Effect.mapError(effect, (reason) => (reason._tag === "SnapshotsError" ? reason : new SnapshotsError({ reason })))

const fullName = ({ name, tag }: Extract<Reference, { _tag: "Named" }>): string => `${name}:${tag}`

const shortName = (full: string): string => {
  const [name = "", tag = ""] = full.split(":")
  return printName(name, tag)
}

const isSame = (one: Names, other: Names): boolean =>
  one.size === other.size && [...one].every(([name, { digest }]) => other.get(name)?.digest === digest)

const make = (files: DurableFilesShape, store: SnapshotStoreShape, home: string): SnapshotsShape => {
  const folder = join(home, "snapshots")
  const directoryOf = (digest: string): string => join(folder, digest)

  /** Makes the store if it is not there. What a store is made of is its owner's alone. */
  const made = Effect.suspend(() => makeDirectories(files, folder))

  /** Does something that nobody else may do to the store at the same time. */
  const holding = <A, E>(work: Effect.Effect<A, E>) =>
    Effect.scoped(
      Effect.gen(function* () {
        yield* made
        const path = join(home, "store.lock")
        const begun = yield* Clock.currentTimeMillis
        while ((yield* files.hold(path, { create: true })) !== "held") {
          const waitedMillis = (yield* Clock.currentTimeMillis) - begun
          if (waitedMillis > longestWaitMillis) return yield* new StoreBusy({ path: home, waitedMillis })
          yield* Effect.sleep(lookAgainAfter)
        }
        yield* clearDrafts(files, home)
        return yield* Effect.uninterruptible(work)
      })
    )

  /** Names in the folder of snapshots; none where there is no store. */
  const standing = Effect.gen(function* () {
    if ((yield* files.inspect(folder))?.kind !== "directory") return []
    return yield* files.list(folder)
  })
  const digests = Effect.map(standing, (names) => names.filter((name) => digestForm.test(name)))

  const read = Effect.suspend(() => readNames(files, home))

  const namesOf = (names: Names, digest: string): ReadonlyArray<string> =>
    [...names].filter(([, named]) => named.digest === digest).map(([name]) => shortName(name))

  const resolved = Effect.fnUntraced(function* (reference: string, names: Names) {
    const parsed = yield* Effect.fromResult(parseReference(reference))
    const known = [...names.keys()].map(shortName)
    const unknown = () => new SnapshotUnknown({ reference, meant: didYouMean(reference, known), known })
    if (parsed._tag === "Named") {
      const named = names.get(fullName(parsed))
      if (named === undefined) return yield* unknown()
      return named.digest
    }
    const found = (yield* digests).filter((digest) => digest.startsWith(parsed.digest))
    const [only] = found
    if (only === undefined) return yield* unknown()
    if (found.length > 1) return yield* new DigestAmbiguous({ digest: parsed.digest, found })
    return only
  })

  const opened = (digest: string, options?: OpenOptions) => store.open(directoryOf(digest), { ...options, digest })

  const storedBytesOf = (manifest: Manifest): number => manifest.files.reduce((sum, file) => sum + file.storedBytes, 0)

  /** Why a snapshot that could be opened is not ready; asked only where that can be. */
  const unreadiness = Effect.fnUntraced(function* ({ manifest, validation }: Snapshot) {
    if (validation?.verdict === "passed" || (validation === null && manifest.validation === "none")) return null
    const ready = yield* Effect.result(opened(manifest.digest))
    return Result.isFailure(ready) ? ready.failure.message : null
  })

  /** One snapshot, without what only the others can say. */
  const described = Effect.fnUntraced(function* (digest: string, names: Names) {
    const found = yield* Effect.result(opened(digest, { allowUnvalidated: true }))
    const manifest = Result.isSuccess(found) ? found.success.manifest : null
    const own = [...names].filter(([, named]) => named.digest === digest)
    return {
      digest,
      names: own.map(([name]) => shortName(name)).toSorted(),
      namedAtMillis: own.length === 0 ? null : Math.min(...own.map(([, { atMillis }]) => atMillis)),
      directory: directoryOf(digest),
      manifest,
      problem: Result.isFailure(found) ? found.failure.message : yield* unreadiness(found.success),
      storedBytes: manifest === null ? 0 : storedBytesOf(manifest),
      parent: manifest?.parent?.digest ?? null,
      children: []
    } satisfies StoredSnapshot
  })

  const listed = Effect.gen(function* () {
    const names = yield* read
    const all = yield* Effect.forEach(yield* digests, (digest) => described(digest, names))
    const withChildren = all.map((one): StoredSnapshot => {
      const children = all.filter(({ parent }) => parent === one.digest).map(({ digest }) => digest)
      return { ...one, children }
    })
    // Those without a name come last.
    const key = ({ digest, names: [first] }: StoredSnapshot) => first ?? `~${digest}`
    return withChildren.toSorted((one, other) => (key(one) < key(other) ? -1 : 1))
  })

  const inspected = Effect.fnUntraced(function* (reference: string) {
    const digest = yield* resolved(reference, yield* read)
    const found = (yield* listed).find((one) => one.digest === digest)
    // A name can outlive its snapshot where somebody removed files by hand.
    return found ?? (yield* described(digest, yield* read))
  })

  /** Puts names in the place of those before. What fails is taken back, also where the names stand already and only their flush fails. */
  const exchange = (before: Names, after: Names) =>
    Effect.onError(writeNames(files, home, after), () =>
      Effect.ignore(
        Effect.flatMap(read, (found) => (isSame(found, before) ? Effect.void : writeNames(files, home, before)))
      )
    )

  /** What gives a name, or `null` where it is given already; for who holds the store. */
  const named = Effect.fnUntraced(function* (digest: string, name: string, options: TagOptions) {
    const names = yield* read
    const full = fullName(yield* Effect.fromResult(parseName(name)))
    const before = names.get(full)?.digest ?? null
    const { expecting, replace } = options
    if (expecting !== undefined && expecting !== before) {
      return yield* new NameMoved({ name: shortName(full), expected: expecting ?? "none", found: before ?? "none" })
    }
    if (before === digest) return null
    if (before !== null && replace !== true && expecting === undefined) {
      return yield* new NameTaken({ name: shortName(full), digest: before })
    }
    const after: Names = new Map([...names, [full, { digest, atMillis: yield* Clock.currentTimeMillis }]])
    return exchange(names, after)
  })

  /** Clears what processes that are gone left: drafts, and what a publish was writing. */
  const cleared = Effect.gen(function* () {
    for (const name of yield* standing) {
      if (goneForm.test(name)) yield* files.removeTree(join(folder, name))
      const draft = name.replace(/\.lock$/, "")
      if (!draftForm.test(draft)) continue
      const lock = join(folder, `${draft}.lock`)
      const outcome = yield* files.hold(lock, { create: false })
      if (outcome === "taken") continue
      yield* files.removeTree(join(folder, draft))
      yield* files.removeTree(lock)
    }
    yield* store.sweep(folder)
  }).pipe(Effect.scoped)

  /** Removes a snapshot: in one step it is none any more. For who holds the store. */
  const takenAway = Effect.fnUntraced(function* (digest: string) {
    if ((yield* files.inspect(directoryOf(digest))) === null) return
    const gone = join(folder, `gone-${yield* files.uniqueName}`)
    yield* files.rename(directoryOf(digest), gone)
    yield* files.flushDirectory(folder)
    // What cannot be removed now is by whoever comes next.
    yield* Effect.ignore(files.removeTree(gone))
  })

  const draft = Effect.gen(function* () {
    yield* made
    yield* cleared
    for (;;) {
      const directory = join(folder, `new-${yield* files.uniqueName}`)
      const lock = `${directory}.lock`
      yield* Effect.addFinalizer(() => Effect.ignore(files.removeTree(lock)))
      // Somebody who clears may have it in the moment between its making and its lock: then another one is made.
      if ((yield* files.hold(lock, { create: true })) !== "held") continue
      // Closed before the lock is let go of.
      yield* Effect.addFinalizer(() => Effect.ignore(files.removeTree(directory)))
      return directory
    }
  })

  const keep = Effect.fn("Snapshots.keep")(function* (directory: string, name?: string, options: TagOptions = {}) {
    const path = yield* files.resolve(directory)
    const snapshot = yield* store.open(path, { allowUnvalidated: true })
    const { digest, parent } = snapshot.manifest
    if (parent !== null && snapshot.parents[0] !== directoryOf(parent.digest)) {
      return yield* new ParentElsewhere({ path, parent: snapshot.parents[0] ?? parent.directory })
    }
    yield* holding(
      Effect.gen(function* () {
        const naming = (name === undefined ? null : yield* named(digest, name, options)) ?? Effect.void
        const target = directoryOf(digest)
        // The same snapshot is there already: then that one is it.
        const isThere = Result.isSuccess(yield* Effect.result(opened(digest, { allowUnvalidated: true })))
        if (isThere || path === target) return yield* naming
        yield* files.rename(path, target)
        const finished = Effect.andThen(files.flushDirectory(folder), naming)
        // No name may stand for what is not there.
        const undone = Effect.flatMap(read, (found) =>
          namesOf(found, digest).length > 0 ? Effect.void : files.rename(target, path)
        )
        yield* Effect.onError(finished, () => Effect.ignore(undone))
      })
    )
    return yield* inspected(digest)
  }, failed)

  const remove = Effect.fn("Snapshots.remove")(function* (reference: string) {
    return yield* holding(
      Effect.gen(function* () {
        const names = yield* read
        const parsed = yield* Effect.fromResult(parseReference(reference))
        const digest = yield* resolved(reference, names)
        const goes = (full: string, named: string) =>
          named === digest && (parsed._tag === "Digest" || full === fullName(parsed))
        const gone = [...names].filter(([full, named]) => goes(full, named.digest)).map(([full]) => full)
        const isGone = gone.length === namesOf(names, digest).length
        if (isGone) {
          const needing = (yield* listed).filter(({ parent }) => parent === digest)
          const by = needing.flatMap(({ digest: one, names: own }) => (own.length === 0 ? [one.slice(0, 12)] : own))
          if (by.length > 0) return yield* new SnapshotNeeded({ digest, by })
        }
        // The names first: what is cut off here leaves a snapshot without a name, and no name without a snapshot.
        if (gone.length > 0) yield* exchange(names, new Map([...names].filter(([full]) => !gone.includes(full))))
        if (isGone) yield* takenAway(digest)
        return { digest, names: gone.map(shortName), isGone } satisfies Removed
      })
    )
  }, failed)

  const get: SnapshotsShape["get"] = Effect.fn("Snapshots.get")(function* (reference, options) {
    return yield* opened(yield* resolved(reference, yield* read), options)
  }, failed)

  return {
    home,
    draft: failed(draft),
    keep,
    list: failed(listed),
    get,
    inspect: (reference) => failed(inspected(reference)),
    tag: Effect.fn("Snapshots.tag")(function* (reference: string, name: string, options: TagOptions = {}) {
      const digest = yield* holding(
        Effect.gen(function* () {
          const digest = yield* resolved(reference, yield* read)
          const naming = yield* named(digest, name, options)
          if (naming !== null) yield* naming
          return digest
        })
      )
      return yield* inspected(digest)
    }, failed),
    untag: Effect.fn("Snapshots.untag")(function* (name: string) {
      yield* holding(
        Effect.gen(function* () {
          const names = yield* read
          const full = fullName(yield* Effect.fromResult(parseName(name)))
          yield* resolved(name, names)
          yield* exchange(names, new Map([...names].filter(([one]) => one !== full)))
        })
      )
    }, failed),
    remove,
    verify: Effect.fn("Snapshots.verify")(function* (reference: string) {
      const snapshot = yield* get(reference, { allowUnvalidated: true })
      const machine = restoreSnapshot(snapshot)
      // The digest of a machine is over all of its memory: every chunk is read and checked on the way.
      yield* Effect.scoped(Effect.flatMap(machine, ({ digest }) => digest))
      return yield* inspected(snapshot.manifest.digest)
    }, failed),
    usage: failed(
      Effect.gen(function* () {
        const all = yield* listed
        return {
          home,
          snapshots: all.length,
          names: (yield* read).size,
          storedBytes: all.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
        }
      })
    )
  }
}

/**
 * The user's snapshots, by name.
 *
 * @example
 * ```ts
 * import { Snapshots } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const snapshots = yield* Snapshots
 *   const unknown = yield* Effect.flip(snapshots.get("web"))
 *   console.log(unknown.message) // no snapshot is called web; the store has no names
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(Snapshots.layerHost({ home: "/tmp/stillpoint-no-such-store" }))))
 * ```
 */
export class Snapshots extends Context.Service<Snapshots, SnapshotsShape>()("@stillpoint/core/names/Snapshots") {
  /** The store in a folder, or in the user's ({@link snapshotsHome}). */
  static readonly layer = (
    options: { readonly home?: string } = {}
  ): Layer.Layer<Snapshots, never, DurableFiles | SnapshotStore> =>
    Layer.effect(
      Snapshots,
      Effect.gen(function* () {
        return make(yield* DurableFiles, yield* SnapshotStore, resolve(options.home ?? snapshotsHome()))
      })
    )

  /** The same on the host's file system: what to use. */
  static readonly layerHost = (options: { readonly home?: string } = {}): Layer.Layer<Snapshots> =>
    Layer.provide(Snapshots.layer(options), [DurableFiles.layer, SnapshotStore.layerHost])
}
