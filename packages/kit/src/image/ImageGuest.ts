/**
 * A guest of an image: its options, and the settings of its machine and its agent.
 *
 * @module
 */
import { posix } from "node:path"
import {
  diskProblem,
  type DiskSpec,
  diskSpecSchema,
  type GuestImage,
  type GuestPlatform,
  type WorkloadSpec,
  workloadSpecSchema
} from "@stillpoint/core"
import { Effect, Result, Schema } from "effect"
import {
  DiskNameTaken,
  EntryPointMissing,
  GuestInvalid,
  ImageGuestError,
  type ImageGuestReason,
  PlatformMismatch,
  StopSignalUnknown
} from "./ImageGuestError.ts"
import { signalNumber } from "./signals.ts"

const { fields } = workloadSpecSchema
const { fields: diskFields } = diskSpecSchema
const Plain = Schema.String.check(
  Schema.makeFilter((text: string) => !text.includes("\0"), { expected: "no NUL characters" })
)

/** Overrides of the image's configuration. Absent fields are the image's. */
const ImageWorkload = Schema.Struct({
  /** The whole command: neither entry point nor command of the image counts. */
  argv: Schema.optionalKey(Schema.NonEmptyArray(Plain)),
  /** In place of the image's, whose command then does not count either. */
  entrypoint: Schema.optionalKey(Schema.Array(Plain)),
  cmd: Schema.optionalKey(Schema.Array(Plain)),
  /** Added to the image's environment. */
  env: fields.env,
  cwd: fields.cwd,
  user: fields.user,
  groups: fields.groups,
  /** By name or number. */
  stopSignal: Schema.optionalKey(Schema.Union([Schema.String, Schema.Int])),
  stopNanos: fields.stopNanos,
  /** `80/tcp`; informative only. */
  exposedPorts: Schema.optionalKey(Schema.Array(Schema.String.check(Schema.isPattern(/^\d{1,5}(\/(tcp|udp|sctp))?$/))))
})

const MountedDisk = Schema.Struct({
  /** The fields of {@link DiskSpec} of `@stillpoint/core`: the disk's serial number in the guest, its file, its size. */
  ...diskFields,
  /** The mount point. */
  path: Schema.String.check(
    Schema.makeFilter((path: string) => /^\/[^\0]+$/.test(path), { expected: "a path below /" })
  ),
  /** Its file system; `ext4` if absent, and an empty disk is formatted then. */
  type: Schema.optionalKey(Schema.String)
}).check(Schema.makeFilter(diskProblem))

const texts = Schema.Array(Schema.String)

/** The part of {@link GuestImage} that is made use of here; an image has more. */
const Image = Schema.Struct({
  file: Schema.NonEmptyString,
  digest: Schema.String,
  sizeBytes: Schema.Natural,
  imageDigest: Schema.String,
  platform: Schema.String,
  config: Schema.Struct({
    user: Schema.String,
    exposedPorts: texts,
    env: texts,
    entrypoint: texts,
    cmd: texts,
    workingDir: Schema.String,
    stopSignal: Schema.String
  })
})

const ImageGuestData = Schema.Struct({
  workload: Schema.optionalKey(ImageWorkload),
  disks: Schema.optionalKey(Schema.Array(MountedDisk)),
  /** Whether only disks can be written. */
  readOnly: Schema.optionalKey(Schema.Boolean),
  /** The place for writes over the image: memory of this size (half of the free memory if absent), or a disk of that size. */
  scratch: Schema.optionalKey(
    Schema.Union([Schema.Struct({ memoryBytes: Schema.Natural }), Schema.Struct({ diskBytes: Schema.Natural })])
  ),
  hold: fields.hold,
  holdNanos: fields.holdNanos,
  hostname: fields.hostname,
  listeners: fields.listeners,
  resolvConf: fields.resolvConf,
  hosts: fields.hosts,
  identityHook: fields.identityHook,
  identityHookNanos: fields.identityHookNanos,
  identitySignal: fields.identitySignal
})

/** A guest of an image, as a caller writes it. */
export interface ImageGuestInput extends Schema.Codec.Encoded<typeof ImageGuestData> {
  /** As `Images` of `@stillpoint/images` resolves it. */
  readonly image: GuestImage
}

/** A guest of an image, as its machine and its agent need it. */
export interface ImageGuest {
  readonly workload: WorkloadSpec
  /** In the machine's order: the image, the scratch disk for writes if there is one, the others. */
  readonly disks: ReadonlyArray<DiskSpec>
  /** Kernel modules that it needs. */
  readonly modules: ReadonlyArray<string>
  readonly exposedPorts: ReadonlyArray<string>
}

/** Name of the image's disk; use it in `diskSources` of a restore. The kit's other disk holds the writes over the image. */
export const imageDiskName = "stillpoint-root"
export const scratchDiskName = "stillpoint-scratch"

/** All modules that a guest of an image can need, for a guest that is booted before its image is known. */
export const imageModules = ["virtio_mmio", "virtio-rng", "virtio_blk", "erofs", "overlay", "ext4"] as const

const decode = Schema.decodeUnknownEffect(ImageGuestData, { errors: "all", onExcessProperty: "error" })
const decodeWorkload = Schema.decodeUnknownResult(workloadSpecSchema, { errors: "all" })
const decodeImage = Schema.decodeUnknownEffect(Image, { errors: "all" })

/** Refuses a guest for all that is wrong with it. */
const refuseAll = ([reason, ...others]: ReadonlyArray<ImageGuestReason>) =>
  reason === undefined ? Effect.void : new ImageGuestError({ reason, others })

/** Valid options, of an image that this kit's guests can run. */
const checked = Effect.fn("ImageGuest.checked")(function* (
  image: GuestImage,
  asked: Omit<ImageGuestInput, "image">,
  platform: string
) {
  const [found, guest] = yield* Effect.all([Effect.result(decodeImage(image)), Effect.result(decode(asked))])
  const problems: Array<ImageGuestReason> = []
  if (Result.isFailure(found)) problems.push(new GuestInvalid({ problems: `image: ${found.failure.message}` }))
  else if (found.success.platform.split("/").slice(0, 2).join("/") !== platform) {
    const { imageDigest, platform: other } = found.success
    problems.push(new PlatformMismatch({ image: imageDigest, expected: platform, found: other }))
  }
  if (Result.isFailure(guest)) {
    const invalid = new GuestInvalid({ problems: guest.failure.message })
    const [reason = invalid, ...others] = [...problems, invalid]
    return yield* new ImageGuestError({ reason, others })
  }
  yield* refuseAll(problems)
  return guest.success
})

const repeated = (names: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(names.filter((name, index) => names.indexOf(name) !== index))
]

/** Normalises an image's path: `/srv/app/` is `/srv/app`. A relative one stays, and is refused later. */
const plainPath = (path: string): string =>
  path.startsWith("/") && !path.includes("\0") ? posix.resolve("/", path) : path

/** The depth of a folder: a mount point comes before those below it. */
const depthOf = ({ path }: { readonly path: string }): number => path.split("/").filter((part) => part !== "").length

/** Bytes that the guest needs of an empty disk to make a file system on it. */
const leastBytes = 8 << 20

/** Empty disks on which the guest could make no file system. */
const tooSmall = ({ disks = [], scratch }: typeof ImageGuestData.Type): ReadonlyArray<string> => {
  const sizes = disks.map(({ access, sizeBytes, type = "ext4" }, index) => {
    const isMade = (access === "scratch" || access === "volume") && type === "ext4"
    return [`disks[${index}].sizeBytes`, isMade ? sizeBytes : undefined] as const
  })
  const upper = scratch !== undefined && "diskBytes" in scratch ? scratch.diskBytes : undefined
  return [...sizes, ["scratch.diskBytes", upper] as const].flatMap(([place, found]) =>
    found === undefined || found >= leastBytes
      ? []
      : [`${place}: expected at least ${leastBytes}, for a file system to be made on it, found ${found}`]
  )
}

const environmentOf = (image: GuestImage, more: Readonly<Record<string, string>>): Readonly<Record<string, string>> => {
  const own = image.config.env.flatMap((item) => {
    const at = item.indexOf("=")
    return at > 0 ? [[item.slice(0, at), item.slice(at + 1)] as const] : []
  })
  return { ...Object.fromEntries(own), ...more }
}

/**
 * Checks the options of a guest and returns its disks, modules and workload. The guest, and its image, are for the platform of the kit.
 *
 * @example
 * ```ts
 * import { imageGuest } from "@stillpoint/kit"
 * import { Effect } from "effect"
 *
 * const image = {
 *   file: "/cache/redis.erofs",
 *   digest: "00".repeat(32),
 *   sizeBytes: 1 << 20,
 *   imageDigest: "sha256:redis",
 *   platform: "linux/riscv64",
 *   layers: [],
 *   config: {
 *     user: "redis",
 *     exposedPorts: ["6379/tcp"],
 *     env: [],
 *     entrypoint: [],
 *     cmd: ["redis-server"],
 *     volumes: [],
 *     workingDir: "/data",
 *     labels: {},
 *     stopSignal: ""
 *   }
 * }
 * const guest = imageGuest({ image, workload: { cmd: ["redis-server", "--appendonly", "yes"] } })
 * const { disks, workload } = await Effect.runPromise(guest)
 * console.log(workload.argv.join(" "), workload.user, workload.stopSignal) // redis-server --appendonly yes redis 15
 * console.log(disks.map(({ access, name }) => `${name} ${access}`)) // [ 'stillpoint-root read' ]
 * ```
 */
export const imageGuest = Effect.fn("ImageGuest.make")(function* (
  given: ImageGuestInput,
  platform: GuestPlatform = "riscv64"
): Effect.fn.Return<ImageGuest, ImageGuestError> {
  // A value that is not an object has no image.
  const { image, ...asked } = { ...given }
  const guest = yield* checked(image, asked, `linux/${platform}`)
  const { argv: all, cmd, entrypoint, exposedPorts, stopSignal, stopNanos, ...said } = guest.workload ?? {}
  const argv = all ?? [
    ...(entrypoint ?? image.config.entrypoint),
    ...(cmd ?? (entrypoint === undefined ? image.config.cmd : []))
  ]
  const [program = "", ...rest] = argv
  const signal = String(stopSignal ?? (image.config.stopSignal || "SIGTERM"))
  const number = signalNumber(signal)
  const mounted = guest.disks ?? []
  const names = [imageDiskName, scratchDiskName, ...mounted.map((each) => each.name)]
  const volumes = mounted
    .toSorted((a, b) => depthOf(a) - depthOf(b))
    .map((each) => ({
      device: each.name,
      path: each.path,
      ...(each.type === undefined ? {} : { type: each.type }),
      ...(each.access === "read" ? { readOnly: true } : {})
    }))
  // An image may name folders that none of its layers has, and that its programs write to all the same.
  const folders = image.config.volumes.map((path) => posix.resolve("/", path)).filter((path) => path !== "/")
  const { disks: _disks, readOnly, scratch, workload: _workload, ...more } = guest
  const { config } = image
  const cwd = plainPath(said.cwd ?? config.workingDir)
  const user = said.user ?? config.user
  const onDisk = scratch !== undefined && "diskBytes" in scratch
  const workload: WorkloadSpec = {
    ...more,
    ...said,
    argv: [program, ...rest],
    env: environmentOf(image, said.env ?? {}),
    ...(cwd === "" ? {} : { cwd }),
    ...(user === "" ? {} : { user }),
    stopSignal: number ?? 0,
    ...(stopNanos === undefined ? {} : { stopNanos }),
    root: {
      device: imageDiskName,
      ...(readOnly === undefined ? {} : { readOnly }),
      ...(scratch === undefined
        ? {}
        : { scratch: "diskBytes" in scratch ? { device: scratchDiskName } : { bytes: scratch.memoryBytes } })
    },
    ...(folders.length === 0 ? {} : { folders }),
    volumes
  }
  // The image's configuration is no more trusted than its content.
  const told = decodeWorkload(workload)
  yield* refuseAll([
    ...(argv.length === 0 ? [new EntryPointMissing({ image: image.imageDigest })] : []),
    ...(number === undefined ? [new StopSignalUnknown({ found: signal })] : []),
    ...repeated(names).map((name) => new DiskNameTaken({ name })),
    ...(Result.isFailure(told) ? [new GuestInvalid({ problems: told.failure.message })] : []),
    ...tooSmall(guest).map((problems) => new GuestInvalid({ problems }))
  ])

  const disks: ReadonlyArray<DiskSpec> = [
    { name: imageDiskName, access: "read", source: image.file, sizeBytes: image.sizeBytes },
    ...(onDisk ? [{ name: scratchDiskName, access: "scratch" as const, sizeBytes: scratch.diskBytes }] : []),
    ...mounted.map(({ path: _path, type: _type, ...disk }) => disk)
  ]
  const types = new Set(mounted.map((each) => each.type ?? "ext4"))
  const modules = imageModules.filter((each) => each !== "ext4" || onDisk || types.has("ext4"))
  return { workload, disks, modules, exposedPorts: exposedPorts ?? config.exposedPorts }
})
