import type { GuestEventKind } from "@stillpoint/core"
import type { Schema } from "effect"

/**
 * A description of an event that matters to a trigger. Tests generate timelines with such events.
 *
 * @example
 * ```ts
 * import type { Heard } from "@stillpoint/triggers"
 * import { Schema } from "effect"
 *
 * export const settled: Heard = { kind: "Custom", fields: { name: "write" }, payload: Schema.Struct({ pending: Schema.Literals([0, 1, 2]) }) }
 * ```
 */
export interface Heard {
  readonly kind: GuestEventKind
  /** Fields that have these values; others have any. */
  readonly fields?: Readonly<Record<string, unknown>>
  /** Schema of a custom event's payload. */
  readonly payload?: Schema.Codec<unknown, unknown>
  /** Text that occurs in a line on a serial port. */
  readonly text?: string | RegExp
}
