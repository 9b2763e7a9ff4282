/**
 * The stage that makes the first clone of a snapshot as fast as the next.
 *
 * @module
 */
import { Effect } from "effect"
import { prefetch as prefetchSnapshot } from "../../snapshot/prefetch.ts"
import * as Stage from "../Stage.ts"
import type { Published } from "./capture.ts"

/** Reads the pages that the validation's clone touched into the host's memory. Does nothing without a validation before it. */
export const prefetch = Stage.tap("prefetch", ({ snapshot }: Published) =>
  Effect.flatMap(prefetchSnapshot(snapshot), ({ bytes, pages }) => Effect.annotateCurrentSpan({ pages, bytes }))
)
