/**
 * Images of which no snapshot of the store reads any more.
 *
 * Who puts an image into the store claims it (`imageClaims.ts`), so what nobody claims is complete or was left by a killed process.
 * Pruning first sets an image aside, then asks for claims, and then lists the snapshots: an image that was claimed meanwhile, or that a
 * snapshot reads, is put back. An import keeps its claim until its snapshot is kept. A bake puts its image there again at the end.
 *
 * @module
 */
import { existsSync } from "node:fs"
import { readdir, rename, rm, stat } from "node:fs/promises"
import { join } from "node:path"
import { type Manifest, Snapshots } from "@stillpoint/core"
import { Effect } from "effect"
import { isClaimed } from "./imageClaims.ts"
import { imageFileOf, imageOf, importedImage } from "./imageSpec.ts"

/** An image that went, or would go. */
export interface UnreadImage {
  readonly digest: string
  readonly sizeBytes: number
}

const setAside = ".unread"

const imageForm = /^((?:of-)?([0-9a-f]{64})\.erofs)(\.unread|\.[0-9a-f]{32}\.(?:partial|lock))?$/

/** The image that a snapshot reads, even if it is set aside. */
const readBy = (home: string, manifest: Manifest): string | null => {
  if (imageOf(manifest) === null) return null
  const imported = importedImage(home, manifest)
  return existsSync(`${imported}${setAside}`) ? imported : imageFileOf(home, manifest)
}

/** Removes the images that no snapshot of the store reads; with `dryRun` it only says which. */
export const pruneKeptImages = Effect.fn("pruneKeptImages")(function* ({ dryRun }: { readonly dryRun: boolean }) {
  const snapshots = yield* Snapshots
  const folder = join(snapshots.home, "images")
  const readNow = Effect.map(
    snapshots.list,
    (all) => new Set(all.map(({ manifest }) => (manifest === null ? null : readBy(snapshots.home, manifest))))
  )
  const attempt = <A>(work: () => Promise<A>): Effect.Effect<A | null> =>
    Effect.match(Effect.tryPromise(work), { onSuccess: (value) => value, onFailure: () => null })
  // What cannot be asked is kept.
  const claimed = (path: string) => Effect.orElseSucceed(isClaimed(path), () => true)
  const names = (yield* attempt(() => readdir(folder))) ?? []
  const first = yield* readNow
  const gone: Array<UnreadImage> = []
  for (const name of names) {
    const [, image = "", digest = "", ending = ""] = imageForm.exec(name) ?? []
    if (image === "") continue
    const path = join(folder, name)
    const whole = join(folder, image)
    // Asked of what was listed before: its owner had claimed it by then.
    const isNeeded = yield* claimed(whole)
    if (ending.endsWith(".lock")) continue
    const found = yield* attempt(() => stat(path))
    if (found === null) continue
    if (ending.endsWith(".partial")) {
      if (isNeeded) continue
    } else if (isNeeded || first.has(whole)) {
      // A killed process had set it aside.
      if (path !== whole && !dryRun) yield* attempt(() => rename(path, whole))
      continue
    }
    const unread = { digest, sizeBytes: found.size }
    if (dryRun) {
      gone.push(unread)
      continue
    }
    if (ending.endsWith(".partial")) {
      if ((yield* attempt(() => rm(path).then(() => true))) !== null) gone.push(unread)
      continue
    }
    const aside = `${whole}${setAside}`
    if (path !== aside && (yield* attempt(() => rename(path, aside).then(() => true))) === null) continue
    if ((yield* claimed(whole)) || (yield* readNow).has(whole)) yield* attempt(() => rename(aside, whole))
    else if ((yield* attempt(() => rm(aside).then(() => true))) !== null) gone.push(unread)
  }
  return gone
})
