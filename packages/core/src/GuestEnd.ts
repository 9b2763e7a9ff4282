/**
 * The end of a guest while a caller waited for it.
 *
 * @module
 */
import { Schema } from "effect"

/**
 * The kind of end: a run's stop, a kernel panic, or `ended` if the guest had ended before; `paused` ends the wait of a
 * caller.
 */
export const GuestEnd = {
  how: Schema.Literals(["halted", "reset", "fault", "paused", "horizon", "panicked", "ended"]),
  /** The text of the engine or the kernel; empty if there is none. For readers, not for code. */
  detail: Schema.String
}
export type GuestEnd = { readonly [K in keyof typeof GuestEnd]: (typeof GuestEnd)[K]["Type"] }

/** It in words, for the end of a sentence. */
export const guestEndInWords = ({ detail, how }: GuestEnd): string => (detail === "" ? how : `${how}: ${detail}`)
