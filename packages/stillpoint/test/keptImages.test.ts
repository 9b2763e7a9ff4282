/** Images beside the snapshots: which of them a prune takes. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Snapshots } from "@stillpoint/core"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll, assert } from "vitest"
import { pruneKeptImages } from "../src/sandbox/keptImages.ts"

const home = mkdtempSync(join(tmpdir(), "stillpoint-kept-"))
afterAll(() => rmSync(home, { recursive: true, force: true }))
const images = join(home, "images")
const digest = (letter: string): string => letter.repeat(64)

describe("images that no snapshot reads", () => {
  it.effect("go-but-for-what-somebody-may-be-making", () =>
    Effect.gen(function* () {
      mkdirSync(images, { mode: 0o700 })
      const unread = [`${digest("a")}.erofs`, `${digest("b")}.erofs.unread`]
      const young = [`of-${digest("c")}.erofs`, `${digest("d")}.erofs.123.abc`]
      for (const name of [...unread, ...young]) writeFileSync(join(images, name), "image")
      // However old its content says that it is: it has come just now.
      utimesSync(join(images, young[0] ?? ""), 0, 0)
      const would = yield* pruneKeptImages({ dryRun: true })
      assert.sameDeepMembers(
        [...would],
        [
          { digest: digest("a"), sizeBytes: 5 },
          { digest: digest("b"), sizeBytes: 5 }
        ]
      )
      assert.sameMembers(readdirSync(images), [...unread, ...young])
      assert.deepStrictEqual(yield* pruneKeptImages({ dryRun: false }), would)
      assert.sameMembers(readdirSync(images), young)
    }).pipe(Effect.provide(Snapshots.layerHost({ home })))
  )
})
