/**
 * The guest's activity, as a totally ordered sequence of plain, immutable records.
 *
 * @module
 */
import { Schema } from "effect"
import { guestEventFields } from "./contract/contract.ts"

/** Guest time: nanoseconds since the guest's first instruction, a safe integer. */
export const GuestNanos = Schema.Natural
export type GuestNanos = number

/**
 * One guest event, told apart by `_tag`.
 *
 * Every event carries `seq` and `atNanos`. Bytes are `Uint8Array`; JSON comes from {@link GuestEventJson}. The kinds and their
 * fields are the contract's, from which the guest's agent and the core are made too.
 */
export const GuestEvent = Schema.TaggedUnion(guestEventFields)
export type GuestEvent = typeof GuestEvent.Type

/** The name of a kind of guest event: its `_tag`. */
export type GuestEventKind = GuestEvent["_tag"]

/** The event of one kind. */
export type GuestEventOf<K extends GuestEventKind> = Extract<GuestEvent, { readonly _tag: K }>

/** The JSON form of a guest event, decoded and encoded. */
export const GuestEventJson = Schema.toCodecJson(GuestEvent)
