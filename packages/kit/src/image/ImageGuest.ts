/**
 * A guest of an image: what is said of it, and what its machine and its agent are told.
 *
 * @module
 */
import {
  diskProblem,
  type DiskSpec,
  diskSpecSchema,
  type GuestImage,
  type WorkloadSpec,
  workloadSpecSchema
} from "@stillpoint/core"
import { Effect, Schema } from "effect"
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

/** What the image says of its run, said otherwise. Whatever is absent is as the image has it. */
const ImageWorkload = Schema.Struct({
  /** All of what is run: neither entry point nor command of the image counts. */
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
  /** `80/tcp`; for whoever asks what is served. */
  exposedPorts: Schema.optionalKey(Schema.Array(Schema.String.check(Schema.isPattern(/^\d{1,5}(\/(tcp|udp|sctp))?$/))))
})

const MountedDisk = Schema.Struct({
  /** What {@link DiskSpec} of `@stillpoint/core` says: the disk's serial number in the guest, its file, its size. */
  ...diskFields,
  /** Where it is mounted. */
  path: Schema.String.check(
    Schema.makeFilter((path: string) => /^\/[^\0]+$/.test(path), { expected: "a path below /" })
  ),
  /** Its file system; `ext4` if absent, and an empty disk is formatted then. */
  type: Schema.optionalKey(Schema.String)
}).check(Schema.makeFilter(diskProblem))

const ImageGuestData = Schema.Struct({
  workload: Schema.optionalKey(ImageWorkload),
  disks: Schema.optionalKey(Schema.Array(MountedDisk)),
  /** Whether nothing can be written but to disks. */
  readOnly: Schema.optionalKey(Schema.Boolean),
  /** What takes that which is written over the image: so much memory, half of what is free if absent, or a disk of that size. */
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

/** A guest of an image, as one writes it. */
export interface ImageGuestInput extends Schema.Codec.Encoded<typeof ImageGuestData> {
  /** As `Images` of `@stillpoint/images` resolves it. */
  readonly image: GuestImage
}

/** A guest of an image, as its machine and its agent need it. */
export interface ImageGuest {
  readonly workload: WorkloadSpec
  /** In the order in which the machine has them: the image, what takes the writes if that is a disk, the others. */
  readonly disks: ReadonlyArray<DiskSpec>
  /** Kernel modules that it takes. */
  readonly modules: ReadonlyArray<string>
  readonly exposedPorts: ReadonlyArray<string>
}

/** What guests of this kit run on. */
const platform = "linux/riscv64"

/** Names of the disks that are the kit's own: the image, and what takes the writes over it. `diskSources` of a restore asks for the first. */
export const imageDiskName = "stillpoint-root"
export const scratchDiskName = "stillpoint-scratch"

/** Every module that a guest of an image can need, for one that is booted before its image is known. */
export const imageModules = ["virtio_mmio", "virtio-rng", "virtio_blk", "erofs", "overlay", "ext4"] as const

const decode = Schema.decodeUnknownEffect(ImageGuestData, { errors: "all", onExcessProperty: "error" })
const refuse = (reason: ImageGuestReason) => new ImageGuestError({ reason })

const environmentOf = (image: GuestImage, more: Readonly<Record<string, string>>): Readonly<Record<string, string>> => {
  const own = image.config.env.flatMap((item) => {
    const at = item.indexOf("=")
    return at > 0 ? [[item.slice(0, at), item.slice(at + 1)] as const] : []
  })
  return { ...Object.fromEntries(own), ...more }
}

/**
 * Checks what was asked for, and says what it comes to.
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
export const imageGuest = Effect.fn("ImageGuest.make")(function* ({
  image,
  ...asked
}: ImageGuestInput): Effect.fn.Return<ImageGuest, ImageGuestError> {
  const guest = yield* decode(asked).pipe(
    Effect.mapError(({ message }) => refuse(new GuestInvalid({ problems: message })))
  )
  const name = image.imageDigest
  if (image.platform.split("/").slice(0, 2).join("/") !== platform) {
    return yield* refuse(new PlatformMismatch({ image: name, expected: platform, found: image.platform }))
  }
  const { argv: all, cmd, entrypoint, exposedPorts, stopSignal, stopNanos, ...said } = guest.workload ?? {}
  const argv = all ?? [
    ...(entrypoint ?? image.config.entrypoint),
    ...(cmd ?? (entrypoint === undefined ? image.config.cmd : []))
  ]
  const [program, ...rest] = argv
  if (program === undefined) return yield* refuse(new EntryPointMissing({ image: name }))
  const signal = String(stopSignal ?? (image.config.stopSignal || "SIGTERM"))
  const number = signalNumber(signal)
  if (number === undefined) return yield* refuse(new StopSignalUnknown({ found: signal }))
  const mounted = guest.disks ?? []
  const names = [imageDiskName, scratchDiskName, ...mounted.map((each) => each.name)]
  const twice = names.find((each, index) => names.indexOf(each) !== index)
  if (twice !== undefined) return yield* refuse(new DiskNameTaken({ name: twice }))

  const { disks: _disks, readOnly, scratch, workload: _workload, ...more } = guest
  const { config } = image
  const cwd = said.cwd ?? config.workingDir
  const user = said.user ?? config.user
  const onDisk = scratch !== undefined && "diskBytes" in scratch
  const workload: WorkloadSpec = {
    ...more,
    ...said,
    argv: [program, ...rest],
    env: environmentOf(image, said.env ?? {}),
    ...(cwd === "" ? {} : { cwd }),
    ...(user === "" ? {} : { user }),
    stopSignal: number,
    ...(stopNanos === undefined ? {} : { stopNanos }),
    root: {
      device: imageDiskName,
      ...(readOnly === undefined ? {} : { readOnly }),
      ...(scratch === undefined
        ? {}
        : { scratch: "diskBytes" in scratch ? { device: scratchDiskName } : { bytes: scratch.memoryBytes } })
    },
    volumes: mounted.map((each) => ({
      device: each.name,
      path: each.path,
      ...(each.type === undefined ? {} : { type: each.type }),
      ...(each.access === "read" ? { readOnly: true } : {})
    }))
  }
  const disks: ReadonlyArray<DiskSpec> = [
    { name: imageDiskName, access: "read", source: image.file, sizeBytes: image.sizeBytes },
    ...(onDisk ? [{ name: scratchDiskName, access: "scratch" as const, sizeBytes: scratch.diskBytes }] : []),
    ...mounted.map(({ path: _path, type: _type, ...disk }) => disk)
  ]
  const types = new Set(mounted.map((each) => each.type ?? "ext4"))
  const modules = imageModules.filter((each) => each !== "ext4" || onDisk || types.has("ext4"))
  return { workload, disks, modules, exposedPorts: exposedPorts ?? config.exposedPorts }
})
