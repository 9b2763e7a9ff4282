/**
 * The stage that keeps clones of a fresh snapshot ready.
 *
 * @module
 */
import { Effect } from "effect"
import { type ClonePool, type ClonePoolOptions, makeClonePool, poolProblems } from "../../pool/ClonePool.ts"
import * as Stage from "../Stage.ts"
import type { Published } from "./capture.ts"

/** A snapshot and the clones of it that stand ready. */
export interface Pooled extends Published {
  readonly pool: ClonePool
}

/** Opens a pool of clones; it lives until the pipeline's scope closes. Comes after everything that makes the snapshot ready. */
export const pool = (options: Omit<ClonePoolOptions, "snapshot">) =>
  Stage.make(
    "pool",
    (published: Published) =>
      Effect.map(
        makeClonePool({
          ...options,
          snapshot: published.snapshot.directory,
          // This very snapshot, and no other that has come to its path.
          gate: { ...options.gate, digest: published.snapshot.manifest.digest }
        }),
        (clones) => ({ ...published, pool: clones }) satisfies Pooled
      ),
    { check: Effect.succeed(poolProblems(options)) }
  )
