/** Images beside the snapshots: which of them a prune takes. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DurableFiles, Snapshots } from "@stillpoint/core"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { assert } from "vitest"
import { claimImage } from "../src/sandbox/imageClaims.ts"
import { pruneKeptImages } from "../src/sandbox/keptImages.ts"

const digest = (letter: string): string => letter.repeat(64)
const id = "0123456789abcdef".repeat(2)

const images = fc.uniqueArray(
  fc.record({
    digest: fc.constantFrom("a", "b", "c").map(digest),
    prefix: fc.constantFrom("", "of-"),
    endings: fc.subarray(["", ".unread", `.${id}.partial`, `.${id}.lock`]),
    isClaimed: fc.boolean()
  }),
  { selector: ({ digest, prefix }) => `${prefix}${digest}` }
)

describe("images that no snapshot reads", () => {
  it.effect("go-at-once-but-for-what-a-running-process-claims", () =>
    Effect.gen(function* () {
      const counted = { claimed: 0, left: 0 }
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(images, async (all) => {
            const home = mkdtempSync(join(tmpdir(), "stillpoint-kept-"))
            const folder = join(home, "images")
            mkdirSync(folder, { mode: 0o700 })
            writeFileSync(join(folder, "notes.txt"), "somebody's own")
            const standing = all.map(({ digest, endings, isClaimed, prefix }) => {
              const image = `${prefix}${digest}.erofs`
              for (const ending of endings) {
                writeFileSync(join(folder, `${image}${ending}`), ending.endsWith(".lock") ? "" : "image")
              }
              return { image, endings: endings.filter((ending) => !ending.endsWith(".lock")), digest, isClaimed }
            })
            const work = Effect.gen(function* () {
              for (const { image, isClaimed } of standing) if (isClaimed) yield* claimImage(join(folder, image))
              const kept = standing.filter(({ isClaimed }) => isClaimed)
              const unread = standing.filter(({ isClaimed }) => !isClaimed)
              counted.claimed += kept.filter(({ endings }) => endings.length > 0).length
              counted.left += unread.filter(({ endings }) => endings.length > 0).length
              const would = yield* pruneKeptImages({ dryRun: true })
              const expected = unread.flatMap(({ digest, endings }) => endings.map(() => ({ digest, sizeBytes: 5 })))
              assert.sameDeepMembers([...would], expected)
              yield* pruneKeptImages({ dryRun: false })
              // What a killed prune had set aside is back.
              const back = kept.flatMap(({ endings, image }) =>
                endings.map((ending) => (ending === ".unread" ? image : `${image}${ending}`))
              )
              const notLocks = readdirSync(folder).filter((name) => !name.endsWith(".lock"))
              assert.sameMembers(notLocks, ["notes.txt", ...new Set(back)])
            })
            const layer = Snapshots.layerHost({ home })
            await Effect.runPromise(Effect.scoped(work).pipe(Effect.provide([layer, DurableFiles.layer])))
            // Their owners have ended.
            await Effect.runPromise(
              pruneKeptImages({ dryRun: false }).pipe(Effect.provide([layer, DurableFiles.layer]))
            )
            assert.deepStrictEqual(readdirSync(folder), ["notes.txt"])
            rmSync(home, { recursive: true, force: true })
          }),
          { numRuns: 50 }
        )
      )
      assert.isAbove(counted.claimed, 10)
      assert.isAbove(counted.left, 10)
    })
  )
})
