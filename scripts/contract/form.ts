/**
 * The types of a contract.
 *
 * @module
 */

/**
 * The encoding of a field, the same in a frame, on the bridge and in a snapshot. Integers are little-endian.
 *
 * ```text
 * u8 u16 u32 i32   of that width              natural   u64, at most 2^53 - 1
 * u64              of that width; frames of the host only
 * bool             u8, 0 or 1                 bytes     length u32 | bytes
 * text             length u32 | UTF-8         texts     count u32 | texts
 * json             as text, one JSON value    kind      u8, an event's number
 * status           u8 (0 code, 1 signal) | i32
 * T?               u8 (0 absent, 1 present) | T
 * <enumeration>    u8, the value's number
 * ```
 */
export type FieldType =
  | "u8"
  | "u16"
  | "u32"
  | "u64"
  | "i32"
  | "natural"
  | "bool"
  | "bytes"
  | "text"
  | "texts"
  | "json"
  | "kind"
  | "status"
  | "u32?"
  | "natural?"
  | "FrameName"
  | (string & {})

/** One field of an event or a frame. */
export interface Field {
  readonly name: string
  readonly type: FieldType
  readonly doc: string
  /** Name of the limit on its bytes. */
  readonly most?: string
  /** Its value in older recordings that lack it. */
  readonly was?: number
}

/** One kind of guest event. */
export interface EventForm {
  readonly doc: string
  readonly fields: ReadonlyArray<Field>
  /** Number of the frame in which the agent tells it; absent: the machine itself does. */
  readonly frame?: number
  /** The frame begins a conversation: the hash of the agent's contract follows its fields, as a u64. */
  readonly isHello?: true
  /** Version of the contract in which its fields took their present form; 1 if absent. Older recordings are upcast to it. */
  readonly version?: number
}

/** One frame from the host to the agent. */
export interface HostFrameForm {
  readonly doc: string
  readonly frame: number
  readonly fields: ReadonlyArray<Field>
  /** Name of the Rust structure that holds the fields of a large frame. */
  readonly structure?: string
}

/** Named values and their numbers. */
export interface Enumeration {
  readonly doc: string
  readonly values: Readonly<Record<string, readonly [number: number, doc: string]>>
}

/** A bound that both sides keep. */
export interface Limit {
  readonly value: number
  readonly doc: string
}

/** Everything that the guest's agent, the core and the library must agree on. */
export interface Contract {
  /** Counts the changes that recordings can notice. */
  readonly version: number
  readonly limits: Readonly<Record<string, Limit>>
  readonly enumerations: Readonly<Record<string, Enumeration>>
  /** The kinds of events; a kind's number is its place. */
  readonly events: Readonly<Record<string, EventForm>>
  /** Kinds that come most often, for what looks kinds up in order. */
  readonly frequent: ReadonlyArray<string>
  readonly hostFrames: Readonly<Record<string, HostFrameForm>>
}
