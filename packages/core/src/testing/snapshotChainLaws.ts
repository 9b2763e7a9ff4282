/**
 * The laws of every {@link SnapshotStore} about deltas and their parents.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import { basename, dirname, join } from "node:path"
import { Effect } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import { encodeManifest, type Manifest, manifestFileName, sealOf, timelineFileName } from "../snapshot/Manifest.ts"
import type { SnapshotOpenReason } from "../snapshot/SnapshotErrors.ts"
import { type Snapshot, SnapshotStore } from "../snapshot/SnapshotStore.ts"
import type { Law } from "./Law.ts"
import { publishSample } from "./sampleSnapshots.ts"

/** Makes a law of a store, on a place of its own. */
export type StoreLaw = (
  name: string,
  check: (target: string) => Law<SnapshotStore | DurableFiles>["check"]
) => Law<SnapshotStore | DurableFiles>

const depth = 4

/** A full snapshot and deltas on it, the newest last. */
const publishChain = Effect.fnUntraced(function* (fresh: () => string) {
  const chain: Array<Snapshot> = []
  for (let index = 0; index < depth; index++) {
    const parent = chain.at(-1)
    chain.push(yield* publishSample(fresh(), `link ${index}`, parent === undefined ? {} : { parent }))
  }
  return chain
})

const refusalOf = Effect.fnUntraced(function* (snapshot: Snapshot | undefined) {
  const store = yield* SnapshotStore
  return (yield* Effect.flip(store.open(snapshot?.directory ?? ""))).reason
})

const publishRefusal = (target: string, options: Parameters<typeof publishSample>[2]) =>
  Effect.map(Effect.flip(publishSample(target, "delta", options)), (error) =>
    error._tag === "SnapshotPublishError" ? error.reason._tag : error._tag
  )

/** Writes a manifest again with a valid seal, as an attacker could. */
const forge = Effect.fnUntraced(function* (snapshot: Snapshot, change: Partial<Manifest>) {
  const files = yield* DurableFiles
  const path = join(snapshot.directory, manifestFileName)
  const edited = { ...snapshot.manifest, ...change }
  yield* files.removeTree(path)
  yield* files.write(path, encodeManifest({ ...edited, digest: sealOf(edited) }))
})

const names = (reason: SnapshotOpenReason, path: string): void => {
  assert.ok(reason.message.includes(path), `${reason._tag} does not name ${path}: ${reason.message}`)
}

/** The laws of deltas. */
export const deltaLaws = (law: StoreLaw, fresh: () => string): ReadonlyArray<Law<SnapshotStore | DurableFiles>> => [
  law("a-delta-opens-with-everything-that-it-was-taken-against", () =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      const chain = yield* publishChain(fresh)
      for (const [index, link] of chain.entries()) {
        const expected = chain.slice(0, index).map(({ directory }) => directory)
        const opened = yield* store.open(link.directory)
        assert.deepEqual(opened.parents, expected.toReversed())
        assert.deepEqual(opened, link)
        assert.equal(opened.manifest.identity, `link ${index}`)
      }
    })
  ),
  law("a-folder-of-deltas-can-be-moved", () =>
    Effect.gen(function* () {
      const files = yield* DurableFiles
      const store = yield* SnapshotStore
      const folder = fresh()
      let index = 0
      const chain = yield* publishChain(() => join(folder, `${index++}`))
      const moved = fresh()
      yield* files.rename(folder, moved)
      const opened = yield* store.open(join(moved, basename(chain.at(-1)?.directory ?? "")))
      assert.equal(opened.parents.length, depth - 1)
      assert.ok(opened.parents.every((parent) => dirname(parent) === moved))
    })
  ),
  ...["memory.bin", "memory.digests", "machine.bin", timelineFileName, manifestFileName].map((name) =>
    law(`a-delta-is-refused-for-a-missing-${name}-anywhere-below-it`, () =>
      Effect.gen(function* () {
        const files = yield* DurableFiles
        for (let at = 0; at < depth - 1; at++) {
          const chain = yield* publishChain(fresh)
          const { directory = "", layers: [contents = ""] = [] } = chain[at] ?? {}
          const damaged = join(name === manifestFileName ? directory : contents, name)
          yield* files.removeTree(damaged)
          const reason = yield* refusalOf(chain.at(-1))
          assert.equal(reason._tag, "ParentRefused")
          names(reason, damaged)
        }
      })
    )
  ),
  law("a-delta-without-its-parent-is-refused-by-name", () =>
    Effect.gen(function* () {
      const chain = yield* publishChain(fresh)
      const gone = chain[depth - 2]
      yield* (yield* SnapshotStore).remove(gone?.directory ?? "")
      const reason = yield* refusalOf(chain.at(-1))
      assert.equal(reason._tag === "ParentRefused" && reason.cause._tag, "SnapshotMissing")
      names(reason, gone?.directory ?? "")
      // A snapshot that does not need it is unchanged.
      yield* (yield* SnapshotStore).open(chain[depth - 3]?.directory ?? "")
    })
  ),
  law("a-delta-whose-parent-was-replaced-is-refused-by-name", () =>
    Effect.gen(function* () {
      const chain = yield* publishChain(fresh)
      const replaced = chain[1]?.directory ?? ""
      yield* publishSample(replaced, "another", { replace: true })
      const reason = yield* refusalOf(chain.at(-1))
      assert.equal(reason._tag, "ParentMismatch")
      names(reason, replaced)
    })
  ),
  law("a-delta-whose-parents-changed-places-is-refused-by-name", () =>
    Effect.gen(function* () {
      const files = yield* DurableFiles
      const chain = yield* publishChain(fresh)
      const [one, other, aside] = [chain[1]?.directory ?? "", chain[2]?.directory ?? "", fresh()]
      yield* files.rename(one, aside)
      yield* files.rename(other, one)
      yield* files.rename(aside, other)
      const reason = yield* refusalOf(chain.at(-1))
      assert.equal(reason._tag, "ParentMismatch")
      names(reason, other)
    })
  ),
  law("a-chain-that-leads-back-to-itself-is-refused-by-name", () =>
    Effect.gen(function* () {
      const chain = yield* publishChain(fresh)
      const newest = chain[depth - 1]
      for (const at of [depth - 1, 1]) {
        const link = chain[at]
        if (newest === undefined || link === undefined) return assert.fail("a link is missing")
        // Sealed again, so that only the circle is wrong; a circle with true digests cannot be made.
        const parent = { directory: basename(newest.directory), digest: newest.manifest.digest }
        yield* forge(link, { parent })
        if (at !== depth - 1) yield* reseal(chain, at)
        const reason = yield* refusalOf(newest)
        assert.equal(reason._tag, "ParentCyclic")
        names(reason, newest.directory)
        yield* forge(link, { parent: link.manifest.parent })
      }
    })
  ),
  law("a-delta-is-published-with-the-parent-that-it-was-captured-against", (target) =>
    Effect.gen(function* () {
      const parent = yield* publishSample(target, "full")
      const claimed: Snapshot = { ...parent, manifest: { ...parent.manifest, identity: "another" } }
      const files = yield* DurableFiles
      const store = yield* SnapshotStore
      const reason = yield* publishRefusal(fresh(), { parent: claimed, publishedWith: parent })
      assert.equal(reason, "CaptureMismatch")
      yield* store.open(target)
      assert.deepEqual(
        (yield* files.list(dirname(target))).filter((name) => name.startsWith(".stillpoint-")),
        []
      )
    })
  ),
  law("a-delta-does-not-replace-what-it-needs", () =>
    Effect.gen(function* () {
      const chain = yield* publishChain(fresh)
      const parent = chain.at(-1)
      if (parent === undefined) return assert.fail("a link is missing")
      for (const { directory } of chain) {
        assert.equal(yield* publishRefusal(directory, { parent, replace: true }), "TargetNeeded")
      }
      yield* (yield* SnapshotStore).open(parent.directory)
    })
  )
]

/** Names the digests of forged links in those above them, up to the newest but one. */
const reseal = Effect.fnUntraced(function* (chain: ReadonlyArray<Snapshot>, from: number) {
  const files = yield* DurableFiles
  const digestOf = (link: Snapshot | undefined) =>
    Effect.map(files.read(join(link?.directory ?? "", manifestFileName), 1 << 20), (bytes) => {
      const { digest } = JSON.parse(new TextDecoder().decode(bytes)) as Manifest
      return digest
    })
  for (let at = from + 1; at < chain.length; at++) {
    const link = chain[at]
    if (link === undefined) return
    const parent = { directory: basename(chain[at - 1]?.directory ?? ""), digest: yield* digestOf(chain[at - 1]) }
    yield* forge(link, { parent })
  }
})
