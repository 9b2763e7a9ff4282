/** Small OCI layouts, for tests. */
import { createHash } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync, zstdCompressSync } from "node:zlib"

/** An entry of a layer. */
export interface LayerEntry {
  readonly path: string
  readonly type?: "file" | "directory" | "symlink" | "hardlink"
  readonly content?: string | Uint8Array
  readonly link?: string
  readonly mode?: number
  /** Its owner; user and group 1000 if absent. */
  readonly owner?: number
}

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

const typeOf = { file: "0", hardlink: "1", symlink: "2", directory: "5" } as const

/** A tar archive. */
export const tar = (entries: ReadonlyArray<LayerEntry>): Uint8Array => {
  const blocks: Array<Uint8Array> = []
  for (const { content = "", link = "", mode, owner = 1000, path, type = "file" } of entries) {
    const data = typeof content === "string" ? Buffer.from(content) : content
    const header = Buffer.alloc(512)
    header.write(path, 0)
    header.write((mode ?? (type === "directory" ? 0o755 : 0o644)).toString(8).padStart(7, "0"), 100)
    for (const at of [108, 116]) header.write(`${owner.toString(8).padStart(7, "0")}\0`, at)
    header.write(data.length.toString(8).padStart(11, "0"), 124)
    header.write((1_700_000_000).toString(8).padStart(11, "0"), 136)
    header.write("        ", 148)
    header.write(typeOf[type], 156)
    header.write(link, 157)
    header.write("ustar\u000000", 257)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
    blocks.push(header, data, Buffer.alloc((512 - (data.length % 512)) % 512))
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

/** The compression of a layer. */
export type Compression = "none" | "gzip" | "zstd"

/** The content of a layout. */
export interface LayoutSpec {
  readonly layers: ReadonlyArray<ReadonlyArray<LayerEntry> | Uint8Array>
  readonly tag?: string
  readonly platform?: { readonly os: string; readonly architecture: string }
  readonly config?: object
  readonly compression?: Compression
}

const compressed = (archive: Uint8Array, compression: Compression): Uint8Array =>
  compression === "none" ? archive : compression === "gzip" ? gzipSync(archive) : zstdCompressSync(archive)

const suffix = { none: "", gzip: "+gzip", zstd: "+zstd" } as const

/** Writes a layout of one image, or of one for each of several platforms. */
export const writeLayout = (folder: string, specs: ReadonlyArray<LayoutSpec>): string => {
  const blobs = join(folder, "blobs/sha256")
  mkdirSync(blobs, { recursive: true })
  const put = (bytes: Uint8Array) => {
    const digest = sha256(bytes)
    writeFileSync(join(blobs, digest.slice(7)), bytes)
    return { digest, size: bytes.length }
  }
  const putJson = (document: object) => put(Buffer.from(JSON.stringify(document)))
  const manifests = specs.map(({ compression = "gzip", config = {}, layers, platform, tag = "latest" }) => {
    const on = platform ?? { os: "linux", architecture: "riscv64" }
    const archives = layers.map((layer) => (layer instanceof Uint8Array ? layer : tar(layer)))
    const described = {
      mediaType: "application/vnd.oci.image.config.v1+json",
      ...putJson({ ...on, config, rootfs: { type: "layers", diff_ids: archives.map(sha256) } })
    }
    const manifest = putJson({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: described,
      layers: archives.map((archive) => ({
        mediaType: `application/vnd.oci.image.layer.v1.tar${suffix[compression]}`,
        ...put(compressed(archive, compression))
      }))
    })
    return {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      ...manifest,
      ...(platform === undefined ? {} : { platform }),
      annotations: { "org.opencontainers.image.ref.name": tag }
    }
  })
  writeFileSync(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }))
  writeFileSync(join(folder, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }))
  return folder
}
