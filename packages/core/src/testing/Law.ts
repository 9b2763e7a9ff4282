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
  /** May succeed with a description of the cases that it covered. */
  readonly check: Effect.Effect<A, unknown, R | Scope.Scope>
}
