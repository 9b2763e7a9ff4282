import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { testImageLayout, testImages } from "../../../scripts/testing/testImages.ts"
import { Images } from "../src/Images.ts"

const there = testImages()
const why = there.length > 0 ? "" : "skipped: no test images in .cache/test-images (scripts/setup/test-images.sh)"
const isFsckThere = spawnSync("fsck.erofs", ["-V"]).error === undefined

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-real-images-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

describe.skipIf(why !== "")(`images of real software${why === "" ? "" : ` (${why})`}`, () => {
  it.effect.each([...(there.length === 0 ? ["none"] : there)])(
    "%s-is-built-twice-to-the-same-bytes-and-read-by-others",
    (tag) =>
      Effect.gen(function* () {
        const built = yield* Effect.forEach([1, 2], () =>
          Effect.gen(function* () {
            const layer = Images.layer({ cacheDirectory: yield* folder })
            const image = yield* Effect.provide(
              Images.use((images) => images.resolve(`oci:${testImageLayout}:${tag}`)),
              layer
            )
            if (isFsckThere) {
              const { status, stderr } = spawnSync("fsck.erofs", ["--extract", image.file], { encoding: "utf8" })
              assert.strictEqual(status, 0, stderr)
            }
            return { ...image, file: "" }
          })
        )
        const [one, other] = built
        assert.deepStrictEqual(one, other)
        assert.strictEqual(one?.platform, "linux/riscv64")
        assert.isAbove(one?.inodes ?? 0, 500)
        assert.include(one?.config.env.join(), "PATH=")
      })
  )
})
