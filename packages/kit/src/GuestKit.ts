/**
 * The guest kit: a stock kernel and a static busybox from Debian's archive, and roots made of them and of the agent
 * that comes with the machine.
 *
 * Fetched once, verified, cached; afterwards it works without a network.
 *
 * @module
 */
import { type BootSpec, DurableFiles, type DurableFilesShape, GuestAgent, type WorkloadSpec } from "@stillpoint/core"
import { Context, Effect, Layer, Option, Result } from "effect"
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Archive, requirePackage } from "./archive/Archive.ts"
import type { OnProgress } from "./archive/download.ts"
import type { ArchivePackage } from "./archive/PackageIndex.ts"
import { unpackEfiImage } from "./deb/efiImage.ts"
import { type Among, extract, type Wanted } from "./deb/extract.ts"
import { imageGuest, type ImageGuestInput } from "./image/ImageGuest.ts"
import type { ImageGuestError } from "./image/ImageGuestError.ts"
import { buildInitramfs, type GuestPrograms, type KernelModule } from "./initramfs/Initramfs.ts"
import type { GuestConfigInput } from "./initramfs/GuestConfig.ts"
import type { InitramfsError } from "./initramfs/InitramfsError.ts"
import {
  type KitCache,
  loadSubstitute,
  loadUnpacked,
  makeStaging,
  storeSubstitute,
  storeUnpacked,
  sweep,
  type UnpackedFiles
} from "./KitCache.ts"
import { FileUnusable, KitError, LockedPackageGone } from "./KitError.ts"
import { builtInModules, builtInPath, modulePath, takeModules } from "./modules/kernelModules.ts"
import { readModuleInfo } from "./modules/moduleInfo.ts"
import { type KitLock, type LockedPackage, readLock, writeLock } from "./KitLock.ts"

/** Where the kit keeps and finds things, and whom it tells. */
export interface GuestKitConfig {
  /** The cache. */
  readonly directory: string
  readonly lockPath: string
  /** Told what a person should know, one line each: a substitute was taken, a damaged file was dropped. */
  readonly onNotice: (line: string) => void
  readonly onProgress: OnProgress
  /**
   * What happens when neither the archive nor the service that keeps old packages has a locked one: it is refused by
   * name, or the newest is taken, which `onNotice` is told, {@link KitFiles.substitutes} lists, and the manifest of every
   * snapshot of such a guest records.
   */
  readonly whenGone: "refuse" | "newest"
}

/** The kit's files on this machine. */
export interface KitFiles {
  readonly kernelPath: string
  readonly kernelVersion: string
  readonly busyboxPath: string
  readonly busyboxVersion: string
  /** Kernel modules by name, e.g. `virtio_mmio`: those that guests may need, and those that these need. */
  readonly modulePaths: ReadonlyMap<string, string>
  /** The list of modules that are built into the kernel; `null` where the package has none. */
  readonly builtInPath: string | null
  /** The packages that they came from: kernel, busybox. */
  readonly packages: ReadonlyArray<LockedPackage>
  /** What was taken in place of what is locked; empty where the lock was kept. */
  readonly substitutes: ReadonlyArray<Substitute>
}

const packageRoot = fileURLToPath(new URL("../", import.meta.url))
const repositoryRoot = join(packageRoot, "../..")

/**
 * The cache's place: `STILLPOINT_KIT_DIR`; else `.cache/guest-kit` of the repository that this package
 * lies in; else the user's cache folder.
 */
export const defaultDirectory = (environment: NodeJS.ProcessEnv = process.env): string => {
  const named = environment["STILLPOINT_KIT_DIR"]
  if (named !== undefined && named !== "") return named
  if (existsSync(join(repositoryRoot, "pnpm-workspace.yaml"))) return join(repositoryRoot, ".cache/guest-kit")
  const cache = environment["XDG_CACHE_HOME"]
  return join(cache !== undefined && cache !== "" ? cache : join(homedir(), ".cache"), "stillpoint/guest-kit")
}

/**
 * The places of this package; what a person should know goes to standard error. A lock is kept unless
 * `STILLPOINT_KIT_WHEN_GONE` is `newest`.
 */
export const defaultGuestKitConfig = (environment: NodeJS.ProcessEnv = process.env): GuestKitConfig => ({
  directory: defaultDirectory(environment),
  whenGone: environment["STILLPOINT_KIT_WHEN_GONE"] === "newest" ? "newest" : "refuse",
  lockPath: join(packageRoot, "guest-kit.lock.json"),
  onNotice: (line) => void process.stderr.write(`guest kit: ${line}\n`),
  onProgress: () => {}
})

const kernelMeta = "linux-image-riscv64"
const isKernel = (name: string): boolean => /^linux-image-[0-9][0-9a-z.+]*-riscv64$/.test(name)
const busyboxName = "busybox-static"
const builtInName = "modules.builtin"

const wantedOf: Readonly<Record<"kernel" | "busybox", ReadonlyArray<Wanted>>> = {
  // Up to Debian 13 in /boot; later beside the modules, as an EFI image that unpacks itself.
  kernel: [
    {
      path: /^(boot\/vmlinu[xz]-[^/]+|(usr\/)?lib\/modules\/[^/]+\/vmlinu[xz])$/,
      as: "vmlinux",
      required: true,
      unpack: unpackEfiImage
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
const newest = Effect.fn("GuestKit.newest")(function* (archive: Archive["Service"]) {
  const { config } = archive
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
  fetch: Archive["Service"]["fetchPast"]
) {
  const dropped = (path: string) => config.onNotice(`${path} was damaged and is fetched again`)
  const here = yield* loadUnpacked(cache, item.sha256, dropped)
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

/** A package that was taken in place of the one that is locked. */
export interface Substitute {
  readonly locked: LockedPackage
  readonly taken: LockedPackage
}

interface Obtained {
  readonly item: LockedPackage
  readonly files: UnpackedFiles
}

/**
 * The files of the locked package: from the cache, from the archive, or, where that has moved on, from the service that
 * keeps what it has dropped. When that has not got them either, `whenGone` decides.
 */
const obtainLocked = Effect.fn("GuestKit.obtainLocked")(function* (
  config: GuestKitConfig,
  cache: KitCache,
  archive: Archive["Service"],
  part: "kernel" | "busybox",
  item: LockedPackage
): Effect.fn.Return<Obtained, KitError> {
  const say = (found: LockedPackage) =>
    config.onNotice(
      `the archive no longer holds ${item.name} ${item.version}, which is locked; ` +
        `${found.name} ${found.version} is used instead (lock what it holds now with: make kit-lock)`
    )
  const substitute = config.whenGone === "newest" ? yield* loadSubstitute(cache, item.sha256) : Option.none()
  if (Option.isSome(substitute)) {
    say(substitute.value)
    return { item: substitute.value, files: yield* obtain(config, cache, part, substitute.value, archive.fetch) }
  }
  const present = yield* Effect.result(obtain(config, cache, part, item, archive.fetch))
  if (Result.isSuccess(present)) return { item, files: present.success }
  if (!isGone(present.failure)) return yield* present.failure
  const past = yield* Effect.result(obtain(config, cache, part, item, archive.fetchPast))
  if (Result.isSuccess(past)) return { item, files: past.success }
  const { name, version } = item
  const gone = new LockedPackageGone({ name, version, archive: present.failure.message, past: past.failure.message })
  if (config.whenGone === "refuse") return yield* new KitError({ reason: gone })
  const found = (yield* newest(archive))[part]
  // The index still names it: the archive is at fault, and nothing newer is to be had.
  if (found.sha256 === item.sha256) return yield* present.failure
  say(found)
  const files = yield* obtain(config, cache, part, found, archive.fetch)
  yield* storeSubstitute(cache, item.sha256, found)
  return { item: found, files }
})

const requiredPath = (files: UnpackedFiles, name: string): Effect.Effect<string, KitError> => {
  const path = files.get(name)
  if (path !== undefined) return Effect.succeed(path)
  return Effect.fail(new KitError({ reason: new FileUnusable({ path: name, detail: "it is not in the kit's cache" }) }))
}

const ensure = Effect.fn("GuestKit.ensure")(function* (
  config: GuestKitConfig,
  durable: DurableFilesShape,
  archive: Archive["Service"]
) {
  const lock = yield* readLock(durable, config.lockPath)
  const cache: KitCache = { directory: config.directory, files: durable }
  yield* sweep(cache)
  const kernel = yield* obtainLocked(config, cache, archive, "kernel", lock.kernel)
  const busybox = yield* obtainLocked(config, cache, archive, "busybox", lock.busybox)
  const modulePaths = new Map(kernel.files)
  modulePaths.delete("vmlinux")
  modulePaths.delete(builtInName)
  return {
    kernelPath: yield* requiredPath(kernel.files, "vmlinux"),
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

const readProgram = (path: string): Effect.Effect<Uint8Array, KitError> =>
  Effect.tryPromise({
    try: async () => new Uint8Array(await readFile(path)),
    catch: (cause) => new KitError({ reason: new FileUnusable({ path, detail: String(cause) }) })
  })

const readPrograms = Effect.fn("GuestKit.readPrograms")(function* (agent: GuestAgent["Service"], files: KitFiles) {
  const modules = new Map<string, KernelModule>()
  for (const [name, path] of files.modulePaths) {
    const content = yield* readProgram(path)
    const info = yield* Effect.try({
      try: () => readModuleInfo(Buffer.from(content.buffer, content.byteOffset, content.byteLength)),
      catch: (cause) =>
        new KitError({
          reason: new FileUnusable({ path, detail: cause instanceof Error ? cause.message : String(cause) })
        })
    })
    modules.set(name, { content, info })
  }
  const builtIn = files.builtInPath === null ? "" : new TextDecoder().decode(yield* readProgram(files.builtInPath))
  const programs: GuestPrograms = {
    agent: yield* Effect.mapError(agent.program, (reason) => new KitError({ reason })),
    busybox: yield* readProgram(files.busyboxPath),
    modules,
    builtInModules: builtInModules(builtIn)
  }
  return programs
})

const named = ({ name, version }: LockedPackage): string => `${name} ${version}`

/** Where a guest's parts came from, as journals and manifests say it. */
const originOf = ({ packages, substitutes }: KitFiles): NonNullable<BootSpec["origin"]> => ({
  packages: packages.map(named),
  ...(substitutes.length === 0
    ? {}
    : { substitutes: substitutes.map(({ locked, taken }) => ({ locked: named(locked), taken: named(taken) })) })
})

/** The configuration that says at boot what a workload is. */
const configOf = ({
  argv,
  cwd,
  env,
  groups,
  stopNanos,
  stopSignal,
  user,
  ...more
}: WorkloadSpec): GuestConfigInput => ({
  ...more,
  workload: {
    argv,
    ...(env === undefined ? {} : { env }),
    ...(cwd === undefined ? {} : { cwd: cwd as `/${string}` }),
    ...(user === undefined ? {} : { user }),
    ...(groups === undefined ? {} : { groups }),
    ...(stopSignal === undefined ? {} : { stopSignal }),
    ...(stopNanos === undefined ? {} : { stopNanos })
  }
})

/** Runs `effect` until it has succeeded once; failures are tried anew. */
const onceSucceeded = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  let held = Option.none<A>()
  const keep = (value: A) =>
    Effect.sync(() => {
      held = Option.some(value)
    })
  return Effect.suspend(() => (Option.isSome(held) ? Effect.succeed(held.value) : Effect.tap(effect, keep)))
}

/**
 * The service that has the guest kit ready.
 *
 * @example
 * ```ts no-run
 * import { GuestKit } from "@stillpoint/kit"
 * import { NativeAgent } from "@stillpoint/native"
 * import { Effect, Layer } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const kit = yield* GuestKit
 *   const guest = yield* kit.guest({ workload: { argv: ["httpd", "-f", "-p", "8080"] } })
 *   return { ...guest, memoryMib: 256 }
 * })
 * const layer = Layer.provide(GuestKit.layer, NativeAgent.layer)
 * console.log(await Effect.runPromise(program.pipe(Effect.provide(layer))))
 * ```
 */
export class GuestKit extends Context.Service<
  GuestKit,
  {
    /** The kit's files, fetched and verified first if they are not here. */
    readonly files: Effect.Effect<KitFiles, KitError>
    /** The agent, busybox and modules, read into memory once. */
    readonly programs: Effect.Effect<GuestPrograms, KitError>
    /** An initial RAM file system for a guest of that configuration. */
    readonly initramfs: (config: GuestConfigInput) => Effect.Effect<Uint8Array, KitError | InitramfsError>
    /**
     * What to boot for a guest of that configuration: the kernel, a root, and where both came from, which journals and
     * manifests then say. Memory, seed and the rest are the caller's to add.
     */
    readonly guest: (
      config: GuestConfigInput
    ) => Effect.Effect<Required<Pick<BootSpec, "kernelPath" | "initramfs" | "origin">>, KitError | InitramfsError>
    /**
     * All that a boot of an image needs: kernel, initial RAM file system, disks, and where they came from. What the image says of its
     * run can be said otherwise in `workload`.
     */
    readonly bootSpec: (
      guest: ImageGuestInput & Pick<GuestConfigInput, "heartbeatMillis" | "network">
    ) => Effect.Effect<
      Required<Pick<BootSpec, "kernelPath" | "initramfs" | "origin" | "disks">>,
      KitError | InitramfsError | ImageGuestError
    >
    /** Writes a lock of the newest packages, and returns it. */
    readonly lock: Effect.Effect<KitLock, KitError>
  }
>()("@stillpoint/kit/GuestKit") {
  /** The kit at the places of `config`; needs an {@link Archive}, the machine's `GuestAgent` and `DurableFiles`. */
  static readonly layerNoDeps = (config: GuestKitConfig) =>
    Layer.effect(
      GuestKit,
      Effect.gen(function* () {
        const archive = yield* Archive
        const agent = yield* GuestAgent
        const durable = yield* DurableFiles
        const files = onceSucceeded(ensure(config, durable, archive))
        const programs = onceSucceeded(Effect.flatMap(files, (found) => readPrograms(agent, found)))
        const initramfs = (input: GuestConfigInput) => Effect.flatMap(programs, (found) => buildInitramfs(found, input))
        const guest = (input: GuestConfigInput) =>
          Effect.all([files, initramfs(input)]).pipe(
            Effect.map(([found, bytes]) => ({
              kernelPath: found.kernelPath,
              initramfs: bytes,
              origin: originOf(found)
            }))
          )
        return GuestKit.of({
          files,
          programs,
          initramfs,
          guest,
          bootSpec: Effect.fn("GuestKit.bootSpec")(function* ({ heartbeatMillis, network, ...asked }) {
            const { disks, modules, workload } = yield* imageGuest(asked)
            const spec = yield* guest({
              ...configOf(workload),
              modules: [...modules],
              busybox: false,
              ...(heartbeatMillis === undefined ? {} : { heartbeatMillis }),
              ...(network === undefined ? {} : { network })
            })
            const { digest, imageDigest, platform } = asked.image
            return { ...spec, disks, origin: { ...spec.origin, image: { digest, imageDigest, platform } } }
          }),
          lock: Effect.tap(newest(archive), (lock) => writeLock(durable, config.lockPath, lock))
        })
      })
    )

  /** The kit of this package, from Debian's archive; needs the machine's agent: `NativeAgent.layer` of `@stillpoint/native`. */
  static readonly layer = Layer.unwrap(Effect.sync(() => GuestKit.layerNoDeps(defaultGuestKitConfig()))).pipe(
    Layer.provide([Archive.layer, DurableFiles.layer])
  )
}
