/**
 * The guest kit: a stock kernel and a static busybox from Debian's archive, and roots built from them and from the
 * machine's agent.
 *
 * Fetched once, verified, cached; afterwards it works without a network.
 *
 * @module
 */
import {
  type AgentProgram,
  type BootSpec,
  DurableFiles,
  GuestAgent,
  type GuestPlatform,
  type WorkloadSpec,
  sha256
} from "@stillpoint/core"
import { Context, Effect, Layer, Option } from "effect"
import { Archive } from "./archive/Archive.ts"
import { defaultGuestKitConfig, type GuestKitConfig, guestKitConfigSchema } from "./GuestKitConfig.ts"
import { imageGuest, type ImageGuestInput } from "./image/ImageGuest.ts"
import type { ImageGuestError } from "./image/ImageGuestError.ts"
import { buildInitramfs, checkedGuestConfig, type GuestPrograms, type KernelModule } from "./initramfs/Initramfs.ts"
import type { GuestConfigInput } from "./initramfs/GuestConfig.ts"
import type { InitramfsError } from "./initramfs/InitramfsError.ts"
import { type FileSeals, sealsOf } from "./fileSeals.ts"
import { readHostFile } from "./initramfs/readHostFile.ts"
import { platformOfProgram } from "./platformOfProgram.ts"
import { checkedConfig, FileUnusable, KitError } from "./KitError.ts"
import { ensure, type KitFiles, newest } from "./KitFiles.ts"
import { type KitLock, type LockedPackage, writeLock } from "./KitLock.ts"
import { filesAtOnce, type KitCache, loadModuleInfos, storeModuleInfos } from "./KitCache.ts"
import { builtInModules } from "./modules/kernelModules.ts"
import { type ModuleInfo, readModuleInfo } from "./modules/moduleInfo.ts"

/** Maximum bytes of a program, of a module, or of the list of a kernel's built-in modules. */
const mostProgramBytes = 64 << 20

const readProgram = (path: string): Effect.Effect<Uint8Array, KitError> =>
  Effect.tryPromise({
    try: () => readHostFile(path, mostProgramBytes),
    catch: (cause) => new KitError({ reason: new FileUnusable({ path, detail: String(cause) }) })
  })

const readModule = Effect.fnUntraced(function* (path: string): Effect.fn.Return<KernelModule, KitError> {
  const content = yield* readProgram(path)
  const info = yield* Effect.try({
    try: () => readModuleInfo(Buffer.from(content.buffer, content.byteOffset, content.byteLength)),
    catch: (cause) =>
      new KitError({
        reason: new FileUnusable({ path, detail: cause instanceof Error ? cause.message : String(cause) })
      })
  })
  return { content, info }
})

/** The agent's file is named, not read, where it is known which one it is. */
const pathsOf = (agent: AgentProgram, { builtInPath, busyboxPath, modulePaths }: KitFiles) =>
  [busyboxPath, agent.path, builtInPath, ...modulePaths.values()].filter((path) => typeof path === "string")

/** The agent, or why it is none for guests of that platform. */
const readAgent = Effect.fnUntraced(function* (agent: AgentProgram, platform: GuestPlatform) {
  const program = yield* Effect.mapError(agent.program, (reason) => new KitError({ reason }))
  const found = platformOfProgram(program)
  if (found === null || found === platform) return program
  const detail = `expected a guest agent for ${platform}, found a program for ${found}`
  return yield* new KitError({ reason: new FileUnusable({ path: agent.path ?? "the guest agent", detail }) })
})

const unsettled: FileSeals = { byPath: new Map(), isSettled: false }

const utf8 = new TextEncoder()

/**
 * Programs whose content is replaced by their files' seals: a root built of them changes whenever a root built of the real ones
 * does, and needs no reading. `sealed` are the seals of files that were read.
 */
const sealedPrograms = Effect.fn("GuestKit.sealedPrograms")(function* (
  agent: AgentProgram,
  { builtInPath, busyboxPath, modulePaths }: KitFiles,
  { byPath }: FileSeals,
  infos: ReadonlyMap<string, ModuleInfo>
) {
  const sealed = (path: string) => utf8.encode(byPath.get(path) ?? "")
  const programs: GuestPrograms = {
    agent:
      agent.path === undefined
        ? yield* Effect.mapError(agent.program, (reason) => new KitError({ reason }))
        : sealed(agent.path),
    busybox: sealed(busyboxPath),
    modules: new Map([...infos].map(([name, info]) => [name, { content: sealed(modulePaths.get(name) ?? ""), info }])),
    builtInModules: yield* readBuiltIn(builtInPath)
  }
  return programs
})

const readBuiltIn = (path: string | null): Effect.Effect<ReadonlySet<string>, KitError> =>
  path === null
    ? Effect.succeed(new Set())
    : Effect.map(readProgram(path), (bytes) => builtInModules(new TextDecoder().decode(bytes)))

const infosOf = ({ modules }: GuestPrograms): ReadonlyMap<string, ModuleInfo> =>
  new Map([...modules].map(([name, { info }]) => [name, info]))

const readModules = (modulePaths: KitFiles["modulePaths"]) =>
  Effect.map(
    Effect.forEach(modulePaths, ([name, path]) => Effect.map(readModule(path), (module) => [name, module] as const), {
      concurrency: filesAtOnce
    }),
    (modules) => new Map(modules)
  )

const readPrograms = Effect.fn("GuestKit.readPrograms")(function* (agent: AgentProgram, files: KitFiles) {
  const programs: GuestPrograms = {
    agent: yield* readAgent(agent, files.platform),
    busybox: yield* readProgram(files.busyboxPath),
    modules: yield* readModules(files.modulePaths),
    builtInModules: yield* readBuiltIn(files.builtInPath)
  }
  return programs
})

/** Names the kernel's package. */
const kernelOf = ({ packages }: KitFiles): string => packages[0]?.sha256 ?? ""

const named = ({ name, version }: LockedPackage): string => `${name} ${version}`

/** The origin of a guest's parts, for journals and manifests. */
const originOf = ({ packages, substitutes }: KitFiles): NonNullable<BootSpec["origin"]> => ({
  packages: packages.map(named),
  ...(substitutes.length === 0
    ? {}
    : { substitutes: substitutes.map(({ locked, taken }) => ({ locked: named(locked), taken: named(taken) })) })
})

/** The workload's configuration at boot. */
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

/** Identifies a guest by the metadata of the kit's files: see `guestToFind` of {@link GuestKit}. */
export interface GuestToFind extends Required<Pick<BootSpec, "kernelPath" | "origin">> {
  /** Names the root's files and configuration; another one as soon as anything was done to one of the files. */
  readonly seal: string
}

/** A guest, and what names it: see `guestToKeep` of {@link GuestKit}. */
export interface KeptGuest extends Required<Pick<BootSpec, "kernelPath" | "initramfs" | "origin">> {
  /** As {@link GuestToFind} has it of the files that the root was built of; `null` where one was changed just before it was read. */
  readonly seal: string | null
}

/** Runs `effect` until it has succeeded once; after a failure the next call tries again. */
const onceSucceeded = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  let held = Option.none<A>()
  const keep = (value: A) =>
    Effect.sync(() => {
      held = Option.some(value)
    })
  return Effect.suspend(() => (Option.isSome(held) ? Effect.succeed(held.value) : Effect.tap(effect, keep)))
}

/**
 * The service that provides the guest kit.
 *
 * @example
 * ```ts
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
 * const { origin } = await Effect.runPromise(program.pipe(Effect.provide(layer)))
 * console.log(Object.keys(origin)) // […]
 * ```
 */
export class GuestKit extends Context.Service<
  GuestKit,
  {
    /** The platform of its guests. */
    readonly platform: GuestPlatform
    /** The kit's files, fetched and verified first if they are missing. */
    readonly files: Effect.Effect<KitFiles, KitError>
    /** The agent, busybox and modules, read into memory once. */
    readonly programs: Effect.Effect<GuestPrograms, KitError>
    /** An initial RAM file system for a guest with the given configuration. */
    readonly initramfs: (config: GuestConfigInput) => Effect.Effect<Uint8Array, KitError | InitramfsError>
    /**
     * The boot specification of a guest with the given configuration: the kernel, a root, and the origin of both, which
     * journals and manifests record. Add memory, seed and the rest yourself.
     */
    readonly guest: (
      config: GuestConfigInput
    ) => Effect.Effect<Required<Pick<BootSpec, "kernelPath" | "initramfs" | "origin">>, KitError | InitramfsError>
    /**
     * Identifies a guest with the given configuration by the present metadata of the kit's files, without reading their content:
     * for finding results of the same kernel and root, not for a boot.
     */
    readonly guestToFind: (config: GuestConfigInput) => Effect.Effect<GuestToFind, KitError | InitramfsError>
    /** Like {@link guest}, with its name, if the name is certain to identify its content. */
    readonly guestToKeep: (config: GuestConfigInput) => Effect.Effect<KeptGuest, KitError | InitramfsError>
    /**
     * Everything that a boot of an image needs: kernel, initial RAM file system, disks, and their origin. `workload` overrides the
     * image's own command, environment and user.
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
  static readonly layerNoDeps = (given: GuestKitConfig) =>
    Layer.effect(
      GuestKit,
      Effect.gen(function* () {
        const config = yield* checkedConfig("the guest kit", guestKitConfigSchema, given)
        const archive = yield* Archive
        const platform = config.platform ?? "riscv64"
        const agent = (yield* GuestAgent).of(platform)
        const durable = yield* DurableFiles
        const cache: KitCache = { directory: config.directory, files: durable }
        const files = onceSucceeded(ensure(config, durable, archive))
        // Sealed before they are read: a change during reading shows in the later seal.
        const read = onceSucceeded(
          Effect.gen(function* () {
            const found = yield* files
            // A problem with a file is reported by the code that reads it.
            const seals = yield* Effect.orElseSucceed(sealsOf(pathsOf(agent, found)), () => unsettled)
            const programs = yield* readPrograms(agent, found)
            yield* storeModuleInfos(cache, kernelOf(found), infosOf(programs))
            return { found, programs, seals }
          })
        )
        const programs = Effect.map(read, (each) => each.programs)
        // A configuration that cannot be is refused before anything is fetched for it.
        const initramfs = (input: GuestConfigInput) =>
          Effect.andThen(
            checkedGuestConfig(input),
            Effect.flatMap(programs, (found) => buildInitramfs(found, input))
          )
        const guest = (input: GuestConfigInput) =>
          Effect.all([initramfs(input), files]).pipe(
            Effect.map(([bytes, found]) => ({
              kernelPath: found.kernelPath,
              initramfs: bytes,
              origin: originOf(found)
            }))
          )
        const sealedRoot = (
          input: GuestConfigInput,
          found: KitFiles,
          seals: FileSeals,
          infos: ReadonlyMap<string, ModuleInfo>
        ) =>
          Effect.flatMap(sealedPrograms(agent, found, seals, infos), (sealed) => buildInitramfs(sealed, input)).pipe(
            Effect.map(sha256)
          )
        const guestToFind = Effect.fn("GuestKit.guestToFind")(function* (input: GuestConfigInput) {
          const found = yield* ensure(config, durable, archive, "names")
          const seals = yield* sealsOf(pathsOf(agent, found))
          const known = yield* loadModuleInfos(cache, kernelOf(found))
          const infos = Option.isSome(known)
            ? known.value
            : new Map([...(yield* readModules(found.modulePaths))].map(([name, { info }]) => [name, info]))
          const seal = yield* sealedRoot(input, found, seals, infos)
          return { kernelPath: found.kernelPath, origin: originOf(found), seal }
        })
        const guestToKeep = Effect.fn("GuestKit.guestToKeep")(function* (input: GuestConfigInput) {
          const spec = yield* guest(input)
          const { found, programs, seals } = yield* read
          const seal = seals.isSettled ? yield* sealedRoot(input, found, seals, infosOf(programs)) : null
          return { ...spec, seal }
        })
        return GuestKit.of({
          platform,
          files,
          programs,
          initramfs,
          guest,
          guestToFind,
          guestToKeep,
          bootSpec: Effect.fn("GuestKit.bootSpec")(function* (given) {
            // The code that asks for an image reports a value that is not an object.
            const { heartbeatMillis, network, ...asked } = { ...given }
            const { disks, modules, workload } = yield* imageGuest(asked, platform)
            const spec = yield* guest({
              ...configOf(workload),
              modules: [...modules],
              busybox: false,
              ...(heartbeatMillis === undefined ? {} : { heartbeatMillis }),
              ...(network === undefined ? {} : { network })
            })
            const { digest, imageDigest } = asked.image
            const image = { digest, imageDigest, platform: asked.image.platform }
            return { ...spec, disks, origin: { ...spec.origin, image } }
          }),
          lock: Effect.tap(newest(archive, platform), (lock) => writeLock(durable, config.lockPath, lock))
        })
      })
    )

  /**
   * The kit of this package for guests of that platform, from Debian's archive; needs the machine's agent: `NativeAgent.layer` of
   * `@stillpoint/native`.
   */
  static readonly layerOf = (platform: GuestPlatform) =>
    Layer.unwrap(Effect.sync(() => GuestKit.layerNoDeps(defaultGuestKitConfig(process.env, platform)))).pipe(
      Layer.provide([Archive.layerOf(platform), DurableFiles.layer])
    )

  /** The kit of this package for guests of the engine `soft`: {@link GuestKit.layerOf} `riscv64`. */
  static readonly layer = Layer.orDie(GuestKit.layerOf("riscv64"))
}
