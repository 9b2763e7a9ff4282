/**
 * Snapshots with names, in the user's data folder.
 *
 * ```text
 * <home>/                STILLPOINT_HOME, else stillpoint/ in the folder for the user's data (XDG_DATA_HOME)
 *   names.json           which names there are; replaced whole (see nameRecord)
 *   store.lock           held by who changes names or removes snapshots
 *   arrivals.lock        held by who keeps snapshots that come from elsewhere (package stillpoint)
 *   snapshots/
 *     <digest>/          a snapshot's directory, called by the digest of its manifest
 *     objects/           hard links to the snapshots' objects, by name (see snapshot/objects.ts)
 *     new-<id>/          a snapshot that is being made, and
 *     new-<id>.lock      the lock of who makes it: where nobody holds it, both are cleared
 *     gone-<id>/         a snapshot that is being removed; cleared by whoever finds it
 * ```
 *
 * @module
 */
import { join, resolve } from "node:path"
import { Context, Effect, Layer, Result } from "effect"
import { DurableFiles, type DurableFilesShape } from "../files/DurableFiles.ts"
import { didYouMean } from "../nearest.ts"
import { Vmm } from "../Vmm.ts"
import type { Manifest } from "../snapshot/Manifest.ts"
import { isObject } from "../snapshot/objects.ts"
import { makeOpening, readinessObstacle, resolvedPath } from "../snapshot/opening.ts"
import { type RestoreOptions, restoreSnapshot } from "../snapshot/restoreSnapshot.ts"
import type { KeyInvalid, SigningKey } from "../snapshot/Signature.ts"
import { SnapshotOpenError } from "../snapshot/SnapshotErrors.ts"
import {
  type OpenOptions,
  type Snapshot,
  type SnapshotKeys,
  SnapshotStore,
  type SnapshotStoreShape
} from "../snapshot/SnapshotStore.ts"
import { contentsOf } from "../snapshot/verifySnapshot.ts"
import { makeStoreDirectories } from "./directories.ts"
import {
  DigestAmbiguous,
  ParentElsewhere,
  SnapshotNeeded,
  SnapshotsError,
  type SnapshotsReason,
  SnapshotUnknown
} from "./NameErrors.ts"
import type { Names } from "./nameRecord.ts"
import { checkedNaming, fullName, makeNaming, namesOf, shortName } from "./naming.ts"
import { diskSourcesProblems, isPath, isRecord, kindProblems, orAbsent, unknownProblems } from "../optionProblems.ts"
import { cacheRepository, parseName, parseReference } from "./Reference.ts"
import { refuseProblems } from "./refuseProblems.ts"
import { snapshotsHome } from "./snapshotsHome.ts"
import type { Removed, SnapshotsShape, StoredSnapshot, TagOptions } from "./SnapshotsShape.ts"

export type * from "./SnapshotsShape.ts"

/** Maximum number of snapshots that a list reads at a time: a disk answers several in the time of one. */
const readAtOnce = 8

const failed = <A, R>(effect: Effect.Effect<A, SnapshotsReason | SnapshotsError, R>) =>
  Effect.mapError(effect, (reason) => (reason._tag === "SnapshotsError" ? reason : new SnapshotsError({ reason })))

/** By name; those without one come last. */
const byName = <A extends Pick<StoredSnapshot, "digest" | "names">>(all: ReadonlyArray<A>): ReadonlyArray<A> => {
  const key = ({ digest, names: [first] }: A) => first ?? `~${digest}`
  return all.toSorted((one, other) => (key(one) < key(other) ? -1 : 1))
}

const make = (files: DurableFilesShape, store: SnapshotStoreShape, home: string): SnapshotsShape => {
  const directories = makeStoreDirectories(files, store, home)
  const { childrenOf, clearedMarks, digests, directoryOf, draft, folder, parentOf, takenAway } = directories
  const { exchange, holding, named, read } = makeNaming(files, home, { made: directories.made, cleared: clearedMarks })

  const resolved = Effect.fnUntraced(function* (reference: string, names: Names) {
    const parsed = yield* Effect.fromResult(parseReference(reference))
    const known = [...names.keys()].filter((name) => !name.startsWith(`${cacheRepository}:`)).map(shortName)
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

  /** Opens a snapshot without requiring signatures: to list it, not to restore it. */
  const openedBySomebody: SnapshotStoreShape["open"] = makeOpening(files).open

  const storedBytesOf = (manifest: Manifest): number => manifest.files.reduce((sum, file) => sum + file.storedBytes, 0)

  /** Bytes of all files of some snapshots, those that several share counted once. */
  const storedOnce = Effect.fnUntraced(function* (all: ReadonlyArray<StoredSnapshot>) {
    const counted = new Set<string>()
    let bytes = 0
    for (const { directory, manifest } of all) {
      for (const file of manifest?.files ?? []) {
        if (manifest !== null && isObject(file)) {
          const found = yield* files.inspect(join(contentsOf(directory, manifest), file.name))
          const inode = `${found?.device} ${found?.inode}`
          if (found === null || counted.has(inode)) continue
          counted.add(inode)
        }
        bytes += file.storedBytes
      }
    }
    return bytes
  })

  /** Why a snapshot that could be opened is not ready. */
  const unreadiness = (snapshot: Snapshot): string | null => {
    const reason = readinessObstacle(snapshot)
    return reason === null ? null : new SnapshotOpenError({ path: snapshot.directory, reason }).message
  }

  /** The names of each snapshot, with their times. */
  const byDigest = (names: Names) => Map.groupBy(names, ([, { digest }]) => digest)

  /** One snapshot, without what only the others can say. */
  const described = Effect.fnUntraced(function* (digest: string, namings: ReturnType<typeof byDigest>) {
    const found = yield* Effect.result(opened(digest, { allowUnvalidated: true, allowLocked: true }))
    const manifest = Result.isSuccess(found) ? found.success.manifest : null
    const own = namings.get(digest) ?? []
    return {
      digest,
      names: own.map(([name]) => shortName(name)).toSorted(),
      namedAtMillis: own.length === 0 ? null : Math.min(...own.map(([, { atMillis }]) => atMillis)),
      directory: directoryOf(digest),
      manifest,
      problem: Result.isFailure(found) ? found.failure.message : unreadiness(found.success),
      storedBytes: manifest === null ? 0 : storedBytesOf(manifest),
      parent: manifest === null ? yield* parentOf(digest) : (manifest.parent?.digest ?? null),
      children: []
    } satisfies StoredSnapshot
  })

  const listed = Effect.gen(function* () {
    // In this order: who removes takes the name first, and who keeps gives it last.
    const kept = yield* digests
    const names = yield* read
    // A name may refer to a snapshot that was removed by other means; it is listed, so that the user finds out.
    const known = new Set([...kept, ...[...names.values()].map(({ digest }) => digest)])
    const namings = byDigest(names)
    const all = yield* Effect.forEach(known, (digest) => described(digest, namings), { concurrency: readAtOnce })
    const byParent = Map.groupBy(all, ({ parent }) => parent)
    const withChildren = all.map((one): StoredSnapshot => ({
      ...one,
      children: (byParent.get(one.digest) ?? []).map(({ digest }) => digest)
    }))
    return byName(withChildren)
  })

  const inspected = Effect.fnUntraced(function* (reference: string) {
    const digest = yield* resolved(reference, yield* read)
    return { ...(yield* described(digest, byDigest(yield* read))), children: yield* childrenOf(digest) }
  })

  const keep = Effect.fn("Snapshots.keep")(function* (directory: string, name?: string, options: TagOptions = {}) {
    yield* checkedNaming(name, options)
    const path = yield* resolvedPath(files, directory)
    const snapshot = yield* store.open(path, { allowUnvalidated: true, allowLocked: true })
    const { digest, parent } = snapshot.manifest
    if (parent !== null && snapshot.parents[0] !== directoryOf(parent.digest)) {
      return yield* new ParentElsewhere({ path, parent: snapshot.parents[0] ?? parent.directory })
    }
    const kept = holding(
      Effect.gen(function* () {
        const naming = (name === undefined ? null : yield* named(digest, name, options)) ?? Effect.void
        const target = directoryOf(digest)
        if (path === target) return yield* naming
        // The same snapshot exists already, with or without signatures; then it is used.
        const there = yield* Effect.option(
          openedBySomebody(target, { allowUnvalidated: true, allowLocked: true, digest })
        )
        if (there._tag === "Some") {
          yield* store.addSignatures(there.value, yield* store.signatures(snapshot))
          return yield* naming
        }
        if (name !== undefined) yield* directories.marked(digest)
        yield* Effect.tapError(files.rename(path, target), () => directories.unmarked(digest))
        const finished = Effect.andThen(files.flushDirectory(folder), naming)
        // A name must not refer to a missing snapshot.
        const undone = Effect.flatMap(read, (found) =>
          namesOf(found, digest).length > 0 ? Effect.void : files.rename(target, path)
        )
        yield* Effect.onError(finished, () => Effect.ignore(Effect.andThen(undone, directories.unmarked(digest))))
        if (name !== undefined) yield* directories.unmarked(digest)
      })
    )
    yield* kept
    yield* directories.shared(directoryOf(digest), snapshot.manifest)
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
          const needing = (yield* childrenOf(digest)).map((one) => ({ digest: one, names: namesOf(names, one) }))
          const by = byName(needing).flatMap(({ digest: one, names: own }) =>
            own.length === 0 ? [one.slice(0, 12)] : own
          )
          if (by.length > 0) return yield* new SnapshotNeeded({ digest, by })
        }
        // Names first, so that no name refers to a missing snapshot.
        const isMarked = isGone && gone.length > 0
        if (isMarked) yield* directories.marked(digest)
        if (gone.length > 0) {
          const after: Names = new Map([...names].filter(([full]) => !gone.includes(full)))
          yield* Effect.tapError(exchange(names, after), () => directories.unmarked(digest))
        }
        if (isGone) yield* takenAway(digest)
        if (isMarked) yield* directories.unmarked(digest)
        return { digest, names: gone.map(shortName), isGone } satisfies Removed
      })
    )
  }, failed)

  const get: SnapshotsShape["get"] = Effect.fn("Snapshots.get")(function* (reference, options) {
    return yield* opened(yield* resolved(reference, yield* read), options)
  }, failed)

  const cleared = Effect.gen(function* () {
    // There is nothing to clear where there is no store, and no reason to make one.
    if ((yield* files.inspect(folder))?.kind !== "directory") return
    // To hold the store clears what belongs to names.
    yield* holding(Effect.void)
    yield* directories.cleared
  })

  return {
    home,
    draft: failed(draft),
    clear: failed(cleared),
    keep,
    list: failed(listed),
    get,
    inspect: (reference) => failed(inspected(reference)),
    tag: Effect.fn("Snapshots.tag")(function* (reference: string, name: string, options: TagOptions = {}) {
      yield* checkedNaming(name, options)
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
    sign: Effect.fn("Snapshots.sign")(function* (reference: string, key: SigningKey) {
      const digest = yield* resolved(reference, yield* read)
      yield* holding(
        Effect.gen(function* () {
          const snapshot = yield* openedBySomebody(directoryOf(digest), {
            allowUnvalidated: true,
            allowLocked: true,
            digest
          })
          yield* store.addSignatures(snapshot, [key.sign(digest, snapshot.validation?.digest ?? null)])
        })
      )
      return yield* inspected(digest)
    }, failed),
    signers: Effect.fn("Snapshots.signers")(function* (reference: string) {
      const digest = yield* resolved(reference, yield* read)
      const found = yield* Effect.option(
        openedBySomebody(directoryOf(digest), { allowUnvalidated: true, allowLocked: true, digest })
      )
      if (found._tag === "None") return []
      return [...new Set((yield* store.signatures(found.value)).map(({ keyId }) => keyId))]
    }, failed),
    verify: Effect.fn("Snapshots.verify")(function* (reference: string, options: RestoreOptions = {}) {
      yield* refuseProblems(verifyProblems(options))
      const snapshot = yield* get(reference, { allowUnvalidated: true, allowLocked: true })
      if (snapshot.manifest.encryption !== undefined && snapshot.encryptionKey === undefined) {
        const { restore, verifyFiles } = yield* Vmm
        // Without its key, files are compared with their digests. An implementation that cannot do that says which key it needs.
        const checked =
          verifyFiles?.(snapshot.layers) ?? Effect.scoped(restore(snapshot.layers[0] ?? snapshot.directory))
        yield* checked
        return yield* inspected(snapshot.manifest.digest)
      }
      const machine = restoreSnapshot(snapshot, options)
      // The digest of a machine is over all of its memory: every chunk is read and checked on the way.
      yield* Effect.scoped(Effect.flatMap(machine, ({ digest }) => digest))
      return yield* inspected(snapshot.manifest.digest)
    }, failed),
    usage: failed(
      Effect.gen(function* () {
        const all = yield* listed
        return {
          home,
          snapshots: (yield* digests).length,
          names: (yield* read).size,
          storedBytes: yield* storedOnce(all)
        }
      })
    )
  }
}

const verifyProblems = (options: unknown): ReadonlyArray<string> =>
  isRecord(options)
    ? [
        ...unknownProblems("verify", options, { diskSources: true }),
        ...diskSourcesProblems("verify.diskSources", options["diskSources"])
      ]
    : kindProblems("verify", options, "where disks are, { diskSources }", isRecord)

const homeProblems = (options: unknown): ReadonlyArray<string> =>
  isRecord(options)
    ? [
        ...unknownProblems("snapshots", options, { home: true }),
        ...kindProblems("snapshots.home", options["home"], "the path of a folder", orAbsent(isPath))
      ]
    : kindProblems("snapshots", options, "{ home }", isRecord)

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
 *   console.log(unknown.message) // no snapshot is called web; no snapshot here has a name
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(Snapshots.layerHost({ home: "/tmp/stillpoint-no-such-store" }))))
 * ```
 */
export class Snapshots extends Context.Service<Snapshots, SnapshotsShape>()("@stillpoint/core/names/Snapshots") {
  /** The store in a folder, or in the user's ({@link snapshotsHome}). */
  static readonly layer = (
    options: { readonly home?: string } = {}
  ): Layer.Layer<Snapshots, SnapshotsError, DurableFiles | SnapshotStore> =>
    Layer.effect(
      Snapshots,
      Effect.gen(function* () {
        yield* failed(refuseProblems(homeProblems(options)))
        return make(yield* DurableFiles, yield* SnapshotStore, resolve(options.home ?? snapshotsHome()))
      })
    )

  /** The same on the host's file system: the usual choice. Keys sign or encrypt new snapshots, or are required of opened ones. */
  static readonly layerHost = (
    given: { readonly home?: string } & SnapshotKeys = {}
  ): Layer.Layer<Snapshots, SnapshotsError | KeyInvalid> => {
    const { encryptionKey, requiredKeys, signingKey, ...options } = { ...given }
    const keys = {
      ...(encryptionKey === undefined ? {} : { encryptionKey }),
      ...(signingKey === undefined ? {} : { signingKey }),
      ...(requiredKeys === undefined ? {} : { requiredKeys })
    }
    return Snapshots.layer(isRecord(given) ? options : given).pipe(
      Layer.provide(SnapshotStore.layerKeyed(keys)),
      Layer.provide(DurableFiles.layer)
    )
  }
}
