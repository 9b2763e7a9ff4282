/**
 * Sandboxes: made from an image at a moment, or from a stored snapshot.
 *
 * @module
 */
import {
  captureRecording,
  type Clone,
  type ClonePoolOptions,
  type ExecSpec,
  Gate,
  type GuestFiles,
  type LiveMachine,
  type Machine,
  type MachineError,
  type PublishedPort,
  type PublishSpec,
  recordedChoice,
  serve,
  type ServeOptions,
  type Snapshot,
  Snapshots,
  SnapshotStore,
  type SpawnSpec,
  type StoredSnapshot,
  whileFrozen
} from "@stillpoint/core"
import { Effect, Exit, Schema, Scope, Semaphore } from "effect"
import { type BakeOptions, bakedOnce, commandOf } from "./bake.ts"
import { checkedOptions, isFree, SnapshotName } from "./checkedOptions.ts"
import { explainSnapshot } from "./explainSnapshot.ts"
import { disksIn } from "./imageSpec.ts"
import { noted, noteOf } from "./RestoreLog.ts"

/** Options of a sandbox: its image, and the moment of its capture. */
export interface SandboxOptions extends BakeOptions {}

/** The result of a command, with its output as text. */
export interface CommandResult {
  readonly code: number | null
  readonly signal: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The options of a pool that {@link poolOf} gives. */
const ofTheSnapshot = ["snapshot", "gate", "onAdmission"] as const

/** The clones that {@link Sandbox.serve} keeps; 2 ready ones by default. */
export type ServePool = Partial<Omit<ClonePoolOptions, (typeof ofTheSnapshot)[number]>>

/** Options for serving a stored snapshot: those of `serve`, and how many clones it keeps. */
export interface ServeSnapshotOptions extends Omit<ServeOptions, "pool"> {
  readonly pool?: ServePool
}

const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))

/** Checks the count that an operation was given. */
export const checkedCount = (operation: string, count: unknown) =>
  checkedOptions(operation, Schema.Struct({ count: Count }), { count })

/** The default number of ready clones. */
const usuallyReady = 2

const PoolData = Schema.Record(Schema.String, Schema.Unknown).check(
  Schema.makeFilter((pool) => {
    const told = ofTheSnapshot.filter((name) => name in pool)
    return told.length === 0 || `expected no ${told.join(" and no ")}: the snapshot that is served is named before`
  })
)

const Naming = Schema.Struct({
  name: SnapshotName,
  options: Schema.Struct({ replace: Schema.optional(Schema.Boolean) })
})

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/**
 * A sandbox: a restored guest with a unique identity, which ends with its scope.
 *
 * @example
 * ```ts no-run: writes to the user's own store
 * import { Effect } from "effect"
 * import { Sandbox, Stillpoint } from "stillpoint"
 *
 * const program = Effect.gen(function* () {
 *   const sandbox = yield* Sandbox.create({ image: "kit:httpd", captureAt: "listener:8080 & calm 20ms" })
 *   const { stdout } = yield* sandbox.exec("wget -q -O - http://127.0.0.1:8080/")
 *   return [stdout, sandbox.explain]
 * })
 * console.log(await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(Stillpoint.layer()))))
 * ```
 */
export class Sandbox {
  /** The underlying machine, with its events and all other operations of the library. */
  readonly machine: Machine
  /** The snapshot that it is a clone of. */
  readonly restoredFrom: Snapshot
  /** Whether that snapshot existed already. */
  readonly wasCached: boolean
  /** It runs in the background; `null` while it does not. */
  private life: LiveMachine | null = null
  /** Holds a sandbox that does not run in the background while it is paused. */
  private hold: Scope.Closeable | null = null
  private readonly freezing = Semaphore.makeUnsafe(1)

  private constructor(clone: Clone, wasCached: boolean) {
    this.machine = clone.machine
    this.restoredFrom = clone.snapshot
    this.wasCached = wasCached
  }

  /** A sandbox of an image at a moment. The first call boots and captures the image; later calls restore that snapshot. */
  static readonly create = Effect.fn("Sandbox.create")(function* (options: SandboxOptions) {
    const { snapshot, wasCached } = yield* bakedOnce(options)
    return new Sandbox(yield* cloneOf(snapshot), wasCached)
  })

  /**
   * A sandbox of a stored snapshot: `name`, `name:tag` or a digest; or of an opened one, such as one that arrives from a registry
   * (`pullLazily`).
   */
  static readonly of = Effect.fn("Sandbox.of")(function* (snapshot: Snapshot | string) {
    return new Sandbox(yield* cloneOf(yield* snapshotOf(snapshot)), true)
  })

  /**
   * A host port behind which each connection, or each request, gets its own clone of a stored snapshot, until the scope closes.
   *
   * @example
   * ```ts no-run: serves until it is interrupted
   * import { Effect } from "effect"
   * import { Sandbox, Stillpoint } from "stillpoint"
   *
   * const program = Effect.gen(function* () {
   *   const { host, hostPort } = yield* Sandbox.serve("web", { port: 8080, per: "request", pool: { ready: 8 } })
   *   console.log(`http://${host}:${hostPort}`)
   *   return yield* Effect.never
   * })
   * await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(Stillpoint.layer())))
   * ```
   */
  static readonly serve = Effect.fn("Sandbox.serve")(function* (
    snapshot: Snapshot | string,
    given: ServeSnapshotOptions
  ) {
    const { pool = {}, ...options } = { ...given }
    yield* checkedOptions("serve", Schema.Struct({ pool: PoolData }), { pool })
    const { ready = usuallyReady, ...others } = pool
    return yield* serve({ ...options, pool: { ...others, ...(yield* poolOf(snapshot, ready)) } })
  })

  /** Name of the machine in events and journals. */
  get id(): string {
    return this.machine.id
  }

  /** Why the snapshot was taken at that moment, one sentence a line. */
  get explain(): string | null {
    return explainSnapshot(this.restoredFrom)
  }

  /** Runs a command to its end: a line for the guest's shell, a list of arguments, or an {@link ExecSpec}. */
  exec(command: ReadonlyArray<string> | string | ExecSpec) {
    return Effect.map(this.machine.exec(commandOf(command)), ({ stderr, stdout, ...ended }): CommandResult => ({
      ...ended,
      stdout: textOf(stdout),
      stderr: textOf(stderr)
    }))
  }

  /** Starts a command and returns while it runs; its scope kills it. */
  spawn(command: SpawnSpec) {
    return this.machine.spawn(command)
  }

  /** The guest's files. */
  get files(): GuestFiles {
    return this.machine.files
  }

  /** Ports that lead into the guest. */
  readonly ports = {
    /** Forwards a host port into the guest, which runs in the background from then on, until the scope closes. */
    publish: (
      spec: PublishSpec
    ): Effect.Effect<PublishedPort, Effect.Error<ReturnType<Machine["ports"]["publish"]>>, Scope.Scope> =>
      Effect.tap(this.machine.ports.publish(spec), () => {
        // It is paused, and continues in the background when it is resumed.
        this.hold = null
        // It lives already where a port was published before.
        return Effect.catchIf(
          Effect.asVoid(this.live),
          (error) => error.reason._tag === "AlreadyRunning",
          () => Effect.void
        )
      })
  }

  private get live(): Effect.Effect<LiveMachine, MachineError, Scope.Scope> {
    return Effect.gen({ self: this }, function* (this: Sandbox) {
      const life = yield* this.machine.live()
      this.life = life
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (this.life === life) this.life = null
        })
      )
      return life
    })
  }

  /**
   * Stops the guest between two instructions, until {@link Sandbox.resume} or until the scope closes; the guest does not notice.
   * Operations that need the guest (commands, files, connections, a snapshot) wait meanwhile; forks do not. Returns the guest
   * time in nanoseconds.
   */
  pause(): Effect.Effect<number, MachineError, Scope.Scope> {
    return Effect.gen({ self: this }, function* (this: Sandbox) {
      if (this.life !== null) return yield* this.life.pause
      const hold = yield* Scope.fork(yield* Effect.scope)
      const life = yield* Effect.onError(Scope.provide(this.live, hold), () => Scope.close(hold, Exit.void))
      this.hold = hold
      return yield* life.pause
    })
  }

  /** Continues a paused guest. Does nothing if it is not paused. */
  resume(): Effect.Effect<void, MachineError> {
    return Effect.suspend(() => {
      const { hold, life } = this
      this.hold = null
      if (hold !== null) return Scope.close(hold, Exit.void)
      return life === null ? Effect.void : life.resume
    })
  }

  /** Independent sandboxes in the state of this one, each with its own identity. */
  fork(count: number) {
    const forks = Effect.suspend(() =>
      Effect.forEach(Array.from({ length: count }), () =>
        Effect.gen({ self: this }, function* (this: Sandbox) {
          const gated = yield* noted(this.restoredFrom.manifest.digest, (onState) =>
            Gate.fork(this.machine, false, { onState })
          )
          return new Sandbox({ ...gated, snapshot: this.restoredFrom }, this.wasCached)
        })
      )
    )
    return Effect.andThen(checkedCount("fork", count), forks)
  }

  /** Stores the current state of the sandbox under a name. The sandbox continues. */
  snapshot(
    name: string,
    options: { readonly replace?: boolean } = {}
  ): Effect.Effect<StoredSnapshot, unknown, Snapshots | SnapshotStore> {
    const { machine, restoredFrom } = this
    return Effect.scoped(
      Effect.gen({ self: this }, function* (this: Sandbox) {
        yield* checkedOptions("snapshot", Naming, { name, options })
        if (options.replace !== true) yield* isFree(name)
        const snapshots = yield* Snapshots
        const store = yield* SnapshotStore
        const staging = yield* store.stage(yield* snapshots.draft)
        const taken = Effect.gen(function* () {
          const captured = yield* machine.capture(staging.directory, staging.kind)
          const { configuration, policy } = restoredFrom.manifest
          const timeline = yield* captureRecording(machine, { kernelPath: "", memoryMib: captured.memoryMib }, [])
          return yield* store.publish(staging, {
            captured,
            timeline,
            draft: {
              engine: captured.engine,
              ...recordedChoice(machine.engineChoice),
              runId: `sandbox-${restoredFrom.manifest.digest.slice(0, 12)}`,
              memoryMib: captured.memoryMib,
              configuration,
              policy,
              provenance: { _tag: "Sandbox", of: restoredFrom.manifest.digest },
              capture: {
                atNanos: captured.atNanos,
                seq: captured.seq,
                pauseNanos: captured.pauseNanos,
                isWorkloadFrozen: true,
                hasAgent: true
              },
              validation: "none"
            }
          })
        })
        // One at a time: the thaw of one would be in the middle of another's capture.
        const published = yield* Semaphore.withPermit(this.freezing, whileFrozen(machine, taken))
        return yield* snapshots.keep(published.directory, name, options)
      })
    )
  }
}

/** A clone of a snapshot of the store, through its gate. */
export const cloneOf = Effect.fnUntraced(function* (snapshot: Snapshot) {
  const { home } = yield* Snapshots
  const { directory, manifest } = snapshot
  const { digest } = manifest
  return yield* noted(digest, (onState) => Gate.restore(directory, { digest, diskSources: disksIn(home), onState }))
})

const Opened = Schema.Struct({ directory: Schema.String, manifest: Schema.Struct({ digest: Schema.String }) })

/** A snapshot of the store, or one that was opened before. */
const snapshotOf = (snapshot: Snapshot | string) =>
  typeof snapshot !== "string" && Schema.is(Opened)(snapshot)
    ? Effect.succeed(snapshot)
    : Snapshots.use(({ get }) => get(snapshot))

/** Options of a pool of clones of a snapshot, stored or opened, for `makeClonePool` and `serve`. */
export const poolOf = Effect.fnUntraced(function* (snapshot: Snapshot | string, ready: number) {
  yield* checkedOptions("poolOf", Schema.Struct({ ready: Count }), { ready })
  const { home } = yield* Snapshots
  const { directory, manifest } = yield* snapshotOf(snapshot)
  return {
    snapshot: directory,
    ready,
    gate: { digest: manifest.digest, diskSources: disksIn(home) },
    onAdmission: yield* noteOf(manifest.digest)
  } satisfies ClonePoolOptions
})
