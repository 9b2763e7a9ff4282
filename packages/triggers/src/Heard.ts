import type { GuestEventKind } from "@stillpoint/core"
import type { Schema } from "effect"

/**
 * An event that matters to a trigger, described for those who make such events: tests make timelines of them.
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
  /** What the payload of a custom event is. */
  readonly payload?: Schema.Codec<unknown, unknown>
  /** What occurs in the line of a serial port. */
  readonly text?: string | RegExp
}
