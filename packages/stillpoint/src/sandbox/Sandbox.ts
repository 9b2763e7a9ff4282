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
  explain,
  firingOf,
  Gate,
  type GuestFiles,
  type Machine,
  type PublishedPort,
  type PublishSpec,
  type Snapshot,
  Snapshots,
  SnapshotStore,
  type SpawnSpec,
  type StoredSnapshot
} from "@stillpoint/core"
import { Effect, Schema, type Scope } from "effect"
import { type BakeOptions, bakedOnce } from "./bake.ts"
import { checkedOptions, isFree, SnapshotName } from "./checkedOptions.ts"
import { disksIn } from "./imageSpec.ts"
import { keptRestore } from "./restoreLog.ts"

/** Options of a sandbox: its image, and the moment of its capture. */
export interface SandboxOptions extends BakeOptions {}

/** The result of a command, with its output as text. */
export interface CommandResult {
  readonly code: number | null
  readonly signal: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Why a snapshot was taken at that moment, from its manifest; `null` if no policy decided. */
export const explainSnapshot = ({ manifest }: Pick<Snapshot, "manifest">): string | null => {
  const firing = firingOf(manifest.provenance)
  return firing === null ? null : explain(firing).text
}

const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))

/** How many there are to be of something. */
export const checkedCount = (operation: string, count: unknown) =>
  checkedOptions(operation, Schema.Struct({ count: Count }), { count })

const Naming = Schema.Struct({
  name: SnapshotName,
  options: Schema.Struct({ replace: Schema.optional(Schema.Boolean) })
})

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const specOf = (command: ReadonlyArray<string> | string | ExecSpec): ExecSpec =>
  typeof command === "string"
    ? { argv: ["/bin/sh", "-c", command] }
    : Array.isArray(command)
      ? { argv: command as ReadonlyArray<string> }
      : (command as ExecSpec)

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
  readonly snapshot: Snapshot
  /** Whether that snapshot existed already. */
  readonly wasCached: boolean
  private readonly clone: Clone

  private constructor(clone: Clone, wasCached: boolean) {
    this.clone = clone
    this.machine = clone.machine
    this.snapshot = clone.snapshot
    this.wasCached = wasCached
  }

  /** A sandbox of an image at a moment. The first call boots and captures the image; later calls restore that snapshot. */
  static readonly create = Effect.fn("Sandbox.create")(function* (options: SandboxOptions) {
    const { snapshot, wasCached } = yield* bakedOnce(options)
    return new Sandbox(yield* cloneOf(snapshot), wasCached)
  })

  /** A sandbox of a stored snapshot: `name`, `name:tag` or a digest. */
  static readonly of = Effect.fn("Sandbox.of")(function* (reference: string) {
    const snapshot = yield* Snapshots.use(({ get }) => get(reference))
    return new Sandbox(yield* cloneOf(snapshot), true)
  })

  /** Name of the machine in events and journals. */
  get id(): string {
    return this.machine.id
  }

  /** Why the snapshot was taken at that moment, one sentence a line. */
  get explain(): string | null {
    return explainSnapshot(this.snapshot)
  }

  /** Runs a command to its end: a line for the guest's shell, a list of arguments, or an {@link ExecSpec}. */
  exec(command: ReadonlyArray<string> | string | ExecSpec) {
    return Effect.map(this.machine.exec(specOf(command)), ({ stderr, stdout, ...ended }): CommandResult => ({
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

  /** Forwards a host port into the guest, which runs in the background from then on, until the scope closes. */
  publish(
    spec: PublishSpec
  ): Effect.Effect<PublishedPort, Effect.Error<ReturnType<Machine["ports"]["publish"]>>, Scope.Scope> {
    return Effect.tap(this.machine.ports.publish(spec), () =>
      // It lives already where a port was published before.
      Effect.catchIf(
        Effect.asVoid(this.machine.live()),
        (error) => error.reason._tag === "AlreadyRunning",
        () => Effect.void
      )
    )
  }

  /** Independent sandboxes in the state of this one, each with its own identity. */
  fork(count: number) {
    const forks = Effect.suspend(() =>
      Effect.forEach(Array.from({ length: count }), () =>
        Effect.gen({ self: this }, function* (this: Sandbox) {
          const gated = yield* Gate.fork(this.machine)
          return new Sandbox({ ...gated, snapshot: this.snapshot }, this.wasCached)
        })
      )
    )
    return Effect.andThen(checkedCount("fork", count), forks)
  }

  /** Stores the current state of the sandbox under a name. The sandbox continues. */
  snapshotAs(
    name: string,
    options: { readonly replace?: boolean } = {}
  ): Effect.Effect<StoredSnapshot, unknown, Snapshots | SnapshotStore> {
    const { clone, machine, snapshot } = this
    return Effect.scoped(
      Effect.gen(function* () {
        yield* checkedOptions("snapshotAs", Naming, { name, options })
        if (options.replace !== true) yield* isFree(name)
        const snapshots = yield* Snapshots
        const store = yield* SnapshotStore
        const staging = yield* store.stage(yield* snapshots.draft)
        yield* machine.agent.freeze()
        const taken = Effect.gen(function* () {
          const captured = yield* machine.capture(staging.directory)
          const { configuration, policy } = snapshot.manifest
          const timeline = yield* captureRecording(machine, { kernelPath: "", memoryMib: captured.memoryMib }, [])
          return yield* store.publish(staging, {
            captured,
            timeline,
            draft: {
              engine: captured.engine,
              runId: `sandbox-${clone.snapshot.manifest.digest.slice(0, 12)}`,
              memoryMib: captured.memoryMib,
              configuration,
              policy,
              provenance: { _tag: "Sandbox", of: snapshot.manifest.digest },
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
        const published = yield* Effect.ensuring(taken, Effect.ignore(machine.agent.thaw()))
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
  return yield* keptRestore(digest, (onState) =>
    Gate.restore(directory, { digest, diskSources: disksIn(home), onState })
  )
})

/** Options of a pool of clones of a stored snapshot, for `makeClonePool` and `serve`. */
export const poolOf = Effect.fnUntraced(function* (reference: string, ready: number) {
  yield* checkedOptions("poolOf", Schema.Struct({ ready: Count }), { ready })
  const { get, home } = yield* Snapshots
  const { directory, manifest } = yield* get(reference)
  return {
    snapshot: directory,
    ready,
    gate: { digest: manifest.digest, diskSources: disksIn(home) }
  } satisfies ClonePoolOptions
})
