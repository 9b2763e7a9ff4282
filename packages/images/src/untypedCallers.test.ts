import { assert, describe, it } from "@effect/vitest"
import { isDoneOrRefusedByName, nearly, rubbish, uncovered } from "@stillpoint/core/testing"
import { Effect } from "effect"
import * as fc from "fast-check"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Images } from "./Images.ts"
import * as Exported from "./index.ts"

/** A folder that goes with the scope. */
const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-images-untyped-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** Of no registry: nothing is asked outside. */
const references = fc.oneof(
  rubbish.filter((value) => typeof value !== "string"),
  fc.constantFrom("", "\0", "redis", "oci:/nowhere/at/all", "docker-archive:/nowhere/at/all:a:b")
)

it("every-public-function-is-tried-by-a-program-without-types", () => {
  assert.deepStrictEqual(uncovered(Exported, ["Images.layer", "Images.resolve", "Images.prune"], {}), {
    missing: [],
    gone: []
  })
})

describe("whatever a program without types hands to", () => {
  it.effect("Images.resolve-is-done-or-refused-by-name", () =>
    Effect.gen(function* () {
      const cacheDirectory = yield* folder
      yield* isDoneOrRefusedByName(
        (...args) => Images.use((images) => images.resolve(...(args as unknown as [never, never]))),
        [references, nearly({}, ["onProgress", "platform", "limits"])]
      ).pipe(Effect.provide(Images.layer({ cacheDirectory })))
    })
  )

  it.effect("Images.prune-is-done-or-refused-by-name", () =>
    Effect.gen(function* () {
      const cacheDirectory = yield* folder
      yield* isDoneOrRefusedByName(
        (options) => Images.use((images) => images.prune(options)),
        [nearly({}, ["maxBytes"])]
      ).pipe(Effect.provide(Images.layer({ cacheDirectory })))
    })
  )

  it.effect("Images.layer-is-made-or-refused-by-name", () =>
    Effect.gen(function* () {
      const cacheDirectory = yield* folder
      yield* isDoneOrRefusedByName(
        (options) =>
          Effect.provide(
            Images.use(() => Effect.void),
            Images.layer(options)
          ),
        [nearly({ cacheDirectory }, ["maxBytes", "registries", "dockerConfig", "silenceMillis"])]
      )
    })
  )
})
