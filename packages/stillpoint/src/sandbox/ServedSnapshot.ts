/**
 * A snapshot behind a port of the host's, for programs that are written with promises.
 *
 * @module
 */
import type { Served, ServedClones, ServeStats } from "@stillpoint/core"
import { Effect, Exit, ManagedRuntime, Scope } from "effect"
import {
  type Abortable,
  abortableProblems,
  cancelled,
  objectProblems,
  servicesOf,
  signalProblems
} from "./abortable.ts"
import { refused } from "./checkedOptions.ts"
import { Sandbox, type ServePool, type ServeSnapshotOptions } from "./Sandbox.ts"
import { sandboxServices, servicesProblems, type StillpointOptions } from "./sandboxServices.ts"

/** Options for serving a stored snapshot, for programs that are written with promises. The signal cancels the start. */
export interface ServedOptions extends Omit<ServeSnapshotOptions, "pool" | "onServed">, StillpointOptions, Abortable {
  readonly pool?: Omit<ServePool, "health">
  /** Called when a connection or request has ended. */
  readonly onServed?: (served: Served) => void
}

/** A snapshot that is served, until it is closed. */
export class ServedSnapshot implements AsyncDisposable {
  readonly host: string
  readonly hostPort: number
  private readonly clones: ServedClones
  private readonly end: () => Promise<void>

  private constructor(clones: ServedClones, end: () => Promise<void>) {
    this.host = clones.host
    this.hostPort = clones.hostPort
    this.clones = clones
    this.end = end
  }

  /**
   * Serves a stored snapshot: `name`, `name:tag` or a digest.
   *
   * @example
   * ```ts
   * import { mkdtempSync, rmSync } from "node:fs"
   * import { Stillpoint } from "stillpoint"
   *
   * const home = mkdtempSync("/tmp/stillpoint-served-")
   * {
   *   await using sandbox = await Stillpoint.create({ image: "kit:httpd", captureAt: "listener:8080 & calm 20ms", name: "web", home })
   *   await using served = await Stillpoint.serve("web", { port: 8080, per: "request", pool: { ready: 1 }, home })
   *   console.log((await fetch(`http://${served.host}:${served.hostPort}/`)).status) // 200
   *   console.log((await Stillpoint.snapshots.list({ home })).flatMap(({ names }) => names).includes("web")) // true
   * }
   * rmSync(home, { recursive: true })
   * ```
   */
  static async of(this: void, reference: string, given: ServedOptions): Promise<ServedSnapshot> {
    await Effect.runPromise(refused("Stillpoint.serve", objectProblems(given, "{ port: 8080 }")))
    const { home, images, keys, onServed, signal, ...options } = { ...given }
    const services = servicesOf({ home, images, keys })
    await Effect.runPromise(refused("Stillpoint.serve", [...signalProblems(signal), ...servicesProblems(services)]))
    const runtime = ManagedRuntime.make(sandboxServices(services))
    const scope = Effect.runSync(Scope.make())
    const end = async (): Promise<void> => {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      await runtime.dispose()
    }
    const told = typeof onServed === "function" ? (served: Served) => Effect.sync(() => onServed(served)) : onServed
    try {
      const serving = Sandbox.serve(reference, { ...options, ...(told === undefined ? {} : { onServed: told }) })
      return new ServedSnapshot(
        await cancelled(signal, (options) => runtime.runPromise(Scope.provide(serving, scope), options)),
        end
      )
    } catch (cause) {
      await end()
      throw cause
    }
  }

  /** Counts of what was served. */
  stats(): Promise<ServeStats> {
    return Effect.runPromise(this.clones.stats)
  }

  /** Stops listening and waits for open connections; then it can be closed. */
  async drain(options: Abortable = {}): Promise<void> {
    await Effect.runPromise(refused("drain", abortableProblems(options)))
    return cancelled(options.signal, (options) => Effect.runPromise(this.clones.drain, options))
  }

  /** Stops listening, resets open connections and ends the clones. May be called more than once. */
  close(): Promise<void> {
    return this.end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
