/** Building images: a large one and one of very many files, beside `mkfs.erofs` on the same files as a tree on disk. */
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { Images } from "@stillpoint/images"
import { Effect } from "effect"
import { inTurns, median, milliseconds } from "./measure.ts"
import { finish, row, type Row } from "./row.ts"

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** Bytes that compress to about half, the same ones every time. */
const halfNoise = (size: number): Buffer => {
  const bytes = Buffer.alloc(size)
  let state = 1
  for (let at = 0; at < size; at += 2) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    bytes[at] = state >>> 16
  }
  return bytes
}

/** A layout with one image of one layer, from the folder `tree`. */
const layoutOf = (folder: string, tree: string): string => {
  const archive = join(folder, "layer.tar")
  execFileSync("tar", ["--sort=name", "--format=pax", "-C", tree, "-cf", archive, "."])
  const layer = readFileSync(archive)
  rmSync(archive)
  const layout = join(folder, "layout")
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true })
  const put = (bytes: Uint8Array) => {
    const digest = sha256(bytes)
    writeFileSync(join(layout, "blobs/sha256", digest.slice(7)), bytes)
    return { digest, size: bytes.length }
  }
  const json = (document: object) => put(Buffer.from(JSON.stringify(document)))
  const rootfs = { type: "layers", diff_ids: [sha256(layer)] }
  const config = json({ os: "linux", architecture: "riscv64", config: {}, rootfs })
  const compressed = put(gzipSync(layer, { level: 4 }))
  const manifest = json({
    schemaVersion: 2,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...compressed }]
  })
  const mediaType = "application/vnd.oci.image.manifest.v1+json"
  writeFileSync(join(layout, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
  writeFileSync(
    join(layout, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType, ...manifest }] })
  )
  return layout
}

const hasPeer = spawnSync("mkfs.erofs", ["-V"]).error === undefined
const folder = mkdtempSync(join(tmpdir(), "stillpoint-bench-images-"))

const rowsOf = async (suffix: string, fill: (tree: string) => void): Promise<ReadonlyArray<Row>> => {
  const here = join(folder, suffix)
  const tree = join(here, "tree")
  mkdirSync(tree, { recursive: true })
  fill(tree)
  const layout = layoutOf(here, tree)
  let sizeBytes = 0
  const ours = (): Promise<number> => {
    const cacheDirectory = join(here, "cache")
    rmSync(cacheDirectory, { recursive: true, force: true })
    const resolve = Images.use((images) => images.resolve(`oci:${layout}`))
    return milliseconds(async () => {
      const image = await Effect.runPromise(Effect.provide(resolve, Images.layer({ cacheDirectory })))
      sizeBytes = image.sizeBytes
    })
  }
  const target = join(here, "peer.erofs")
  const theirs = (): Promise<number> => {
    rmSync(target, { force: true })
    return milliseconds(() =>
      execFileSync("sh", ["-c", `mkfs.erofs -T0 "$0" "$1" >/dev/null 2>&1 && sync "$0"`, target, tree])
    )
  }
  const [own, peers] = await inTurns([ours, hasPeer ? theirs : () => Promise.resolve(Number.NaN)])
  const perSecond = (millis: number) => sizeBytes / 1e3 / millis
  const peer = "mkfs.erofs of a tree on disk, unpacked before"
  const compared = hasPeer
    ? { peer, better: "more" as const, peerValue: statSync(target).size / 1e3 / median(peers) }
    : {}
  const size = hasPeer ? { peer: "mkfs.erofs", peerValue: statSync(target).size / 1e6 } : {}
  rmSync(here, { recursive: true, force: true })
  return [
    row(`image-build/${suffix}`, "MB/s", perSecond(median(own)), compared),
    row(`image-build/${suffix}-time`, "ms", median(own)),
    row(`image-build/${suffix}-size`, "MB", sizeBytes / 1e6, size)
  ]
}

try {
  const large = await rowsOf("300-mb", (tree) => {
    for (let at = 0; at < 30; at++) writeFileSync(join(tree, `file-${at}`), halfNoise(10_000_000))
  })
  const many = await rowsOf("100000-files", (tree) => {
    for (let at = 0; at < 100; at++) {
      mkdirSync(join(tree, `folder-${at}`))
      for (let file = 0; file < 1000; file++) {
        writeFileSync(join(tree, `folder-${at}`, `file-${file}`), `content of ${at} and ${file}\n`.repeat(file % 90))
      }
    }
  })
  finish([...large, ...many])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
