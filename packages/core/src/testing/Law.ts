/**
 * Promises that every implementation of a port keeps, as programs that any test runner can run.
 *
 * @module
 */
import type { Effect, Scope } from "effect"

/** One promise: a name, and a program that dies with an assertion error where the promise is broken. */
export interface Law<R, A = void> {
  /** The promise in words joined by hyphens. */
  readonly name: string
  /** What it succeeds with tells what the promise was seen to hold of, where a law has that to tell. */
  readonly check: Effect.Effect<A, unknown, R | Scope.Scope>
}
