/**
 * Events as the core in Rust encodes them, decoded.
 *
 * ```text
 * event   := kind u8 | atNanos u64 | fields of the kind, in the order of their declaration
 * integer := little-endian, of the field's width
 * str     := length u32 | UTF-8      bytes := length u32 | bytes
 * list    := count u32 | items       status := kind u8 (0 code, 1 signal) | value i32
 * ```
 *
 * Sequence numbers are not encoded: events of a batch follow each other without gaps.
 *
 * @module
 */
import type { GuestEvent, GuestEventKind } from "@stillpoint/core"

/** The kinds of events; the index is the encoded number. A test compares it with the core's own list. */
export const eventKinds: ReadonlyArray<GuestEventKind> = [
  "SerialLine",
  "HeartbeatTick",
  "WorkloadPreExec",
  "ListenerBound",
  "WorkloadParked",
  "WorkloadExited",
  "WorkloadFailed",
  "GuestIdle",
  "GuestBusy",
  "IoStarted",
  "IoSettled",
  "PagesDirtied",
  "AgentReady",
  "AgentQuiesced",
  "AgentThawed",
  "IdentityApplied",
  "AgentRejected",
  "ExecStarted",
  "ExecOutput",
  "ExecExited",
  "ExecFailed",
  "HostInput",
  "GuestPanicked",
  "GuestHalted",
  "GuestReset",
  "EngineFault",
  "Custom"
]

/** Where the host's input went, in the core's order. */
const inputKinds = ["control", "serial", "renewal"] as const

/** The set of kinds as the core takes it: bit `n` stands for `eventKinds[n]`. */
export const kindMask = (kinds: Iterable<GuestEventKind>): number => {
  let mask = 0
  for (const kind of kinds) mask |= 1 << eventKinds.indexOf(kind)
  return mask >>> 0
}

/** A read position in encoded events. */
class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  u8(): number {
    return this.#bytes[this.#at++] ?? 0
  }

  u16(): number {
    const value = this.#bytes.readUInt16LE(this.#at)
    this.#at += 2
    return value
  }

  u32(): number {
    const value = this.#bytes.readUInt32LE(this.#at)
    this.#at += 4
    return value
  }

  i32(): number {
    const value = this.#bytes.readInt32LE(this.#at)
    this.#at += 4
    return value
  }

  /** Guest times and counts stay below 2^53: the machine's horizon. */
  u64(): number {
    const low = this.#bytes.readUInt32LE(this.#at)
    const high = this.#bytes.readUInt32LE(this.#at + 4)
    this.#at += 8
    return high * 0x1_0000_0000 + low
  }

  text(): string {
    const length = this.u32()
    const start = this.#at
    this.#at += length
    return this.#bytes.toString("utf8", start, this.#at)
  }

  bytes(): Uint8Array {
    const length = this.u32()
    const start = this.#at
    this.#at += length
    // A copy: a view would keep the whole batch alive for as long as the event lives.
    return new Uint8Array(this.#bytes.subarray(start, this.#at))
  }

  texts(): ReadonlyArray<string> {
    const count = this.u32()
    const items: Array<string> = []
    for (let index = 0; index < count; index++) items.push(this.text())
    return items
  }

  status(): { readonly code: number | null; readonly signal: number | null } {
    const isSignal = this.u8() === 1
    const value = this.i32()
    return isSignal ? { code: null, signal: value } : { code: value, signal: null }
  }
}

const protocolOf = (number: number): "tcp" | "udp" => (number === 17 ? "udp" : "tcp")

/** A custom event's payload; what is not JSON stays the text that it is. */
const payloadOf = (text: string) => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const decodeOne = (reader: Reader, seq: number): GuestEvent => {
  const kind = reader.u8()
  const atNanos = reader.u64()
  switch (kind) {
    case 0:
      return { _tag: "SerialLine", seq, atNanos, port: reader.u32(), text: reader.text() }
    case 1:
      return { _tag: "HeartbeatTick", seq, atNanos, count: reader.u64() }
    case 2:
      return { _tag: "WorkloadPreExec", seq, atNanos, argv: reader.texts() }
    case 3: {
      const protocol = protocolOf(reader.u8())
      return { _tag: "ListenerBound", seq, atNanos, protocol, address: reader.text(), port: reader.u16() }
    }
    case 4:
      return { _tag: "WorkloadParked", seq, atNanos }
    case 5:
      return { _tag: "WorkloadExited", seq, atNanos, ...reader.status() }
    case 6:
      return {
        _tag: "WorkloadFailed",
        seq,
        atNanos,
        stage: reader.text(),
        errno: reader.i32(),
        message: reader.text()
      }
    case 7:
      return { _tag: "GuestIdle", seq, atNanos }
    case 8:
      return { _tag: "GuestBusy", seq, atNanos }
    case 9:
      return { _tag: "IoStarted", seq, atNanos, device: reader.text() }
    case 10:
      return { _tag: "IoSettled", seq, atNanos, device: reader.text() }
    case 11:
      return { _tag: "PagesDirtied", seq, atNanos, count: reader.u64() }
    case 12:
      return { _tag: "AgentReady", seq, atNanos, protocolVersion: reader.u32(), kernelRelease: reader.text() }
    case 13:
      return { _tag: "AgentQuiesced", seq, atNanos, token: reader.u32() }
    case 14:
      return { _tag: "AgentThawed", seq, atNanos, token: reader.u32() }
    case 15:
      return { _tag: "IdentityApplied", seq, atNanos, token: reader.u32() }
    case 16:
      return { _tag: "AgentRejected", seq, atNanos, frame: reader.u8(), message: reader.text() }
    case 17:
      return { _tag: "ExecStarted", seq, atNanos, id: reader.u32(), pid: reader.u32() }
    case 18: {
      const id = reader.u32()
      const stream = reader.u8() === 2 ? "stderr" : "stdout"
      return { _tag: "ExecOutput", seq, atNanos, id, stream, data: reader.bytes() }
    }
    case 19:
      return { _tag: "ExecExited", seq, atNanos, id: reader.u32(), ...reader.status() }
    case 20:
      return {
        _tag: "ExecFailed",
        seq,
        atNanos,
        id: reader.u32(),
        stage: reader.text(),
        errno: reader.i32(),
        message: reader.text()
      }
    case 21: {
      const kind = inputKinds[reader.u8()] ?? "control"
      return { _tag: "HostInput", seq, atNanos, kind, port: reader.u32(), data: reader.bytes() }
    }
    case 22:
      return { _tag: "GuestPanicked", seq, atNanos, message: reader.text() }
    case 23:
      return { _tag: "GuestHalted", seq, atNanos, reason: reader.u32() }
    case 24:
      return { _tag: "GuestReset", seq, atNanos, reason: reader.u32() }
    case 25:
      return { _tag: "EngineFault", seq, atNanos, message: reader.text() }
    case 26:
      return { _tag: "Custom", seq, atNanos, name: reader.text(), payload: payloadOf(reader.text()) }
    default:
      // The addon and this file are built from one tree; see addon.ts for the check of their versions.
      throw new Error(`event ${seq}: expected a kind below ${eventKinds.length}, found ${kind}`)
  }
}

/** Calls `emit` for each of `count` events in `bytes`, the first of which has the number `firstSeq`. */
export const decodeEvents = (
  bytes: Buffer,
  firstSeq: number,
  count: number,
  emit: (event: GuestEvent) => void
): void => {
  const reader = new Reader(bytes)
  for (let index = 0; index < count; index++) emit(decodeOne(reader, firstSeq + index))
}
