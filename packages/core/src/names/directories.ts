/**
 * The life of a snapshot's directory in the store: making, keeping, removing it, and clearing leftovers.
 *
 * @module
 */
import { join } from "node:path"
import { Effect, Schema } from "effect"
import type { DurableFilesShape } from "../files/DurableFiles.ts"
import { makeDirectories } from "../files/makeDirectories.ts"
import { parseBoundedJson } from "../internal/boundedJson.ts"
import { manifestFileName, mostManifestBytes } from "../snapshot/Manifest.ts"
import { draftForm, makeObjects } from "../snapshot/objects.ts"
import type { SnapshotStoreShape } from "../snapshot/SnapshotStore.ts"
import { readManifest } from "../snapshot/verifySnapshot.ts"

const goneForm = /^gone-[0-9a-f]{32}$/
const digestForm = /^[0-9a-f]{64}$/
const markPrefix = "unless-named-"

/** The part of a manifest that names its parent. */
const NamedParent = Schema.Struct({
  digest: Schema.String,
  parent: Schema.NullOr(Schema.Struct({ digest: Schema.String }))
})

/** The directories of the store in a folder. */
export const makeStoreDirectories = (files: DurableFilesShape, store: SnapshotStoreShape, home: string) => {
  const folder = join(home, "snapshots")
  const objects = makeObjects(files, folder)
  /** The directory of a snapshot, by its digest. */
  const directoryOf = (digest: string): string => join(folder, digest)

  /** Makes the store if it does not exist. Its files belong to their owner alone. */
  const made = Effect.suspend(() => makeDirectories(files, folder))

  /** Names in the folder of snapshots; none where there is no store. */
  const standing = Effect.gen(function* () {
    if ((yield* files.inspect(folder))?.kind !== "directory") return []
    return yield* files.list(folder)
  })
  /** Digests of the snapshots that are kept. */
  const digests = Effect.map(standing, (names) => names.filter((name) => digestForm.test(name)))

  /** Clears leftovers of processes that have ended: drafts, unfinished publishes, and then objects of nobody. */
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
    yield* objects.cleared
  }).pipe(Effect.scoped)

  /**
   * Marks a snapshot to be removed unless it has a name, until {@link unmarked}. If an operation is interrupted between the steps
   * for the snapshot and for its name, the next process undoes it by this mark.
   */
  const marked = Effect.fnUntraced(function* (digest: string) {
    const mark = join(folder, `${markPrefix}${digest}`)
    yield* files.removeTree(mark)
    yield* files.write(mark, new Uint8Array(0))
    yield* files.flushDirectory(folder)
  })
  // Durably, or it would speak of a name that is taken away later.
  const unmarked = (digest: string) =>
    Effect.ignore(
      Effect.andThen(files.removeTree(join(folder, `${markPrefix}${digest}`)), files.flushDirectory(folder))
    )

  /** Removes the marked snapshots that have no name. The caller holds the store. */
  const clearedMarks = Effect.fnUntraced(function* (isNamed: (digest: string) => Effect.Effect<boolean, unknown>) {
    for (const name of yield* standing) {
      const digest = name.slice(markPrefix.length)
      if (!name.startsWith(markPrefix) || !digestForm.test(digest)) continue
      if (!(yield* isNamed(digest)) && (yield* childrenOf(digest)).length === 0) yield* takenAway(digest)
      yield* unmarked(digest)
    }
  })

  /** Removes a snapshot, by one rename. The caller holds the store. */
  const takenAway = Effect.fnUntraced(function* (digest: string) {
    if ((yield* files.inspect(directoryOf(digest))) === null) return
    const manifest = yield* Effect.option(readManifest(files, directoryOf(digest)))
    const gone = join(folder, `gone-${yield* files.uniqueName}`)
    yield* files.rename(directoryOf(digest), gone)
    yield* files.flushDirectory(folder)
    // The next process removes what cannot be removed now.
    yield* Effect.ignore(files.removeTree(gone))
    yield* manifest._tag === "Some" ? objects.released(manifest.value) : objects.cleared
  })

  /** A directory for a snapshot that is being made, until the scope closes. */
  const draft = Effect.gen(function* () {
    yield* made
    yield* cleared
    yield* objects.made
    for (;;) {
      const directory = join(folder, `new-${yield* files.uniqueName}`)
      const lock = `${directory}.lock`
      yield* Effect.addFinalizer(() => Effect.ignore(files.removeTree(lock)))
      // A process that clears leftovers may hold it between its creation and its lock; then another one is made.
      if ((yield* files.hold(lock, { create: true })) !== "held") continue
      // Removed before the lock is released.
      yield* Effect.addFinalizer(() => Effect.ignore(files.removeTree(directory)))
      return directory
    }
  })

  /** A digest covers the name of the parent, so that of a snapshot is read once. */
  const parents = new Map<string, string | null>()

  const readParent = Effect.fnUntraced(function* (digest: string) {
    const bytes = yield* files.read(join(directoryOf(digest), manifestFileName), mostManifestBytes)
    const named = yield* Schema.decodeUnknownEffect(NamedParent)(
      yield* Effect.fromResult(parseBoundedJson(new TextDecoder().decode(bytes)))
    )
    if (named.digest !== digest) return null
    const parent = named.parent?.digest ?? null
    parents.set(digest, parent)
    return parent
  })

  /**
   * The parent that a snapshot names, whether the snapshot is complete or not; `null` for a full snapshot. The seal is not checked: who
   * opens the snapshot does that, and all snapshots are asked before one of them is removed.
   */
  const parentOf = (digest: string): Effect.Effect<string | null> =>
    Effect.suspend(() => {
      const known = parents.get(digest)
      return known === undefined ? Effect.orElseSucceed(readParent(digest), () => null) : Effect.succeed(known)
    })

  /** Digests of the snapshots that were taken against one. */
  const childrenOf = Effect.fnUntraced(function* (digest: string) {
    return yield* Effect.filter(yield* digests, (other) => Effect.map(parentOf(other), (parent) => parent === digest))
  })

  return {
    folder,
    directoryOf,
    made,
    digests,
    cleared,
    draft,
    shared: objects.added,
    marked,
    unmarked,
    clearedMarks,
    takenAway,
    parentOf,
    childrenOf
  }
}
