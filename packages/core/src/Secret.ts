/**
 * Values that a guest receives and its recording does not contain.
 *
 * @module
 */
import type { Redacted } from "effect"

/**
 * A value, or a secret one.
 *
 * Input with a `Redacted` value is recorded in journals and timelines without its content, as `HostInput` of kind `withheld`. A
 * recording can be replayed up to that point, and beyond it only with the value. The guest's memory contains the value, and so
 * does a snapshot.
 */
export type Secret<A> = A | Redacted.Redacted<A>
