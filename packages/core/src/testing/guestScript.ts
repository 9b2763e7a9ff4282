/**
 * The script of a guest: its events, and the environment of commands in it.
 *
 * @module
 */
import type { GuestEvent, GuestNanos } from "../GuestEvent.ts"
import { sha256 } from "../snapshot/Manifest.ts"

/** An event without its place in the sequence. */
export type EventBody = GuestEvent extends infer E ? (E extends GuestEvent ? Omit<E, "seq" | "atNanos"> : never) : never

/** One line of a script. */
export interface ScriptLine {
  readonly atNanos: GuestNanos
  readonly event: EventBody
  /** Done by the workload: stands still while the workload is frozen. */
  readonly isWorkload?: boolean
}

/** A scripted guest as a command in it sees it. */
export interface ScriptedGuest {
  readonly entropy: string
  readonly hostname: string
  readonly machineId: string
  readonly env: Readonly<Record<string, string>>
  readonly realtimeNanos: bigint
  readonly nowNanos: GuestNanos
  /** All of its standard input. */
  readonly stdin: Uint8Array
}

/** The behaviour of a command in a scripted guest. */
export interface ScriptedCommand {
  readonly code?: number
  readonly stdout?: string
  readonly stderr?: string
  readonly durationNanos?: number
  /** Whether it needs the workload, and so waits while that is frozen. */
  readonly needsWorkload?: boolean
}

const millis = 1_000_000

/** A boot as a web service does it: agent, heartbeats, pre-exec at 300 ms, listener at 450 ms. */
export const serviceScript: ReadonlyArray<ScriptLine> = [
  { atNanos: 10 * millis, event: { _tag: "SerialLine", port: 0, text: "Linux version 6.12" } },
  { atNanos: 200 * millis, event: { _tag: "AgentReady", protocolVersion: 1, kernelRelease: "6.12.0" } },
  { atNanos: 250 * millis, event: { _tag: "HeartbeatTick", count: 1 } },
  { atNanos: 300 * millis, event: { _tag: "WorkloadPreExec", argv: ["/bin/serve"], holdNanos: 100 * millis } },
  { atNanos: 301 * millis, event: { _tag: "GuestIdle" } },
  { atNanos: 350 * millis, event: { _tag: "HeartbeatTick", count: 2 } },
  { atNanos: 400 * millis, event: { _tag: "GuestBusy" } },
  {
    atNanos: 450 * millis,
    event: { _tag: "ListenerBound", protocol: "tcp", address: "::", port: 8080 },
    isWorkload: true
  },
  { atNanos: 451 * millis, event: { _tag: "GuestIdle" } },
  { atNanos: 550 * millis, event: { _tag: "HeartbeatTick", count: 3 } },
  { atNanos: 5_000 * millis, event: { _tag: "SerialLine", port: 0, text: "still serving" }, isWorkload: true }
]

/** Commands of {@link serviceScript}'s guest: some that look at its identity, and `cat` of its input, `echo`, `false`, `sleep`, and `wget` from
 * the service. */
export const serviceCommands = (argv: ReadonlyArray<string>, guest: ScriptedGuest): ScriptedCommand => {
  const line = argv.join(" ")
  if (line === "cat /proc/sys/kernel/random/uuid")
    return { stdout: `${sha256(`uuid ${guest.entropy}`).slice(0, 32)}\n` }
  if (line === "cat /etc/machine-id") return { stdout: `${guest.machineId}\n` }
  if (line === "hostname") return { stdout: `${guest.hostname}\n` }
  if (line === "date +%s%N") return { stdout: `${guest.realtimeNanos}\n` }
  if (argv[0] === "cat" && argv.length === 1) return { stdout: new TextDecoder().decode(guest.stdin) }
  if (argv[0] === "wget") return { stdout: "served\n", needsWorkload: true }
  if (argv[0] === "echo") return { stdout: `${argv.slice(1).join(" ")}\n` }
  if (argv[0] === "false") return { code: 1, stderr: "false\n" }
  if (argv[0] === "sleep") return { durationNanos: Number(argv[1]) * 1_000 * millis }
  return { code: 127, stderr: `${argv[0]}: not found\n` }
}
