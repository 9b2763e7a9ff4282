import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Images } from "./Images.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const layout = join(root, ".cache/test-images/layout")

/** The names in the layout. */
const tags = (): ReadonlyArray<string> => {
  if (!existsSync(join(layout, "index.json"))) return []
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as {
    readonly manifests: ReadonlyArray<{ readonly annotations: Readonly<Record<string, string>> }>
  }
  return index.manifests.map(({ annotations }) => annotations["org.opencontainers.image.ref.name"] ?? "")
}

const there = tags()
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
              Images.use((images) => images.resolve(`oci:${layout}:${tag}`)),
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
