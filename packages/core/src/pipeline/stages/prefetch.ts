/**
 * The stage that makes the first clone of a snapshot as fast as the next.
 *
 * @module
 */
import { Effect } from "effect"
import { prefetch as prefetchSnapshot } from "../../snapshot/prefetch.ts"
import * as Stage from "../Stage.ts"
import type { Published } from "./capture.ts"

/** Brings what the validation's clone touched into the host's memory. Without a validation before it, there is nothing to bring. */
export const prefetch = Stage.tap("prefetch", ({ snapshot }: Published) =>
  Effect.flatMap(prefetchSnapshot(snapshot), ({ bytes, pages }) => Effect.annotateCurrentSpan({ pages, bytes }))
)
