/**
 * Turns the name of an image into a boot specification.
 *
 * @module
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import {
  type BootSpec,
  didYouMean,
  DurableFiles,
  linkWhole,
  makeDirectories,
  type Manifest,
  oneLine,
  Snapshots
} from "@stillpoint/core"
import type { ImageProgress } from "@stillpoint/images"
import { imageDiskName } from "@stillpoint/kit"
import { Effect, Schema } from "effect"
import { claimImage } from "./imageClaims.ts"
import { kitOf } from "./kitLayer.ts"
import { LongWorkListener } from "./LongWork.ts"
import { imageFor, type PlatformName, platformOfKit } from "./platforms.ts"
import { ImageNotKept, ImageUnknown } from "./SandboxError.ts"

/** The image to boot. */
export interface ImageOptions {
  /** `kit:httpd`, a small web server on port 8080 for trying things out, or a reference that `Images` resolves. */
  readonly image: string
  /** Guest memory in MiB; 128 for `kit:httpd`, 512 for others. */
  readonly memoryMib?: number
  /**
   * The platform of the guest. `auto`, if absent: an image's `linux/amd64` where this host runs that under KVM, else its
   * `linux/riscv64`, which every host runs; `kit:httpd` is one for riscv64.
   */
  readonly platform?: PlatformName
  /** Settings of the guest's workload that differ from the image's. */
  readonly workload?: WorkloadOptions
}

/** The guest's workload. Absent settings are the image's. */
export interface WorkloadOptions {
  /** The program and its arguments, in place of the image's entry point and command. */
  readonly argv?: readonly [string, ...ReadonlyArray<string>]
  /** Variables added to the image's environment. They are kept in the snapshot and in its manifest: no place for secrets. */
  readonly env?: Readonly<Record<string, string>>
  /** Absolute path of the directory to run in. */
  readonly cwd?: string
  /** `NAME` or `NUMBER`, then perhaps `:GROUP`, of the image's users. */
  readonly user?: string
}

const page = "<!doctype html>\n<title>Stillpoint</title>\n<p>It is captured and cloned, and still it answers.\n"

/** Guests that need nothing but the kit, by the names that follow `kit:`. */
const builtIn = {
  httpd: {
    workload: { argv: ["/bin/httpd", "-f", "-p", "8080", "-h", "/www"] },
    files: { "/www/index.html": { content: page } }
  }
} as const

/** The folder of images that the snapshots of a store read. */
export const imagesOf = (home: string): string => join(home, "images")

const keptImage = (home: string, digest: string): string => join(imagesOf(home), `${digest}.erofs`)

/** Keeps an image's file beside the snapshots, so that pruning the cache of images does not remove it. */
const keepImage = Effect.fnUntraced(function* (home: string, file: string, digest: string) {
  const path = keptImage(home, digest)
  if (existsSync(path)) return path
  const files = yield* DurableFiles
  yield* makeDirectories(files, imagesOf(home)).pipe(
    Effect.andThen(claimImage(path)),
    Effect.andThen(linkWhole(file, path)),
    Effect.scoped,
    Effect.mapError(({ code }) => new ImageNotKept({ path, code }))
  )
  return path
})

/** The beginnings of references that `Images` resolves. */
const sources = ["oci:", "oci-archive:", "docker-archive:", "docker://"]

/** The problem with an image that is neither a built-in one nor named by a source; `undefined` if it is one of these. */
export const unknownImage = (image: string): ImageUnknown | undefined => {
  if (sources.some((source) => image.startsWith(source))) return undefined
  if (!image.startsWith("kit:")) return new ImageUnknown({ found: image, meant: "" })
  const name = image.slice("kit:".length)
  return Object.hasOwn(builtIn, name)
    ? undefined
    : new ImageUnknown({ found: image, meant: didYouMean(name, Object.keys(builtIn)) })
}

/**
 * The boot specification for an image, with a network interface, so that its ports can be reached. `keep` puts the image's file
 * beside the snapshots again, in case it was pruned before a snapshot read it.
 */
export const imageSpec = Effect.fn("imageSpec")(function* (options: ImageOptions) {
  const { image, memoryMib, platform = "auto", workload = {} } = options
  const unknown = unknownImage(image)
  if (unknown !== undefined) return yield* unknown
  const guest = Object.entries(builtIn).find(([name]) => image === `kit:${name}`)?.[1]
  if (guest !== undefined) {
    const kit = yield* kitOf((yield* platformOfKit(image, platform)).platform)
    const spec = yield* kit.guest({ ...guest, workload: { ...guest.workload, ...workload }, network: true })
    const origin = { ...spec.origin, image }
    const booted = { ...spec, memoryMib: memoryMib ?? 128, network: {}, origin } satisfies BootSpec
    return { spec: booted, keep: Effect.void }
  }
  const { home } = yield* Snapshots
  const told = yield* LongWorkListener
  const onProgress = (progress: ImageProgress): void => {
    if (progress._tag === "Layer") told({ what: `layer ${progress.index + 1} of ${progress.count}`, ...progress })
    if (progress._tag === "Writing") told({ what: "image", ...progress })
  }
  const { resolved, ...chosen } = yield* imageFor(image, platform, { onProgress })
  const keep = keepImage(home, resolved.file, resolved.digest)
  const kit = yield* kitOf(chosen.platform)
  const spec = yield* kit.bootSpec({ image: { ...resolved, file: yield* keep }, workload, network: true })
  const origin = { ...spec.origin, ...(chosen.reason === null ? {} : { platformReason: chosen.reason }) }
  const booted = { ...spec, memoryMib: memoryMib ?? 512, network: {}, origin } satisfies BootSpec
  return { spec: booted, keep: Effect.asVoid(keep) }
})

const WithReason = Schema.Struct({
  origin: Schema.Struct({
    image: Schema.Struct({ platform: Schema.String }),
    platformReason: Schema.String
  })
})

/** The platform that an image was taken for and why it was that one, in words; `null` where there was no choice. */
export const platformInWords = ({ configuration }: Manifest): string | null =>
  Schema.is(WithReason)(configuration)
    ? `Its image was taken for ${oneLine(configuration.origin.image.platform)}: ${oneLine(configuration.origin.platformReason)}.`
    : null

/** The same guest, whatever the reason for its platform was. */
export const withoutReason = (spec: BootSpec): BootSpec => {
  const { platformReason: _reason, ...origin } = { ...spec.origin }
  return { ...spec, origin }
}

const OfImage = Schema.Struct({
  origin: Schema.Struct({ image: Schema.Struct({ digest: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/)) }) })
})

/** Digest of the image that a snapshot's guest runs; `null` where it runs none. */
export const imageOf = (manifest: Manifest): string | null =>
  Schema.is(OfImage)(manifest.configuration) ? manifest.configuration.origin.image.digest : null

/**
 * The path for the image of an imported snapshot. Each such snapshot has its own copy, because only a restore verifies that the
 * file is the named image.
 */
export const importedImage = (home: string, manifest: Manifest): string =>
  join(imagesOf(home), `of-${manifest.digest}.erofs`)

/** Path of the image that a snapshot of this store reads; `null` where it reads none. */
export const imageFileOf = (home: string, manifest: Manifest): string | null => {
  const digest = imageOf(manifest)
  if (digest === null) return null
  const imported = importedImage(home, manifest)
  return existsSync(imported) ? imported : keptImage(home, digest)
}

/** The paths of the disks of this store's snapshots, on whichever host they were baked. */
export const disksIn =
  (home: string) =>
  (manifest: Manifest): Readonly<Record<string, string>> => {
    const file = imageFileOf(home, manifest)
    return file === null ? {} : { [imageDiskName]: file }
  }
