/**
 * Events as the core in Rust encodes them, decoded.
 *
 * ```text
 * event   := kind u8 | atNanos u64 | fields of the kind, in the order of their declaration
 * integer := little-endian, of the field's width
 * str     := length u32 | UTF-8      bytes := length u32 | bytes
 * list    := count u32 | items       optional := u8 (0 absent, 1 present) | value
 * status  := u8 (0 code, 1 signal) | i32        named values, kinds := u8
 * ```
 *
 * Sequence numbers are not encoded: events of a batch follow each other without gaps.
 *
 * @module
 */
import { type GuestEvent, type GuestEventKind, guestEventNumber } from "@stillpoint/core"
import { decodeEvent } from "./decodeEvent.ts"
import { EventReader } from "./EventReader.ts"

/** The set of kinds in the core's form: bit `n` means the kind numbered `n`. */
export const kindMask = (kinds: Iterable<GuestEventKind>): bigint => {
  let mask = 0n
  for (const kind of kinds) mask |= 1n << BigInt(guestEventNumber(kind))
  return mask
}

/** Calls `emit` for each of `count` events in `bytes`, the first of which has the number `firstSeq`. */
export const decodeEvents = (
  bytes: Buffer,
  firstSeq: number,
  count: number,
  emit: (event: GuestEvent) => void
): void => {
  const reader = new EventReader(bytes)
  for (let index = 0; index < count; index++) emit(decodeEvent(reader, firstSeq + index))
}
