import { createHash } from "node:crypto"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Images } from "./Images.ts"
import type { ImagesOptions } from "./ImagesOptions.ts"
import type { ImageReason } from "./ImageError.ts"
import { writeLayout } from "./testing/ociLayout.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-bad-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** A layout of one image, and what in it is changed. */
class Layout {
  readonly path: string

  constructor(path: string) {
    this.path = writeLayout(path, [{ layers: [[{ path: "a", content: "b".repeat(50_000) }]], compression: "none" }])
  }

  blob(digest: string): string {
    return join(this.path, "blobs/sha256", digest.slice(7))
  }

  put(content: string | Uint8Array): { readonly digest: string; readonly size: number } {
    const bytes = Buffer.from(content)
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`
    writeFileSync(this.blob(digest), bytes)
    return { digest, size: bytes.length }
  }

  get index(): { manifests: Array<{ digest: string; mediaType: string }> } {
    return JSON.parse(readFileSync(join(this.path, "index.json"), "utf8"))
  }

  get manifest(): { layers: Array<{ digest: string; mediaType: string }>; config: { digest: string } } {
    return JSON.parse(readFileSync(this.blob(this.index.manifests[0]?.digest ?? ""), "utf8"))
  }

  get layer(): string {
    return this.manifest.layers[0]?.digest ?? ""
  }

  /** The image's manifest is another document, which the index names rightly. */
  rename(manifest: object | string, described: object = {}): void {
    const text = typeof manifest === "string" ? manifest : JSON.stringify(manifest)
    const index = this.index
    const manifests = index.manifests.map((entry) => ({ ...entry, ...this.put(text), ...described }))
    writeFileSync(join(this.path, "index.json"), JSON.stringify({ ...index, manifests }))
  }

  layerAs(described: object): void {
    const { manifest } = this
    this.rename({ ...manifest, layers: manifest.layers.map((layer) => ({ ...layer, ...described })) })
  }
}

/** A bad input, the name of its refusal, and the expected and found parts of its message. */
interface Bad {
  readonly spoil: (layout: Layout) => void
  readonly reason: ImageReason["_tag"]
  readonly said: (layout: Layout) => ReadonlyArray<string>
}

const zeros = `sha256:${"0".repeat(64)}`

const layouts: Readonly<Record<string, Bad>> = {
  "a-blob-that-is-missing": {
    spoil: (layout) => rmSync(layout.blob(layout.layer)),
    reason: "BlobMissing",
    said: (layout) => [layout.path, layout.layer, "found none"]
  },
  "a-blob-of-another-digest": {
    spoil: (layout) => {
      const path = layout.blob(layout.layer)
      writeFileSync(path, Buffer.alloc(statSync(path).size))
    },
    reason: "BlobDigestWrong",
    said: (layout) => [`expected the digest ${layout.layer}`, "found sha256:"]
  },
  "a-blob-that-is-too-short": {
    spoil: (layout) => truncateSync(layout.blob(layout.layer), 1000),
    reason: "BlobSizeWrong",
    said: (layout) => [layout.layer, "expected 51712 bytes", "found 1000"]
  },
  "a-blob-of-a-length-that-is-no-safe-number": {
    spoil: (layout) => layout.layerAs({ size: 2 ** 53 }),
    reason: "BlobSizeWrong",
    said: (layout) => [layout.layer, "expected 9007199254740992 bytes", "found 51712"]
  },
  "a-layer-that-unpacks-to-another-archive": {
    spoil: (layout) => layout.layerAs(layout.put(Buffer.alloc(1024))),
    reason: "DiffIdWrong",
    said: () => ["layer 0", "expected its archive to have the digest sha256:", "found sha256:"]
  },
  "a-layer-of-an-unknown-media-type": {
    spoil: (layout) => layout.layerAs({ mediaType: "application/x-of-tomorrow" }),
    reason: "MediaTypeUnknown",
    said: () => ["expected the media type", '"application/x-of-tomorrow"']
  },
  "a-manifest-of-an-unknown-media-type": {
    spoil: (layout) =>
      layout.rename(
        { ...layout.manifest, mediaType: "application/x-of-tomorrow" },
        { mediaType: "application/x-of-tomorrow" }
      ),
    reason: "MediaTypeUnknown",
    said: () => ["expected the media type", '"application/x-of-tomorrow"']
  },
  "a-manifest-of-schema-1": {
    spoil: (layout) => layout.rename({ schemaVersion: 1, name: "old", fsLayers: [], history: [] }),
    reason: "SchemaOne",
    said: () => ["expected a manifest of schema 2", "found schema 1"]
  },
  "a-foreign-layer": {
    spoil: (layout) => layout.layerAs({ mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" }),
    reason: "ForeignLayer",
    said: (layout) => [layout.layer, "expected one that the registry distributes", "foreign"]
  },
  "a-manifest-that-is-no-document": {
    spoil: (layout) => layout.rename("{"),
    reason: "DocumentInvalid",
    said: () => ["expected", "found"]
  },
  "a-name-that-is-not-there": {
    spoil: (layout) => {
      const index = layout.index
      const annotations = { "org.opencontainers.image.ref.name": "other" }
      const manifests = index.manifests.map((entry) => ({ ...entry, annotations }))
      writeFileSync(join(layout.path, "index.json"), JSON.stringify({ ...index, manifests }))
    },
    reason: "ImageUnknown",
    said: () => ["expected the image", "latest", "found", "other"]
  }
}

/** A registry's treatment of one of an image's blobs. */
type Answers = (response: ServerResponse, bytes: Buffer) => void

const registries: Readonly<Record<string, Omit<Bad, "spoil" | "said"> & { answers: Answers; said: Array<string> }>> = {
  "a-registry-that-hangs": {
    answers: () => {},
    reason: "TimedOut",
    said: ["127.0.0.1"]
  },
  "a-registry-that-hangs-in-the-middle-of-a-layer": {
    answers: (response, bytes) => {
      response.writeHead(200, { "content-length": bytes.length })
      response.write(bytes.subarray(0, 20_000))
    },
    reason: "TimedOut",
    said: ["127.0.0.1"]
  },
  "a-registry-that-announces-more-than-there-is": {
    answers: (response, bytes) => {
      response.writeHead(200, { "content-length": bytes.length + 5 })
      response.end(Buffer.concat([bytes, Buffer.alloc(5)]))
    },
    reason: "BlobSizeWrong",
    said: ["expected 51712 bytes", "found"]
  },
  "a-registry-that-hands-out-more-than-there-is": {
    answers: (response, bytes) => void response.writeHead(200).end(Buffer.concat([bytes, Buffer.alloc(99)])),
    reason: "BlobSizeWrong",
    said: ["expected 51712 bytes", "found more"]
  },
  "a-registry-that-hands-out-another-layer": {
    answers: (response, bytes) => {
      response.writeHead(200, { "content-length": bytes.length }).end(Buffer.alloc(bytes.length))
    },
    reason: "BlobDigestWrong",
    said: ["expected the digest sha256:", "found sha256:"]
  },
  "a-registry-that-has-not-got-the-layer": {
    answers: (response) => void response.writeHead(404).end(),
    reason: "BlobMissing",
    said: ["127.0.0.1", "sha256:"]
  }
}

/** A registry with the image of a layout, which answers in its own way when it is asked for the layer. */
const registryOf = (layout: Layout, answers: Answers) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly host: string; readonly close: () => void }>((resume) => {
      const server = createServer(({ url = "" }, response) => {
        const named = url.includes("/manifests/") ? layout.index.manifests[0]?.digest : undefined
        const digest = named ?? /sha256:[0-9a-f]{64}/.exec(url)?.[0] ?? zeros
        const bytes = readFileSync(layout.blob(digest))
        if (digest === layout.layer) return answers(response, bytes)
        response.writeHead(200, { "content-length": bytes.length }).end(bytes)
      })
      server.listen(0, "127.0.0.1", () => {
        const close = () => {
          server.closeAllConnections()
          server.close()
        }
        resume(Effect.succeed({ host: `127.0.0.1:${(server.address() as AddressInfo).port}`, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

/** Refused by that name and in these words, and nothing of it is in the cache. */
const isRefused = (
  reference: string,
  reason: ImageReason["_tag"],
  said: ReadonlyArray<string>,
  options: ImagesOptions = {}
) =>
  Effect.gen(function* () {
    const cacheDirectory = yield* folder
    const refused = yield* Effect.flip(Images.use((images) => images.resolve(reference))).pipe(
      Effect.provide(Images.layer({ cacheDirectory, ...options }))
    )
    assert.strictEqual(refused.reason._tag, reason, refused.message)
    for (const words of said) assert.include(refused.message, words)
    for (const part of ["images", "building", "keys"]) {
      assert.deepStrictEqual(readdirSync(join(cacheDirectory, part)), [], part)
    }
  })

describe("refused-by-name-with-nothing-left-in-the-cache-is", () => {
  for (const [name, { reason, said, spoil }] of Object.entries(layouts)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const layout = new Layout(yield* folder)
        const words = said(layout)
        spoil(layout)
        yield* isRefused(`oci:${layout.path}:latest`, reason, words)
      })
    )
  }

  for (const [name, { answers, reason, said }] of Object.entries(registries)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const layout = new Layout(yield* folder)
        const { host } = yield* registryOf(layout, answers)
        yield* isRefused(`docker://${host}/image`, reason, said, { silenceMillis: 500 })
      })
    )
  }
})
