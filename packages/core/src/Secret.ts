/**
 * What a guest is given and its recording does not show.
 *
 * @module
 */
import type { Redacted } from "effect"

/**
 * A value, or a secret one.
 *
 * What holds a `Redacted` value is recorded as having happened, in journals and timelines, and not with what it was: as `HostInput`
 * of kind `withheld`. A recording can be given again to a machine up to there, and further only with the value. The guest's memory
 * holds it all the same, and so does a snapshot.
 */
export type Secret<A> = A | Redacted.Redacted<A>
