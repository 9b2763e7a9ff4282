/**
 * A failure of the core as an error's reason.
 *
 * @module
 */
import type { Failure } from "../binding/Addon.ts"

/** The reason of a failure. Core knows every name that the core in Rust sends: a test sends each across and compares. */
export const reasonOf = <R extends { readonly _tag: string; readonly message: string }>(failure: Failure): R =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as said above
  ({ _tag: failure.name, message: failure.message }) as R
