/**
 * Promises that every implementation of a port keeps, as programs that any test runner can run.
 *
 * @module
 */
import type { Effect, Scope } from "effect"

/** One promise: a name, and a program that dies with an assertion error where the promise is broken. */
export interface Law<R> {
  /** The promise in words joined by hyphens. */
  readonly name: string
  readonly check: Effect.Effect<void, unknown, R | Scope.Scope>
}
