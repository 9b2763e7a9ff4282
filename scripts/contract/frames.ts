/**
 * Writes and reads the control protocol's frames from the contract, independently of the core in Rust and of the agent in C:
 * for tests of the agent, and for peers in benches.
 *
 * ```text
 * u32 length of type and payload | u8 type | payload          integers little endian
 * str, bytes = u32 length + bytes        list = u32 count + items        T? = u8 0, or u8 1 + T
 * ```
 *
 * @module
 */
import type { GuestEventKind } from "@stillpoint/core"
import { contract } from "./contract.ts"

/** A frame from the guest; `fields` in the order of the contract, a status as its two parts. */
export interface GuestFrame {
  readonly name: GuestEventKind
  readonly fields: ReadonlyArray<number | bigint | string | null | ReadonlyArray<string>>
}

type Shape = "u8" | "u16" | "u32" | "i32" | "u64" | "str" | "list" | "u32?" | "u64?"

/** The shape of a contract's type in a frame. */
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

/** Cuts whole frames off the front of `bytes`. Throws on bytes that no agent may send. */
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

/** A field of a frame from the host. */
export type HostField = number | bigint | boolean | string | Uint8Array | ReadonlyArray<string>

const whole = (value: HostField | undefined, bits: 16 | 32): Buffer => {
  const bytes = u32(Number(value ?? 0))
  return bits === 16 ? bytes.subarray(0, 2) : bytes
}

const fieldBytes = (type: string, value: HostField | undefined): Buffer => {
  switch (type) {
    case "u16":
      return whole(value, 16)
    case "u32":
    case "i32":
      return whole(value, 32)
    case "u64":
      return u64(BigInt((value ?? 0) as number | bigint))
    case "bool":
      return Buffer.from([value === true ? 1 : 0])
    case "text":
    case "bytes":
      return bytesOf((value ?? "") as string | Uint8Array)
    case "texts":
      return list((value ?? []) as ReadonlyArray<string>)
    default:
      throw new Error(`nothing is known here of how ${type} is written`)
  }
}

/** A frame of the host by its name; a field that is not given is zero or empty. */
export const hostFrame = (name: string, given: Readonly<Record<string, HostField>> = {}): Buffer => {
  const form = contract.hostFrames[name]
  if (form === undefined) throw new Error(`the contract has no frame ${name}`)
  const unknown = Object.keys(given).filter((key) => !form.fields.some((field) => field.name === key))
  if (unknown.length > 0) throw new Error(`${name} has no field ${unknown.join(", ")}`)
  return frame(form.frame, ...form.fields.map((field) => fieldBytes(field.type, given[field.name])))
}
