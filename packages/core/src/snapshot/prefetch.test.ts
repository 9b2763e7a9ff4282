import { mkdtemp, rm, writeFile } from "node:fs/promises"
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
        yield* Effect.promise(() => writeFile(join(directory, "memory.bin"), new Uint8Array(16 * 4096)))
        const manifest = sealManifest(sampleDraft("r"), { identity: "r", parent: null, files: [] })
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
        assert.deepStrictEqual(yield* prefetch({ directory, manifest, parents: [], validation }), {
          pages: 4,
          bytes: 4 * 4096
        })
        assert.deepStrictEqual(yield* prefetch({ directory, manifest, parents: [], validation: null }), {
          pages: 0,
          bytes: 0
        })
        const gone = yield* Effect.flip(
          prefetch({ directory: join(directory, "gone"), manifest, parents: [], validation })
        )
        assert.strictEqual(gone.code, "ENOENT")
      })
    )
  )
})
