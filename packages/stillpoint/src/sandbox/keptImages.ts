/**
 * Images of which no snapshot of the store reads any more.
 *
 * A bake links its image into the store before it keeps the snapshot. So pruning first sets an image aside and then lists the
 * snapshots: if one that reads the image was kept meanwhile, the image is put back. A bake that finishes later checks whether its
 * image is still there (`imageSpec.ts`), and links it again.
 *
 * @module
 */
import { readdir, rename, rm, stat } from "node:fs/promises"
import { join } from "node:path"
import { Snapshots } from "@stillpoint/core"
import { Effect } from "effect"
import { imageFileOf } from "./imageSpec.ts"

/** An image that went, or would go. */
export interface UnreadImage {
  readonly digest: string
  readonly sizeBytes: number
}

/**
 * A snapshot reads an imported image only once the image is complete. Drafts are removed earlier unless their process was killed.
 */
const youngForMillis = 3_600_000
const setAside = ".unread"

const ofDigest = /^[0-9a-f]{64}\.erofs(\.unread)?$/

/** Removes the images that no snapshot of the store reads; with `dryRun` it only says which. */
export const pruneKeptImages = Effect.fn("pruneKeptImages")(function* ({ dryRun }: { readonly dryRun: boolean }) {
  const snapshots = yield* Snapshots
  const folder = join(snapshots.home, "images")
  const readNow = Effect.map(
    snapshots.list,
    (all) => new Set(all.flatMap(({ manifest }) => (manifest === null ? [] : [imageFileOf(snapshots.home, manifest)])))
  )
  const attempt = <A>(work: () => Promise<A>): Effect.Effect<A | null> =>
    Effect.match(Effect.tryPromise(work), { onSuccess: (value) => value, onFailure: () => null })
  const names = (yield* attempt(() => readdir(folder))) ?? []
  const first = yield* readNow
  const gone: Array<UnreadImage> = []
  for (const name of names) {
    const path = join(folder, name)
    const whole = name.endsWith(setAside) ? path.slice(0, -setAside.length) : path
    const found = yield* attempt(() => stat(path))
    if (found === null || first.has(whole)) {
      // A killed process had set it aside.
      if (whole !== path && found !== null && !dryRun) yield* attempt(() => rename(path, whole))
      continue
    }
    if (!ofDigest.test(name) && Date.now() - found.ctimeMs < youngForMillis) continue
    const image = { digest: name.replace(/^of-/, "").slice(0, 64), sizeBytes: found.size }
    if (dryRun) {
      gone.push(image)
      continue
    }
    const aside = `${whole}${setAside}`
    if (path !== aside && (yield* attempt(() => rename(path, aside).then(() => true))) === null) continue
    if ((yield* readNow).has(whole)) yield* attempt(() => rename(aside, whole))
    else if ((yield* attempt(() => rm(aside).then(() => true))) !== null) gone.push(image)
  }
  return gone
})
