import { assert, describe, it } from "@effect/vitest"
import { isDoneOrRefusedByName, nearly, rubbish, uncovered } from "@stillpoint/core/testing"
import { Effect } from "effect"
import * as fc from "fast-check"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Artifacts } from "./Artifacts.ts"
import { ImageError } from "./ImageError.ts"
import { Images } from "./Images.ts"
import { imagesOptionsProblems } from "./ImagesOptions.ts"
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
  const tried = ["Images.layer", "Images.resolve", "Images.prune", "Artifacts.layer", "imagesOptionsProblems"]
  assert.deepStrictEqual(uncovered(Exported, tried, {}), { missing: [], gone: [] })
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

  it.effect("imagesOptionsProblems-is-done", () =>
    isDoneOrRefusedByName(
      (options) =>
        Effect.suspend(() => {
          const problems = imagesOptionsProblems(options)
          const message = problems.join("; ")
          return problems.length === 0
            ? Effect.void
            : Effect.fail(new ImageError({ reason: { _tag: "OptionsInvalid", message } }))
        }),
      [nearly({}, ["maxBytes", "registries", "dockerConfig", "silenceMillis"])]
    )
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

  const pieces = nearly(
    { digest: `sha256:${"0".repeat(64)}`, size: 1, places: [{ file: "/nowhere/at/all", offset: 0 }] },
    []
  )
  const someOf = fc.oneof(rubbish, fc.array(pieces, { maxLength: 2 }))

  it.effect("Artifacts.push-is-done-or-refused-by-name", () =>
    isDoneOrRefusedByName(
      (...args) => Artifacts.use((artifacts) => artifacts.push(...(args as unknown as [never, never]))),
      [
        references,
        nearly({ pieces: [], manifest: new Uint8Array(1), mediaType: "a/b" }, ["pieces"]),
        nearly({}, ["onProgress"])
      ]
    ).pipe(Effect.provide(Artifacts.layer()))
  )

  it.effect("Artifacts.fetch-is-done-or-refused-by-name", () =>
    isDoneOrRefusedByName(
      (...args) => Artifacts.use((artifacts) => artifacts.fetch(...(args as unknown as [never, never]))),
      [references, someOf, nearly({}, ["onProgress"])]
    ).pipe(Effect.provide(Artifacts.layer()))
  )

  it.effect("Artifacts.manifest-is-done-or-refused-by-name", () =>
    isDoneOrRefusedByName(
      (reference) => Artifacts.use((artifacts) => artifacts.manifest(reference as never)),
      [references]
    ).pipe(Effect.provide(Artifacts.layer()))
  )

  it.effect("Artifacts.layer-is-made-or-refused-by-name", () =>
    isDoneOrRefusedByName(
      (options) =>
        Effect.provide(
          Artifacts.use(() => Effect.void),
          Artifacts.layer(options as never)
        ),
      [nearly({}, ["registries", "dockerConfig", "silenceMillis"])]
    )
  )
})
