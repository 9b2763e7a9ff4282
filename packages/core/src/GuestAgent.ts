/**
 * The port through which whoever builds a guest's root gets the agent that the machine talks to.
 *
 * @module
 */
import { Context, Effect, Layer, Schema } from "effect"
import { readFile } from "node:fs/promises"

/** There is no agent for guests on this machine; `remedy` says how to get one. */
export class GuestAgentMissing extends Schema.TaggedError<GuestAgentMissing>()("GuestAgentMissing", {
  path: Schema.String,
  detail: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `expected the guest agent at ${this.path}, found ${this.detail}; ${this.remedy}`
  }
}

/**
 * The program that a guest runs as its first process and that speaks the machine's control protocol.
 *
 * It belongs to the machine, not to the root that it is put into: a package that implements `Vmm` provides it
 * (`NativeAgent.layer` of `@stillpoint/native`), a package that builds roots asks for it.
 *
 * @example
 * ```ts
 * import { GuestAgent } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * const program = GuestAgent.use((agent) => agent.program).pipe(
 *   Effect.provide(GuestAgent.layerFile("/no/such/agent", "build it first")),
 *   Effect.flip
 * )
 * console.log((await Effect.runPromise(program)).message)
 * // expected the guest agent at /no/such/agent, found no file; build it first
 * ```
 */
export class GuestAgent extends Context.Service<
  GuestAgent,
  {
    /** The executable, for the guest's instruction set. */
    readonly program: Effect.Effect<Uint8Array, GuestAgentMissing>
  }
>()("@stillpoint/core/GuestAgent") {
  /** The agent that stands in a file; `remedy` is what one does when it does not. */
  static readonly layerFile = (path: string, remedy: string): Layer.Layer<GuestAgent> =>
    Layer.succeed(
      GuestAgent,
      GuestAgent.of({
        program: Effect.tryPromise({
          try: async () => new Uint8Array(await readFile(path)),
          catch: (cause) => {
            const code = (cause as NodeJS.ErrnoException).code
            return new GuestAgentMissing({ path, detail: code === "ENOENT" ? "no file" : String(cause), remedy })
          }
        })
      })
    )
}
