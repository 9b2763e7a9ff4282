/**
 * Sandboxes for programs that are written with promises; the same code as `Sandbox`, which is for programs of Effect.
 *
 * @module
 */
import type {
  ExecSpec,
  GuestFileEntry,
  PublishedPort,
  PublishSpec,
  Secret,
  SpawnSpec,
  StoredSnapshot,
  TerminalSize
} from "@stillpoint/core"
import { Effect, Exit, type Layer, ManagedRuntime, Scope, Stream } from "effect"
import { checkedCount, type CommandResult, Sandbox, type SandboxOptions } from "./Sandbox.ts"
import { bakeProblems, refused } from "./checkedOptions.ts"
import { SandboxClosed } from "./SandboxError.ts"
import {
  type Abortable,
  abortableProblems,
  cancelled,
  objectProblems,
  servicesOf,
  signalProblems
} from "./abortable.ts"
import { sandboxServices, servicesProblems, type StillpointOptions } from "./sandboxServices.ts"
import { ServedSnapshot } from "./ServedSnapshot.ts"
import { storedSnapshots } from "./storedSnapshots.ts"

/** A running command. */
export interface RunningCommand {
  /** Its process id in the guest. */
  readonly pid: number
  /** Its output as it arrives; the guest runs as far as the output is pulled. */
  readonly stdout: AsyncIterable<Uint8Array>
  readonly stderr: AsyncIterable<Uint8Array>
  /** Writes to its standard input; what is `Redacted` is recorded as withheld. */
  readonly write: (data: Secret<Uint8Array | string>, options?: Abortable) => Promise<void>
  readonly endInput: (options?: Abortable) => Promise<void>
  /** Sends a signal, by its number; SIGTERM if absent. */
  readonly kill: (signal?: number, options?: Abortable) => Promise<void>
  /** Resizes its pseudo-terminal. */
  readonly resize: (size: TerminalSize, options?: Abortable) => Promise<void>
  readonly exit: (options?: Abortable) => Promise<{ readonly code: number | null; readonly signal: number | null }>
}

type Services = Layer.Success<ReturnType<typeof sandboxServices>>
type Runtime = ManagedRuntime.ManagedRuntime<Services, unknown>

/** The services that sandboxes share, for as long as one of them is open. */
class Shared {
  readonly runtime: Runtime
  private open = 0

  constructor(options: StillpointOptions) {
    this.runtime = ManagedRuntime.make(sandboxServices(options))
  }

  enter(): void {
    this.open += 1
  }

  async leave(): Promise<void> {
    this.open -= 1
    if (this.open === 0) await this.runtime.dispose()
  }
}

/**
 * A sandbox: a guest of your own, until you close it.
 *
 * @example
 * ```ts
 * import { mkdtempSync, rmSync } from "node:fs"
 * import { Stillpoint } from "stillpoint"
 *
 * const home = mkdtempSync("/tmp/stillpoint-sandbox-")
 * {
 *   await using sandbox = await Stillpoint.create({ image: "kit:httpd", captureAt: "listener:8080 & calm 20ms", home })
 *   const { code, stdout } = await sandbox.exec("wget -q -O - http://127.0.0.1:8080/ | head -n 1")
 *   console.log(code, stdout.trim()) // 0 <!doctype html>
 * }
 * rmSync(home, { recursive: true })
 * ```
 */
export class Stillpoint implements AsyncDisposable {
  /** All services that sandboxes need, with their defaults: the engine, the guest kit, images, snapshots, a journal of runs. */
  static readonly layer = sandboxServices

  /** Lists, opens and removes the snapshots of the store. */
  static readonly snapshots = storedSnapshots

  /** Serves a stored snapshot: a host port behind which each connection, or each request, gets its own clone. */
  static readonly serve = ServedSnapshot.of

  private readonly shared: Shared
  private readonly scope: Scope.Closeable
  private readonly sandbox: Sandbox
  private isClosed = false

  private constructor(shared: Shared, scope: Scope.Closeable, sandbox: Sandbox) {
    this.shared = shared
    this.scope = scope
    this.sandbox = sandbox
  }

  /** A sandbox of an image at a moment. The first call boots and captures the image; later calls restore that snapshot. */
  static async create(given: SandboxOptions & StillpointOptions & Abortable): Promise<Stillpoint> {
    await Effect.runPromise(refused("Stillpoint.create", objectProblems(given, '{ image: "kit:httpd" }')))
    // A value that is not an object has no image.
    const { home, images, keys, signal, ...options } = { ...given }
    const services = servicesOf({ home, images, keys })
    return Stillpoint.opened("Stillpoint.create", services, Sandbox.create(options), signal, bakeProblems(options))
  }

  /** A sandbox of a stored snapshot: `name`, `name:tag` or a digest. */
  static async of(reference: string, given: StillpointOptions & Abortable = {}): Promise<Stillpoint> {
    await Effect.runPromise(refused("Stillpoint.of", objectProblems(given, '{ home: "FOLDER" }')))
    const { home, images, keys, signal, ...others } = { ...given }
    const services = servicesOf({ home, images, keys, ...others })
    return Stillpoint.opened("Stillpoint.of", services, Sandbox.of(reference), signal)
  }

  private static async opened(
    operation: string,
    services: StillpointOptions,
    making: Effect.Effect<Sandbox, unknown, Services | Scope.Scope>,
    signal: AbortSignal | undefined,
    { ofImage, ofMoment, ofOptions }: Partial<ReturnType<typeof bakeProblems>> = {}
  ): Promise<Stillpoint> {
    const ofMaking = [...(ofOptions ?? []), ...(ofMoment ?? []), ...(ofImage ?? [])]
    const ofServices = [...signalProblems(signal), ...servicesProblems(services)]
    // If only the options of the sandbox are invalid, the error is the same as in the Effect API.
    if (ofServices.length > 0) await Effect.runPromise(refused(operation, [...ofServices, ...ofMaking]))
    const shared = new Shared(services)
    shared.enter()
    const scope = Effect.runSync(Scope.make())
    try {
      const sandbox = await cancelled(signal, (options) =>
        shared.runtime.runPromise(Scope.provide(making, scope), options)
      )
      return new Stillpoint(shared, scope, sandbox)
    } catch (cause) {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      await shared.leave()
      throw cause
    }
  }

  private async run<A>(
    work: Effect.Effect<A, unknown, Services | Scope.Scope>,
    options: Abortable = {},
    more: ReadonlyArray<string> = []
  ): Promise<A> {
    if (this.isClosed) throw new SandboxClosed({ id: this.sandbox.id })
    await Effect.runPromise(refused("options", abortableProblems(options, more)))
    return cancelled(options.signal, (cancelling) =>
      this.shared.runtime.runPromise(Scope.provide(work, this.scope), cancelling)
    )
  }

  /** Name of the machine. */
  get id(): string {
    return this.sandbox.id
  }

  /** Whether its snapshot existed already. */
  get wasCached(): boolean {
    return this.sandbox.wasCached
  }

  /** Why the snapshot was taken at that moment, one sentence a line. */
  get explain(): string | null {
    return this.sandbox.explain
  }

  /** Runs a command to its end: a line for the guest's shell, a list of arguments, or an `ExecSpec`. */
  exec(command: ReadonlyArray<string> | string | ExecSpec, options?: Abortable): Promise<CommandResult> {
    return this.run(this.sandbox.exec(command), options)
  }

  /** Starts a command and returns while it runs; closing the sandbox kills it. */
  async spawn(command: SpawnSpec, options?: Abortable): Promise<RunningCommand> {
    const started = await this.run(this.sandbox.spawn(command), options)
    return {
      pid: started.pid,
      stdout: Stream.toAsyncIterable(started.stdout),
      stderr: Stream.toAsyncIterable(started.stderr),
      write: (data, options) =>
        this.run(
          Effect.suspend(() => started.write(data)),
          options
        ),
      endInput: (options) => this.run(started.endInput, options),
      kill: (number, options) =>
        this.run(
          Effect.suspend(() => started.kill(number)),
          options
        ),
      resize: (size, options) =>
        this.run(
          Effect.suspend(() => started.resize(size)),
          options
        ),
      exit: (options) => this.run(started.exit, options)
    }
  }

  /** The guest's files. */
  readonly files = {
    read: (path: string, options?: Abortable): Promise<Uint8Array> =>
      this.run(
        Effect.suspend(() => this.sandbox.files.read(path)),
        options
      ),
    write: (path: string, content: Secret<Uint8Array | string>, options?: Abortable): Promise<void> =>
      this.run(
        Effect.suspend(() => this.sandbox.files.write(path, content)),
        options
      ),
    list: (path: string, options?: Abortable): Promise<ReadonlyArray<GuestFileEntry>> =>
      this.run(
        Effect.suspend(() => this.sandbox.files.list(path)),
        options
      ),
    remove: (path: string, options: Abortable & { readonly recursive?: boolean } = {}): Promise<void> =>
      this.run(
        Effect.suspend(() => this.sandbox.files.remove(path, { recursive: options.recursive ?? false })),
        options,
        ["recursive"]
      )
  }

  /** Ports that lead into the guest. */
  readonly ports = {
    /** Forwards a host port into the guest, which runs in the background from then on, until the sandbox is closed. */
    publish: (spec: PublishSpec, options?: Abortable): Promise<PublishedPort> =>
      this.run(
        Effect.suspend(() => this.sandbox.ports.publish(spec)),
        options
      )
  }

  /** Stores the current state of the sandbox under a name. The sandbox continues. */
  snapshot(name: string, options: Abortable & { readonly replace?: boolean } = {}): Promise<StoredSnapshot> {
    return this.run(
      Effect.suspend(() => {
        const { replace } = options
        return this.sandbox.snapshot(name, replace === undefined ? {} : { replace })
      }),
      options,
      ["replace"]
    )
  }

  /**
   * Stops the guest between two instructions, until {@link Stillpoint.resume}; the guest does not notice. Operations that need
   * the guest (commands, files, connections, a snapshot) wait meanwhile; forks do not. Returns the guest time in nanoseconds.
   */
  pause(options?: Abortable): Promise<number> {
    return this.run(this.sandbox.pause(), options)
  }

  /** Continues a paused guest. Does nothing if it is not paused. */
  resume(options?: Abortable): Promise<void> {
    return this.run(this.sandbox.resume(), options)
  }

  /** Independent sandboxes in the state of this one, each with its own identity. Close each of them. */
  async fork(count: number, options?: Abortable): Promise<ReadonlyArray<Stillpoint>> {
    await Effect.runPromise(checkedCount("fork", count))
    const forks: Array<Stillpoint> = []
    try {
      for (let index = 0; index < count; index++) {
        const scope = Effect.runSync(Scope.make())
        this.shared.enter()
        try {
          const [sandbox] = await this.run(Scope.provide(this.sandbox.fork(1), scope), options)
          if (sandbox === undefined) throw new Error("expected a fork, found none")
          forks.push(new Stillpoint(this.shared, scope, sandbox))
        } catch (cause) {
          await Effect.runPromise(Scope.close(scope, Exit.void))
          await this.shared.leave()
          throw cause
        }
      }
      return forks
    } catch (cause) {
      for (const one of forks) await one.close()
      throw cause
    }
  }

  /** Ends the guest and releases everything that belongs to it. May be called more than once. */
  async close(): Promise<void> {
    if (this.isClosed) return
    this.isClosed = true
    await Effect.runPromise(Scope.close(this.scope, Exit.void))
    await this.shared.leave()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
