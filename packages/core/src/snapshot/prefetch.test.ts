import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { prefetch } from "./prefetch.ts"
import { makeValidation, workingSetOf } from "./Validation.ts"
import { sealManifest } from "./Manifest.ts"
import { sampleDraft } from "../testing/sampleSnapshots.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-prefetch-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

describe("prefetch", () => {
  it.effect("reads-the-pages-of-the-working-set-and-no-others", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const directory = yield* folder
        yield* Effect.promise(() => writeFile(join(directory, "ram"), new Uint8Array(16 * 4096)))
        const manifest = sealManifest(sampleDraft("r"), {
          identity: "r",
          parent: null,
          contents: `contents-${"0".repeat(32)}`,
          files: [
            {
              name: "ram",
              sizeBytes: 16 * 4096,
              storedBytes: 0,
              verification: { kind: "byChunk", table: "digests", guestAddress: 0x8000_0000 }
            }
          ]
        })
        const snapshot = { directory, manifest, layers: [directory], parents: [] }
        const workingSet = workingSetOf([0x8000_3000, 0x8000_1000, 0x8000_2000, 0x8000_2000, 0x8000_8000, 0x1000])
        assert.deepStrictEqual(workingSet.ranges, [
          { address: 0x1000, pages: 1 },
          { address: 0x8000_1000, pages: 3 },
          { address: 0x8000_8000, pages: 1 }
        ])
        const validation = makeValidation({
          manifestDigest: manifest.digest,
          verdict: "passed",
          detail: "",
          workingSet
        })
        assert.deepStrictEqual(yield* prefetch({ ...snapshot, validation }), { pages: 4, bytes: 4 * 4096 })
        assert.deepStrictEqual(yield* prefetch({ ...snapshot, validation: null }), { pages: 0, bytes: 0 })
        const gone = yield* Effect.flip(prefetch({ ...snapshot, layers: [join(directory, "gone")], validation }))
        assert.strictEqual(gone._tag === "FileFault" && gone.code, "ENOENT")
        const memory = join(directory, "ram")
        yield* Effect.promise(() => rm(memory).then(() => symlink("/dev/zero", memory)))
        const link = yield* Effect.flip(prefetch({ ...snapshot, validation }))
        assert.strictEqual(link._tag === "FileUnfit" && link.found, "a link")
      })
    )
  )
})
