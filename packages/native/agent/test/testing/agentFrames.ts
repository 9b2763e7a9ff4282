/**
 * The control protocol's frames, written and read independently of the core in Rust and of the agent in C: read by what the contract
 * says lies in each.
 *
 * ```text
 * u32 length of type and payload | u8 type | payload          integers little endian
 * str, bytes = u32 length + bytes        list = u32 count + items        T? = u8 0, or u8 1 + T
 * ```
 *
 * @module
 */
import type { GuestEventKind } from "@stillpoint/core"
import { contract } from "../../../../../scripts/contract/contract.ts"

/** A frame from the guest; `fields` in the order of the contract, a status as its two parts. */
export interface GuestFrame {
  readonly name: GuestEventKind
  readonly fields: ReadonlyArray<number | bigint | string | null | ReadonlyArray<string>>
}

type Shape = "u8" | "u16" | "u32" | "i32" | "u64" | "str" | "list" | "u32?" | "u64?"

/** How a type of the contract lies in a frame. */
const shapesOf = (type: string): ReadonlyArray<Shape> => {
  switch (type) {
    case "u8":
    case "u16":
    case "u32":
    case "i32":
    case "u32?":
      return [type]
    case "natural":
      return ["u64"]
    case "natural?":
      return ["u64?"]
    case "text":
    case "json":
    case "bytes":
      return ["str"]
    case "texts":
      return ["list"]
    case "status":
      return ["u8", "i32"]
    default:
      if (type === "FrameName" || type in contract.enumerations) return ["u8"]
      throw new Error(`no shape of ${type} is known here`)
  }
}

/** The frames that the contract lets an agent send, by their numbers: what each is, and what lies in it. */
const guestFrames = new Map(
  Object.entries(contract.events).flatMap(([name, { fields, frame: type, isHello }]) => {
    if (type === undefined) return []
    const shapes = [...fields.flatMap((field) => shapesOf(field.type)), ...(isHello === true ? ["u64" as const] : [])]
    return [[type, { name, shapes }] as const]
  })
)

/** Cuts whole frames off the front of `bytes`. Throws on what no agent may send. */
export const takeFrames = (bytes: Buffer): readonly [frames: ReadonlyArray<GuestFrame>, rest: Buffer] => {
  const frames: Array<GuestFrame> = []
  let at = 0
  while (bytes.length - at >= 4) {
    const length = bytes.readUInt32LE(at)
    if (length < 1 || length > 65_536) throw new Error(`a frame of length ${length}`)
    if (bytes.length - at - 4 < length) break
    frames.push(decode(bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  return [frames, bytes.subarray(at)]
}

const decode = (body: Buffer): GuestFrame => {
  const found = guestFrames.get(body[0] ?? 0)
  if (found === undefined) throw new Error(`a frame of type ${body[0]}`)
  const { name, shapes } = found
  let at = 1
  const advance = (length: number) => (at += length) - length
  const text = () => {
    const length = body.readUInt32LE(advance(4))
    return body.toString("utf8", advance(length), at)
  }
  const read = {
    u8: () => body.readUInt8(advance(1)),
    u16: () => body.readUInt16LE(advance(2)),
    u32: () => body.readUInt32LE(advance(4)),
    i32: () => body.readInt32LE(advance(4)),
    u64: () => body.readBigUInt64LE(advance(8)),
    "u32?": () => (body.readUInt8(advance(1)) === 0 ? null : body.readUInt32LE(advance(4))),
    "u64?": () => (body.readUInt8(advance(1)) === 0 ? null : body.readBigUInt64LE(advance(8))),
    str: text,
    list: () => Array.from({ length: body.readUInt32LE(advance(4)) }, text)
  }
  const fields = shapes.map((shape) => read[shape]())
  if (at !== body.length) throw new Error(`${name} with ${body.length - at} bytes too many`)
  return { name: name as GuestEventKind, fields }
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes
}
const bytesOf = (value: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(value)
  return Buffer.concat([u32(bytes.length), bytes])
}
const list = (items: ReadonlyArray<string>): Buffer => Buffer.concat([u32(items.length), ...items.map(bytesOf)])

/** A frame of that type around a payload. */
export const frame = (type: number, ...payload: ReadonlyArray<Uint8Array>): Buffer => {
  const body = Buffer.concat(payload)
  return Buffer.concat([u32(body.length + 1), Buffer.from([type]), body])
}

/** What a new identity is made of; what is absent stays. */
export interface IdentityParts {
  readonly entropy?: Uint8Array
  readonly realtimeNanos?: bigint
  readonly hostname?: string
  readonly machineId?: string
  readonly env?: ReadonlyArray<string>
  readonly thaw?: boolean
}

/** Frames from the host. */
export const hostFrames = {
  go: frame(0x81),
  exec: (
    id: number,
    argv: ReadonlyArray<string>,
    more: {
      readonly env?: ReadonlyArray<string>
      readonly cwd?: string
      readonly input?: string
      readonly open?: true
      readonly outputBytes?: bigint
      readonly user?: string
      /** Columns and rows. */
      readonly terminal?: readonly [number, number]
    } = {}
  ) =>
    frame(
      0x82,
      u32(id),
      list(argv),
      list(more.env ?? []),
      bytesOf(more.cwd ?? ""),
      bytesOf(more.input ?? ""),
      Buffer.from([more.open === true ? 0 : 1]),
      u64(more.outputBytes ?? 2n ** 32n),
      bytesOf(more.user ?? ""),
      Buffer.from(new Uint16Array(more.terminal ?? [0, 0]).buffer),
      Buffer.from([0])
    ),
  execWindow: (id: number, bytes: bigint) => frame(0x8b, u32(id), u64(bytes)),
  execResize: (id: number, columns: number, rows: number) =>
    frame(0x8c, u32(id), Buffer.from(new Uint16Array([columns, rows]).buffer)),
  execStdin: (id: number, input: string, close: boolean) =>
    frame(0x83, u32(id), bytesOf(input), Buffer.from([close ? 1 : 0])),
  execKill: (id: number, signal: number) => frame(0x84, u32(id), u32(signal)),
  freeze: (token: number) => frame(0x85, u32(token)),
  thaw: (token: number) => frame(0x86, u32(token)),
  applyIdentity: (token: number, parts: IdentityParts = {}) => {
    const realtime = Buffer.alloc(8)
    realtime.writeBigUInt64LE(parts.realtimeNanos ?? 0n)
    return frame(
      0x87,
      u32(token),
      bytesOf(parts.entropy ?? Buffer.alloc(32, token)),
      realtime,
      bytesOf(parts.hostname ?? ""),
      bytesOf(parts.machineId ?? ""),
      list(parts.env ?? []),
      Buffer.from([parts.thaw === true ? 1 : 0]),
      Buffer.alloc(12)
    )
  },
  powerOff: frame(0x88),
  startWorkload: (token: number, settings: ReadonlyArray<string>) => frame(0x8a, u32(token), list(settings))
}
