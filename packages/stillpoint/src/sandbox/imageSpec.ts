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
  Snapshots
} from "@stillpoint/core"
import { type ImageProgress, Images } from "@stillpoint/images"
import { GuestKit, imageDiskName } from "@stillpoint/kit"
import { Effect, Schema } from "effect"
import { LongWorkListener } from "./LongWork.ts"
import { ImageNotKept, ImageUnknown } from "./SandboxError.ts"

/** The image to boot. */
export interface ImageOptions {
  /** `kit:httpd`, a small web server on port 8080 for trying things out, or a reference that `Images` resolves. */
  readonly image: string
  /** Guest memory in MiB; 128 for `kit:httpd`, 512 for others. */
  readonly memoryMib?: number
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
  yield* Effect.andThen(makeDirectories(files, imagesOf(home)), linkWhole(file, path)).pipe(
    Effect.mapError(({ code }) => new ImageNotKept({ path, code }))
  )
  return path
})

/** The problem with the name of a built-in image; `undefined` if it is valid, or is a reference. */
export const unknownImage = (image: string): ImageUnknown | undefined => {
  if (!image.startsWith("kit:")) return undefined
  const name = image.slice("kit:".length)
  return Object.hasOwn(builtIn, name)
    ? undefined
    : new ImageUnknown({ found: image, meant: didYouMean(name, Object.keys(builtIn)) })
}

/**
 * The boot specification for an image, with a network interface, so that its ports can be reached. `keep` puts the image's file
 * beside the snapshots again, in case it was pruned before a snapshot read it.
 */
export const imageSpec = Effect.fn("imageSpec")(function* ({ image, memoryMib, workload = {} }: ImageOptions) {
  const kit = yield* GuestKit
  const unknown = unknownImage(image)
  if (unknown !== undefined) return yield* unknown
  const guest = Object.entries(builtIn).find(([name]) => image === `kit:${name}`)?.[1]
  if (guest !== undefined) {
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
  const resolved = yield* Images.use((images) => images.resolve(image, { onProgress }))
  const keep = keepImage(home, resolved.file, resolved.digest)
  const spec = yield* kit.bootSpec({ image: { ...resolved, file: yield* keep }, workload, network: true })
  return { spec: { ...spec, memoryMib: memoryMib ?? 512, network: {} } satisfies BootSpec, keep: Effect.asVoid(keep) }
})

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
