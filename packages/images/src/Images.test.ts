import { createHash } from "node:crypto"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { NativeImages } from "@stillpoint/native"
import { Effect, Fiber } from "effect"
import { Images } from "./Images.ts"
import type { ImagesOptions } from "./ImagesOptions.ts"
import { ImageReason } from "./ImageError.ts"
import type { ImageProgress } from "./ResolveOptions.ts"
import { type LayoutSpec, writeLayout } from "./testing/ociLayout.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-images-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** A cache and a layout of their own. */
const setUp = Effect.fnUntraced(function* (specs: ReadonlyArray<LayoutSpec>, options: ImagesOptions = {}) {
  const root = yield* folder
  const layout = writeLayout(join(root, "layout"), specs)
  const cacheDirectory = join(root, "cache")
  const layer = Images.layer({ cacheDirectory, ...options })
  return { root, layout, cacheDirectory, layer, reference: `oci:${layout}` }
})

/** A registry with the image of a layout, that hands out no more than half of a layer until it is to hand out all: that takes for ever. */
const registryOf = (layout: string) =>
  Effect.acquireRelease(
    Effect.callback<{ host: string; isWhole: boolean; readonly close: () => void }>((resume) => {
      const index = readFileSync(join(layout, "index.json"), "utf8")
      const server = createServer(({ url = "" }, response) => {
        const hex = /[0-9a-f]{64}/.exec(url.includes("/manifests/") ? index : url)?.[0] ?? ""
        const bytes = readFileSync(join(layout, "blobs/sha256", hex))
        response.writeHead(200, { "content-length": bytes.length })
        if (registry.isWhole || bytes.length < 10_000) response.end(bytes)
        else response.write(bytes.subarray(0, bytes.length / 2))
      })
      const close = () => {
        server.closeAllConnections()
        server.close()
      }
      const registry = { host: "", isWhole: false, close }
      server.listen(0, "127.0.0.1", () => {
        registry.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
        resume(Effect.succeed(registry))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

const hello: LayoutSpec = {
  layers: [
    [
      { path: "etc", type: "directory" },
      { path: "etc/hello", content: "hello\n" }
    ],
    [{ path: "etc/more", type: "hardlink", link: "etc/hello" }]
  ],
  config: { User: "nobody", Entrypoint: ["/bin/hello"], Env: ["A=b"], ExposedPorts: { "80/tcp": {} }, Cmd: null }
}

describe("images", () => {
  it.effect("an-image-of-a-layout-is-one-file-with-what-the-image-says-of-itself", () =>
    Effect.gen(function* () {
      const { cacheDirectory, layer, reference } = yield* setUp([hello])
      const told: Array<ImageProgress> = []
      yield* Effect.gen(function* () {
        const images = yield* Images
        const image = yield* images.resolve(reference, { onProgress: (progress) => told.push(progress) })
        assert.strictEqual(statSync(image.file).size, image.sizeBytes)
        assert.strictEqual(statSync(image.file).mode & 0o077, 0)
        assert.match(image.digest, /^[0-9a-f]{64}$/)
        assert.strictEqual(image.platform, "linux/riscv64")
        assert.strictEqual(image.inodes, 3)
        assert.isFalse(image.wasCached)
        assert.deepStrictEqual(image.config, {
          user: "nobody",
          exposedPorts: ["80/tcp"],
          env: ["A=b"],
          entrypoint: ["/bin/hello"],
          cmd: [],
          volumes: [],
          workingDir: "",
          labels: {},
          stopSignal: ""
        })
        const again = yield* images.resolve(reference)
        assert.deepStrictEqual(again, { ...image, wasCached: true })
        assert.include(
          told.map((progress) => progress._tag),
          "Layer"
        )
        assert.deepStrictEqual(readdirSync(join(cacheDirectory, "building")), [])
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("the-same-layers-give-the-same-bytes-however-they-are-compressed", () =>
    Effect.gen(function* () {
      const digests = yield* Effect.forEach(["none", "gzip", "zstd"] as const, (compression) =>
        Effect.gen(function* () {
          const { layer, reference } = yield* setUp([{ ...hello, compression }])
          const image = yield* Effect.provide(
            Images.use((images) => images.resolve(reference)),
            layer
          )
          return `${image.digest} ${createHash("sha256").update(readFileSync(image.file)).digest("hex")}`
        })
      )
      assert.strictEqual(new Set(digests).size, 1)
    })
  )

  it.effect("an-image-for-another-platform-is-refused-with-the-platforms-that-it-has", () =>
    Effect.gen(function* () {
      const on = (architecture: string): LayoutSpec => ({ ...hello, platform: { os: "linux", architecture } })
      const { layer, reference } = yield* setUp([on("amd64"), on("arm64")])
      yield* Effect.gen(function* () {
        const images = yield* Images
        const { reason } = yield* Effect.flip(images.resolve(`${reference}:latest`))
        assert.strictEqual(reason._tag, "PlatformMissing")
        assert.include(reason.message, "linux/amd64, linux/arm64")
        const image = yield* images.resolve(`${reference}:latest`, { platform: "linux/arm64" })
        assert.strictEqual(image.platform, "linux/arm64")
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("options-that-cannot-be-are-refused-all-at-once", () =>
    Effect.gen(function* () {
      const { layer, reference } = yield* setUp([hello])
      const resolve = (options: object) =>
        Effect.flip(Images.use((images) => images.resolve(reference, options))).pipe(Effect.provide(layer))
      const { reason } = yield* resolve({ platfrom: "linux/riscv64", limits: { entries: -1, depth: 0.5 } })
      assert.strictEqual(reason._tag, "OptionsInvalid")
      for (const part of ["platfrom", "entries", "depth"]) assert.include(reason.message, part)
      assert.strictEqual((yield* resolve({ platform: "riscv64" })).reason._tag, "OptionInvalid")
      assert.strictEqual((yield* resolve({ limits: { entries: 1 } })).reason._tag, "LimitExceeded")
      assert.strictEqual((yield* resolve({ limits: { depth: 5000 } })).reason._tag, "OptionInvalid")
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what a program without types can give
      const unknown = yield* Effect.flip(Effect.provide(Effect.void, Images.layer({ maxByte: 1 } as ImagesOptions)))
      assert.include(unknown.message, "maxByte")
    })
  )

  it.effect("a-damaged-blob-is-refused-and-nothing-stays", () =>
    Effect.gen(function* () {
      const { cacheDirectory, layer, layout, reference } = yield* setUp([hello])
      const blobs = join(layout, "blobs/sha256")
      for (const name of readdirSync(blobs)) {
        const path = join(blobs, name)
        const bytes = readFileSync(path)
        const resolve = Effect.flip(Images.use((images) => images.resolve(reference))).pipe(Effect.provide(layer))
        const flipped = Buffer.from(bytes)
        flipped[bytes.length >> 1] = (flipped[bytes.length >> 1] ?? 0) ^ 1
        writeFileSync(path, flipped)
        assert.strictEqual((yield* resolve).reason._tag, "BlobDigestWrong")
        writeFileSync(path, bytes.subarray(1))
        assert.strictEqual((yield* resolve).reason._tag, "BlobSizeWrong")
        rmSync(path)
        assert.strictEqual((yield* resolve).reason._tag, "BlobMissing")
        writeFileSync(path, bytes)
        for (const part of ["images", "building", "keys"]) {
          assert.deepStrictEqual(readdirSync(join(cacheDirectory, part)), [])
        }
      }
    })
  )

  it.effect("what-is-in-use-stays-and-what-is-not-goes", () =>
    Effect.gen(function* () {
      const other: LayoutSpec = { ...hello, tag: "other", layers: [[{ path: "a", content: "b" }]] }
      const { layer, reference } = yield* setUp([hello, other])
      const resolve = (tag: string) => Images.use((images) => images.resolve(`${reference}:${tag}`))
      yield* Effect.provide(resolve("latest"), layer)
      yield* Effect.gen(function* () {
        const images = yield* Images
        const { digest } = yield* resolve("other")
        assert.deepStrictEqual(
          (yield* images.list).map((cached) => [cached.digest === digest, cached.inUse]),
          [
            [false, false],
            [true, true]
          ]
        )
        assert.lengthOf(yield* images.prune(), 1)
        assert.lengthOf(yield* images.prune(), 0)
        assert.lengthOf(yield* images.list, 1)
      }).pipe(Effect.provide(layer))
      assert.lengthOf(
        yield* Effect.provide(
          Images.use((images) => images.prune()),
          layer
        ),
        1
      )
    })
  )

  it.effect("the-cache-keeps-to-its-bound", () =>
    Effect.gen(function* () {
      const small = (tag: string): LayoutSpec => ({ tag, layers: [[{ path: "a", content: tag.repeat(9000) }]] })
      const { layer, reference } = yield* setUp([small("x"), small("y"), small("z")], { maxBytes: 40 << 10 })
      const resolve = (tag: string) => Images.use((images) => images.resolve(`${reference}:${tag}`))
      for (const tag of ["x", "y", "z", "x"]) {
        yield* Effect.provide(resolve(tag), layer)
        const kept = yield* Effect.provide(
          Images.use((images) => images.list),
          layer
        )
        assert.isAtMost(
          kept.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
          40 << 10
        )
      }
      const both = Effect.all([resolve("x"), resolve("y"), resolve("z")])
      assert.include((yield* Effect.flip(Effect.provide(both, layer))).message, "raise maxBytes")
    })
  )

  it.effect("many-who-ask-at-once-build-once", () =>
    Effect.gen(function* () {
      const { layer, reference } = yield* setUp([hello])
      const one = Images.use((images) => images.resolve(reference))
      const all = yield* Effect.provide(
        Effect.all(
          Array.from({ length: 8 }, () => one),
          { concurrency: "unbounded" }
        ),
        layer
      )
      assert.lengthOf(
        all.filter((image) => !image.wasCached),
        1
      )
      assert.lengthOf(new Set(all.map((image) => image.digest)), 1)
    })
  )

  it.effect("interrupted-it-leaves-nothing", () =>
    Effect.gen(function* () {
      const large: LayoutSpec = {
        layers: [
          Array.from({ length: 4000 }, (_, index) => ({ path: `file-${index}`, content: `${index}`.repeat(500) }))
        ]
      }
      const { cacheDirectory, layer, layout } = yield* setUp([large])
      const registry = yield* registryOf(layout)
      const reference = `docker://${registry.host}/some/image:v1`
      yield* Effect.gen(function* () {
        const images = yield* Images
        const running: Array<Fiber.Fiber<unknown, unknown>> = []
        const onProgress = ({ _tag }: ImageProgress) => {
          if (_tag === "Layer") running.forEach((fiber) => fiber.interruptUnsafe())
        }
        const fiber = yield* Effect.forkChild(images.resolve(reference, { onProgress }))
        running.push(fiber)
        yield* Fiber.await(fiber)
        assert.deepStrictEqual(readdirSync(join(cacheDirectory, "building")), [])
        registry.isWhole = true
        assert.isFalse((yield* images.resolve(reference)).wasCached)
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("every-failure-of-the-core-arrives-under-its-name", () =>
    Effect.gen(function* () {
      const { everyFailure } = yield* NativeImages.bridge
      const known = Object.keys(ImageReason.cases).filter((name) => name !== "OptionsInvalid")
      assert.deepStrictEqual(
        everyFailure.map(({ name }) => name),
        known
      )
      for (const { failed, message } of everyFailure) {
        assert.strictEqual(failed, "ImageError")
        assert.isNotEmpty(message)
      }
    })
  )
})
