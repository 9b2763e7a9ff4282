/**
 * How a guest came to its end while somebody waited for it.
 *
 * @module
 */
import { Schema } from "effect"

/** How it ended: as a run stops, by a panic of its kernel, or `ended` long before; `paused` is its end for whoever waits. */
export const GuestEnd = {
  how: Schema.Literals(["halted", "reset", "fault", "paused", "horizon", "panicked", "ended"]),
  /** What the engine or the kernel said; empty if nothing. For people. */
  detail: Schema.String
}
export type GuestEnd = { readonly [K in keyof typeof GuestEnd]: (typeof GuestEnd)[K]["Type"] }

/** It in words, for the end of a sentence. */
export const guestEndInWords = ({ detail, how }: GuestEnd): string => (detail === "" ? how : `${how}: ${detail}`)
