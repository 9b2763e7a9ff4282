/**
 * Guests of images that are not booted: made of one snapshot of a booted kit.
 *
 * ```text
 * once:  boot of the kit ─▶ agent ready, disks' slots empty, no workload ─▶ snapshot in the cache ─▶ a machine that stands
 * each:  a fork of it ─▶ its disks in the slots ─▶ randomness and clock its own ─▶ its workload asked for
 * ```
 *
 * @module
 */
import {
  type AgentError,
  type AttachError,
  type Begun,
  type BootError,
  type BootSpec,
  type CaptureError,
  type FileFault,
  type FileUnfit,
  type ForkError,
  type Machine,
  type MachineError,
  mostDisks,
  restoreSnapshot,
  SnapshotStore,
  type SnapshotPublishError,
  Vmm
} from "@stillpoint/core"
import { Context, Effect, Exit, Layer, Option, Schema, Scope, Semaphore } from "effect"
import { join } from "node:path"
import { GuestKit } from "../GuestKit.ts"
import { defaultDirectory } from "../GuestKitConfig.ts"
import { imageGuest, type ImageGuestInput, imageModules } from "../image/ImageGuest.ts"
import { BootedKitInvalid, DisksTooMany, GuestInvalid, ImageGuestError } from "../image/ImageGuestError.ts"
import type { InitramfsError } from "../initramfs/InitramfsError.ts"
import type { KitError } from "../KitError.ts"
import { bootedKey, bootedMachine, type BootedKitNotReady, publishBooted } from "./bootedMachine.ts"
import { bootedEpochMillis, givenIdentity } from "./givenIdentity.ts"
import { placeOfKey, recallKey, rememberKey } from "./knownKeys.ts"

/** Options that all guests of a booted kit share. */
export interface BootedKitOptions {
  /** Folder of the snapshots, one for each kernel, agent and engine; in the kit's cache if absent. */
  readonly directory?: string
  /** Guest memory in MiB, of which the kernel keeps about 66 for itself; 256 if absent. */
  readonly memoryMib?: number
  /** Disks that a guest can have, its root included; 4 if absent. */
  readonly diskSlots?: number
  /** Guest milliseconds between heartbeats; 100 if absent, 0 for none. */
  readonly heartbeatMillis?: number
}

/** A guest of a booted kit, as a caller writes it. */
export interface CreateInput extends ImageGuestInput {
  /** Seed of all random bytes from its devices, and of its kernel's reseeding; host randomness if `null`; 0 if absent. */
  readonly seed?: number | null
  /** Wall-clock time of the kit's first instruction, milliseconds since 1970; that of a boot if absent. */
  readonly epochMillis?: number
}

/**
 * A guest with its disks in their slots and its workload requested. It has executed nothing since the kit's snapshot, and reaches
 * `WorkloadPreExec` when it is run.
 */
export interface CreatedGuest extends Begun {
  readonly machine: Machine
  /** Its specification, for a pipeline: `Pipeline.run(guest.spec, { begun: guest, policy, target })`. */
  readonly spec: BootSpec
  readonly exposedPorts: ReadonlyArray<string>
}

/** Why the booted kit is not available. */
export type BootedKitFailure =
  | KitError
  | InitramfsError
  | BootError
  | MachineError
  | CaptureError
  | SnapshotPublishError
  | FileFault
  | FileUnfit
  | BootedKitNotReady

/** Why a guest could not be made. */
export type CreateFailure = BootedKitFailure | ImageGuestError | ForkError | AttachError | AgentError

const OptionsData = Schema.Struct({
  directory: Schema.optionalKey(Schema.NonEmptyString),
  memoryMib: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  diskSlots: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: mostDisks }))),
  heartbeatMillis: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 86_400_000 })))
})

const decodeOptions = Schema.decodeUnknownEffect(OptionsData, { errors: "all", onExcessProperty: "error" })

const ChoiceData = Schema.Struct({
  seed: Schema.optionalKey(Schema.NullOr(Schema.Natural)),
  epochMillis: Schema.optionalKey(Schema.Natural)
})

const decodeChoice = Schema.decodeUnknownEffect(ChoiceData, { errors: "all", onExcessProperty: "error" })

/**
 * The service that makes guests from images without booting them.
 *
 * The first guest boots the kit, unless a snapshot of it is in the cache. A created guest is the same as one that was booted with
 * the same image, workload, seed and wall-clock time, except for the console output of a boot; equal guests execute the same
 * instructions in any process.
 *
 * @example
 * ```ts
 * import { Images } from "@stillpoint/images"
 * import { BootedKit, GuestKit } from "@stillpoint/kit"
 * import { Effect } from "effect"
 *
 * const program = Effect.scoped(Effect.gen(function* () {
 *   const { resolve } = yield* Images
 *   const { create } = yield* BootedKit
 *   const { machine } = yield* create({ image: yield* resolve("docker://docker.io/library/redis:8") })
 *   return yield* machine.run({ kinds: ["WorkloadPreExec"] })
 * }))
 * ```
 */
export class BootedKit extends Context.Service<
  BootedKit,
  {
    /** Boots the kit if necessary. The first guest does this too. */
    readonly ready: Effect.Effect<void, BootedKitFailure>
    /** A guest of an image. It lives until the scope closes. */
    readonly create: (guest: CreateInput) => Effect.Effect<CreatedGuest, CreateFailure, Scope.Scope>
  }
>()("@stillpoint/kit/BootedKit") {
  /** Guests of one size, of the kit and the machines that are provided. */
  static readonly layer = (options: BootedKitOptions = {}) =>
    Layer.effect(
      BootedKit,
      Effect.gen(function* () {
        const scope = yield* Scope.Scope
        const kit = yield* GuestKit
        const services = yield* Effect.context<Vmm | SnapshotStore>()
        const asked = yield* decodeOptions(options).pipe(
          Effect.mapError(({ message }) => new BootedKitInvalid({ problems: message }))
        )
        const { diskSlots: slots = 4, heartbeatMillis = 100, memoryMib = 256 } = asked
        const directory = asked.directory ?? join(defaultDirectory(), "booted")

        const load = Effect.gen(function* () {
          const config = { modules: [...imageModules], busybox: false, heartbeatMillis }
          const more = { memoryMib, diskSlots: slots, epochMillis: bootedEpochMillis }
          const store = yield* SnapshotStore
          const restored = (key: string) =>
            Effect.option(
              Effect.withTracerEnabled(Effect.flatMap(store.open(join(directory, key)), restoreSnapshot), false)
            )
          const placeOf = (spec: BootSpec, seal: string | null) =>
            Effect.flatMap(Vmm, ({ build }) => placeOfKey(directory, build, spec, seal))
          // A snapshot made from these files, unchanged since, is enough: none of them is read for it.
          const found = Effect.gen(function* () {
            const { seal, ...wanted } = yield* kit.guestToFind(config)
            const recalled = yield* recallKey(yield* placeOf({ ...wanted, ...more }, seal))
            if (recalled === null) return { recalled: null, known: Option.none() }
            const { initramfs, key } = recalled
            const spec: BootSpec = { ...wanted, initramfs, ...more }
            return { recalled: key, known: Option.map(yield* restored(key), (machine) => ({ spec, machine })) }
          })
          const { known, recalled } = yield* Effect.catchIf(found, isUnusable, () =>
            Effect.succeed({ recalled: null, known: Option.none() })
          )
          if (Option.isSome(known)) return known.value
          const { seal, ...guest } = yield* kit.guestToKeep(config)
          const spec: BootSpec = { ...guest, ...more }
          const place = yield* placeOf(spec, seal)
          const key = yield* bootedKey(spec)
          // An unusable snapshot is made again.
          const kept = key === recalled ? Option.none() : yield* restored(key)
          const machine = Option.isSome(kept) ? kept.value : yield* bootedMachine(spec, memoryMib)
          if (Option.isNone(kept)) yield* publishBooted(machine, spec, join(directory, key))
          yield* rememberKey(place, { key, initramfs: guest.initramfs })
          return { spec, machine }
        }).pipe(Effect.provide(services))

        let base: Option.Option<{ readonly spec: BootSpec; readonly machine: Machine }> = Option.none()
        const turn = yield* Semaphore.make(1)
        const based = Semaphore.withPermit(
          turn,
          Effect.suspend(() =>
            Option.isSome(base)
              ? Effect.succeed(base.value)
              : keptOnSuccess(Effect.tap(load, (loaded) => Effect.sync(() => void (base = Option.some(loaded))))).pipe(
                  Effect.provideService(Scope.Scope, scope)
                )
          )
        )

        const create = Effect.fn("BootedKit.create")(function* (given: CreateInput) {
          const { epochMillis, seed, ...asked } = { ...given }
          yield* decodeChoice({
            ...(seed === undefined ? {} : { seed }),
            ...(epochMillis === undefined ? {} : { epochMillis })
          }).pipe(
            Effect.mapError(({ message }) => new ImageGuestError({ reason: new GuestInvalid({ problems: message }) }))
          )
          const { disks, exposedPorts, workload } = yield* imageGuest(asked, kit.platform)
          if (disks.length > slots) {
            return yield* new ImageGuestError({ reason: new DisksTooMany({ expected: slots, found: disks.length }) })
          }
          const { machine: original, spec } = yield* based
          const machine = yield* keptOnSuccess(
            Effect.gen(function* () {
              const machine = yield* original.fork
              yield* Effect.forEach(disks, (disk) => machine.attachDisk(disk), { discard: true })
              yield* givenIdentity(machine, seed === undefined ? 0 : seed, epochMillis)
              yield* machine.agent.requestWorkload(workload)
              return machine
            })
          )
          const { digest, imageDigest, platform } = asked.image
          return {
            machine,
            hadAgent: true,
            exposedPorts,
            spec: {
              ...spec,
              seed: seed === undefined ? 0 : seed,
              epochMillis: epochMillis ?? bootedEpochMillis,
              disks,
              origin: { ...spec.origin, image: { digest, imageDigest, platform } }
            }
          } satisfies CreatedGuest
        })
        return BootedKit.of({ ready: Effect.asVoid(based), create })
      })
    )
}

/** A damaged file, which is fetched again where content is verified. */
const isUnusable = (error: KitError | InitramfsError): boolean =>
  error._tag === "KitError" && error.reason._tag === "FileUnusable"

/** Adds the acquired resources to the scope once all has succeeded, and closes them at once otherwise. */
const keptOnSuccess = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const inner = yield* Scope.fork(yield* Scope.Scope)
      return yield* restore(Effect.provideService(effect, Scope.Scope, inner)).pipe(
        Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : Scope.close(inner, exit)))
      )
    })
  )
