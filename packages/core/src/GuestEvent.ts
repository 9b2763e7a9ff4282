/**
 * What a guest does, as a totally ordered sequence of plain, immutable records.
 *
 * @module
 */
import { Schema } from "effect"

/** Guest time: nanoseconds since the guest's first instruction, a safe integer. */
export const GuestNanos = Schema.Natural
export type GuestNanos = number

const position = {
  /** Place in the sequence: 0, 1, 2 … without gaps, per machine lineage. */
  seq: Schema.Natural,
  /** Guest time at which it happened; never decreases. */
  atNanos: GuestNanos
} as const

const exitStatus = { code: Schema.NullOr(Schema.Int), signal: Schema.NullOr(Schema.Int) } as const

/**
 * One guest event, told apart by `_tag`.
 *
 * Every event carries `seq` and `atNanos`. Bytes are `Uint8Array`; JSON comes from {@link GuestEventJson}.
 */
export const GuestEvent = Schema.TaggedUnion({
  SerialLine: { ...position, port: Schema.Natural, text: Schema.String },
  HeartbeatTick: { ...position, count: Schema.Natural },
  WorkloadPreExec: { ...position, argv: Schema.Array(Schema.String) },
  ListenerBound: {
    ...position,
    protocol: Schema.Literals(["tcp", "udp"]),
    address: Schema.String,
    port: Schema.Natural
  },
  WorkloadParked: { ...position },
  WorkloadExited: { ...position, ...exitStatus },
  WorkloadFailed: { ...position, stage: Schema.String, errno: Schema.Int, message: Schema.String },
  GuestIdle: { ...position },
  GuestBusy: { ...position },
  IoStarted: { ...position, device: Schema.String },
  IoSettled: { ...position, device: Schema.String },
  PagesDirtied: { ...position, count: Schema.Natural },
  AgentReady: { ...position, protocolVersion: Schema.Natural, kernelRelease: Schema.String },
  AgentQuiesced: { ...position, token: Schema.Natural },
  AgentThawed: { ...position, token: Schema.Natural },
  IdentityApplied: { ...position, token: Schema.Natural },
  AgentRejected: { ...position, frame: Schema.Natural, message: Schema.String },
  ExecStarted: { ...position, id: Schema.Natural, pid: Schema.Natural },
  ExecOutput: {
    ...position,
    id: Schema.Natural,
    stream: Schema.Literals(["stdout", "stderr"]),
    data: Schema.Uint8Array
  },
  ExecExited: { ...position, id: Schema.Natural, ...exitStatus },
  ExecFailed: { ...position, id: Schema.Natural, stage: Schema.String, errno: Schema.Int, message: Schema.String },
  HostInput: {
    ...position,
    kind: Schema.Literals(["control", "serial", "renewal"]),
    port: Schema.Natural,
    data: Schema.Uint8Array
  },
  GuestPanicked: { ...position, message: Schema.String },
  GuestHalted: { ...position, reason: Schema.Natural },
  GuestReset: { ...position, reason: Schema.Natural },
  EngineFault: { ...position, message: Schema.String },
  Custom: { ...position, name: Schema.String, payload: Schema.Json }
})
export type GuestEvent = typeof GuestEvent.Type

/** The name of a kind of guest event: its `_tag`. */
export type GuestEventKind = GuestEvent["_tag"]

/** The event of one kind. */
export type GuestEventOf<K extends GuestEventKind> = Extract<GuestEvent, { readonly _tag: K }>

/** The JSON form of a guest event, decoded and encoded. */
export const GuestEventJson = Schema.toCodecJson(GuestEvent)
