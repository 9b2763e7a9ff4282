/**
 * The port that provides the agent for a guest's root.
 *
 * @module
 */
import { Context, Effect, Layer, Schema } from "effect"
import { FileUnfit } from "./files/FileErrors.ts"
import { readRegularFile } from "./files/readRegular.ts"
import { codeOf } from "./files/systemCode.ts"

/** The guest agent is missing on this host; `remedy` says how to get it. */
export class GuestAgentMissing extends Schema.TaggedError<GuestAgentMissing>()("GuestAgentMissing", {
  path: Schema.String,
  detail: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `expected the guest agent at ${this.path}, found ${this.detail}; ${this.remedy}`
  }
}

/** Maximum size of an agent in bytes. */
const mostAgentBytes = 64 << 20

const foundInstead = (cause: unknown): string => {
  if (cause instanceof FileUnfit) return cause.found
  const code = codeOf(cause)
  return code === "ENOENT" ? "no file" : code
}

/** The instruction sets that guests have, by their names in images and in Debian's archive. */
export const guestPlatforms = ["riscv64", "amd64"] as const

/** An instruction set that guests have: `riscv64` for the engine `soft`, `amd64` for `kvm`. */
export type GuestPlatform = (typeof guestPlatforms)[number]

/** An agent for one platform. */
export interface AgentProgram {
  /** The executable. */
  readonly program: Effect.Effect<Uint8Array, GuestAgentMissing>
  /** The file that it is read from, if it is one: what was made with it before is found by that. */
  readonly path?: string
}

const fromFile = (path: string, remedy: string): AgentProgram => ({
  path,
  program: Effect.tryPromise({
    try: () => readRegularFile(path, mostAgentBytes, { followsLinks: true }),
    catch: (cause) => new GuestAgentMissing({ path, detail: foundInstead(cause), remedy })
  })
})

/**
 * The program that a guest runs as its first process. It speaks the machine's control protocol.
 *
 * The agent belongs to the machine, not to the guest's root: a package that implements `Vmm` provides it (`NativeAgent.layer` of
 * `@stillpoint/native`), and a package that builds roots requires it.
 *
 * @example
 * ```ts
 * import { GuestAgent } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * const program = GuestAgent.use((agent) => agent.of("riscv64").program).pipe(
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
    /** The agent for guests of that platform. */
    readonly of: (platform: GuestPlatform) => AgentProgram
  }
>()("@stillpoint/core/GuestAgent") {
  /** An agent from a file, whatever the platform of the guest that it is for; `remedy` says what to do if the file is missing. */
  static readonly layerFile = (path: string, remedy: string): Layer.Layer<GuestAgent> =>
    Layer.succeed(GuestAgent, { of: () => fromFile(path, remedy) })

  /** An agent for each platform, from a file each; `remedy` says what to do if one is missing. */
  static readonly layerFiles = (
    paths: Readonly<Record<GuestPlatform, string>>,
    remedy: string
  ): Layer.Layer<GuestAgent> => Layer.succeed(GuestAgent, { of: (platform) => fromFile(paths[platform], remedy) })
}
