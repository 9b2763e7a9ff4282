/**
 * From locked packages to files on this host: from the cache, the archive, or the service for old packages.
 *
 * @module
 */
import type { DurableFilesShape, GuestPlatform } from "@stillpoint/core"
import { Effect, Option, Result } from "effect"
import { join } from "node:path"
import { type Archive, requirePackage } from "./archive/Archive.ts"
import type { ArchivePackage } from "./archive/PackageIndex.ts"
import { unpackKernel } from "./deb/kernelImage.ts"
import { type Among, extract, type Wanted } from "./deb/extract.ts"
import type { GuestKitConfig } from "./GuestKitConfig.ts"
import {
  type KitCache,
  loadSubstitute,
  loadUnpacked,
  makeStaging,
  storeSubstitute,
  storeUnpacked,
  sweep,
  type Look,
  type UnpackedFiles
} from "./KitCache.ts"
import { FileUnusable, FormatInvalid, KitConfigInvalid, KitError, LockedPackageGone } from "./KitError.ts"
import { type KitLock, type LockedPackage, readLock } from "./KitLock.ts"
import { builtInModules, builtInPath, modulePath, takeModules } from "./modules/kernelModules.ts"

/** A package that was used instead of the locked one. */
export interface Substitute {
  readonly locked: LockedPackage
  readonly taken: LockedPackage
}

/** The kit's files on this host. */
export interface KitFiles {
  /** The platform of their guests. */
  readonly platform: GuestPlatform
  readonly kernelPath: string
  readonly kernelVersion: string
  readonly busyboxPath: string
  readonly busyboxVersion: string
  /** Kernel modules by name, such as `virtio_mmio`: those that guests may need, and their dependencies. */
  readonly modulePaths: ReadonlyMap<string, string>
  /** The list of modules that are built into the kernel; `null` if the package has none. */
  readonly builtInPath: string | null
  /** The packages that they came from: kernel, busybox. */
  readonly packages: ReadonlyArray<LockedPackage>
  /** Packages that were used instead of locked ones; empty if the lock was kept. */
  readonly substitutes: ReadonlyArray<Substitute>
}

/** Debian's names of the kernels: the package that names the current one, and the end of each one's name. */
const kernelFlavours: Readonly<Record<GuestPlatform, string>> = { riscv64: "riscv64", amd64: "cloud-amd64" }
const busyboxName = "busybox-static"
const builtInName = "modules.builtin"
const kernelName = "vmlinux"

const wantedOf: Readonly<Record<"kernel" | "busybox", ReadonlyArray<Wanted>>> = {
  // Up to Debian 13 in /boot; later beside the modules, as an EFI image that unpacks itself.
  kernel: [
    {
      path: /^(boot\/vmlinu[xz]-[^/]+|(usr\/)?lib\/modules\/[^/]+\/vmlinu[xz])$/,
      as: kernelName,
      required: true,
      unpack: unpackKernel
    },
    { path: builtInPath, as: builtInName, required: false }
  ],
  busybox: [{ path: /^(usr\/)?bin\/busybox$/, as: "busybox", required: true }]
}

const kernelModules: Among = {
  path: modulePath,
  choose: (modules, taken) => takeModules(modules, builtInModules(String(taken.get(builtInName) ?? "")))
}

const locked = (item: ArchivePackage): LockedPackage => ({
  name: item.name,
  version: item.version,
  filename: item.filename,
  sizeBytes: item.sizeBytes,
  sha256: item.sha256
})

/** The newest kernel and busybox of the archive's signed index. */
export const newest = Effect.fn("GuestKit.newest")(function* (archive: Archive["Service"], platform: GuestPlatform) {
  const { config } = archive
  if (config.architecture !== platform) {
    const problems = `expected an archive for the kit's platform ${platform}, found one for ${config.architecture}: provide Archive.layerOf("${platform}")`
    return yield* new KitError({ reason: new KitConfigInvalid({ what: "the guest kit", problems }) })
  }
  const flavour = kernelFlavours[platform]
  const kernelMeta = `linux-image-${flavour}`
  const isKernel = (name: string): boolean =>
    name.endsWith(`-${flavour}`) && /^linux-image-[0-9][0-9a-z.+]*$/.test(name.slice(0, -flavour.length - 1))
  const found = yield* archive.find((name) => name === kernelMeta || name === busyboxName || isKernel(name))
  const meta = yield* requirePackage(config, found, kernelMeta)
  // The meta package names the kernel that is current; others may linger in the index.
  const concrete = meta.depends.find(isKernel) ?? kernelMeta
  return {
    formatVersion: 1,
    suite: config.suite,
    architecture: config.architecture,
    kernel: locked(yield* requirePackage(config, found, concrete)),
    busybox: locked(yield* requirePackage(config, found, busyboxName))
  } satisfies KitLock
})

const isGone = (error: KitError): boolean =>
  error.reason._tag === "ArchiveUnreachable" && (error.reason.status === 404 || error.reason.status === 410)

/** Fetches and unpacks exactly this package, unless its files are here. */
const obtain = Effect.fn("GuestKit.obtain")(function* (
  config: GuestKitConfig,
  cache: KitCache,
  part: "kernel" | "busybox",
  item: LockedPackage,
  fetch: Archive["Service"]["fetchPast"],
  look: Look
) {
  const dropped = (path: string) => config.onNotice(`${path} was damaged and is fetched again`)
  const here = yield* loadUnpacked(cache, item.sha256, dropped, look)
  if (Option.isSome(here)) return here.value
  const staging = yield* makeStaging(cache)
  const deb = join(staging, "package.deb")
  yield* fetch(item, deb, config.onProgress)
  return yield* storeUnpacked(
    cache,
    staging,
    item,
    yield* extract(deb, wantedOf[part], part === "kernel" ? kernelModules : undefined)
  )
}, Effect.scoped)

interface Obtained {
  readonly item: LockedPackage
  readonly files: UnpackedFiles
}

/**
 * The files of the locked package: from the cache, from the archive, or, if that has moved on, from the service for old
 * packages. If that lacks them too, `whenGone` decides.
 */
const obtainLocked = Effect.fn("GuestKit.obtainLocked")(function* (
  config: GuestKitConfig,
  cache: KitCache,
  archive: Archive["Service"],
  part: "kernel" | "busybox",
  item: LockedPackage,
  look: Look
): Effect.fn.Return<Obtained, KitError> {
  const obtained = (wanted: LockedPackage, fetch: Archive["Service"]["fetchPast"]) =>
    obtain(config, cache, part, wanted, fetch, look)
  const say = (found: LockedPackage) =>
    config.onNotice(
      `the archive no longer holds ${item.name} ${item.version}, which is locked; ` +
        `${found.name} ${found.version} is used instead (to lock the present versions: npx stillpoint-kit lock; in a checkout: make kit-lock)`
    )
  const substitute = config.whenGone === "newest" ? yield* loadSubstitute(cache, item.sha256) : Option.none()
  if (Option.isSome(substitute)) {
    say(substitute.value)
    return { item: substitute.value, files: yield* obtained(substitute.value, archive.fetch) }
  }
  const present = yield* Effect.result(obtained(item, archive.fetch))
  if (Result.isSuccess(present)) return { item, files: present.success }
  if (!isGone(present.failure)) return yield* present.failure
  const past = yield* Effect.result(obtained(item, archive.fetchPast))
  if (Result.isSuccess(past)) return { item, files: past.success }
  const { name, version } = item
  const gone = new LockedPackageGone({ name, version, archive: present.failure.message, past: past.failure.message })
  if (config.whenGone === "refuse") return yield* new KitError({ reason: gone })
  const found = (yield* newest(archive, config.platform ?? "riscv64"))[part]
  // The index still names it: the archive is at fault, and nothing newer is to be had.
  if (found.sha256 === item.sha256) return yield* present.failure
  say(found)
  const files = yield* obtained(found, archive.fetch)
  yield* storeSubstitute(cache, item.sha256, found)
  return { item: found, files }
})

const requiredPath = (files: UnpackedFiles, name: string): Effect.Effect<string, KitError> => {
  const path = files.get(name)
  if (path !== undefined) return Effect.succeed(path)
  return Effect.fail(new KitError({ reason: new FileUnusable({ path: name, detail: "it is not in the kit's cache" }) }))
}

/** The files of the lock; missing ones are fetched and verified. */
export const ensure = Effect.fn("GuestKit.ensure")(function* (
  config: GuestKitConfig,
  durable: DurableFilesShape,
  archive: Archive["Service"],
  look: Look = "content"
) {
  const { platform = "riscv64" } = config
  const lock = yield* readLock(durable, config.lockPath)
  if (lock.architecture !== platform) {
    const expected = `a lock of the guest kit for ${platform}`
    const reason = new FormatInvalid({ source: config.lockPath, expected, found: `one for ${lock.architecture}` })
    return yield* new KitError({ reason })
  }
  const cache: KitCache = { directory: config.directory, files: durable }
  yield* sweep(cache)
  const kernel = yield* obtainLocked(config, cache, archive, "kernel", lock.kernel, look)
  const busybox = yield* obtainLocked(config, cache, archive, "busybox", lock.busybox, look)
  const modulePaths = new Map(kernel.files)
  modulePaths.delete(kernelName)
  modulePaths.delete(builtInName)
  return {
    platform,
    kernelPath: yield* requiredPath(kernel.files, kernelName),
    kernelVersion: kernel.item.version,
    busyboxPath: yield* requiredPath(busybox.files, "busybox"),
    busyboxVersion: busybox.item.version,
    modulePaths,
    builtInPath: kernel.files.get(builtInName) ?? null,
    packages: [kernel.item, busybox.item],
    substitutes: [
      { locked: lock.kernel, taken: kernel.item },
      { locked: lock.busybox, taken: busybox.item }
    ].filter(({ locked, taken }) => locked.sha256 !== taken.sha256)
  } satisfies KitFiles as KitFiles
})
