/**
 * The error of a policy that cannot be built.
 *
 * @module
 */
import { Schema } from "effect"

/** One thing that is wrong with a policy, and where. */
export const PolicyProblem = Schema.Struct({
  /** From the root of the policy, or of the record that describes it, to the place. */
  path: Schema.Array(Schema.Union([Schema.String, Schema.Natural])),
  /** What was expected, what was found. */
  message: Schema.String
})
export type PolicyProblem = typeof PolicyProblem.Type

/**
 * A policy cannot be built, decoded, or is not what it claims: every problem at once.
 *
 * Constructors of triggers throw it, as a policy written in code is a program; decoders return it.
 */
export class PolicyError extends Schema.TaggedError<PolicyError>()("PolicyError", {
  problems: Schema.Array(PolicyProblem)
}) {
  override get message(): string {
    return this.problems
      .map(({ message, path }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`))
      .join("\n")
  }
}

/** Refuses to build: `what` is the constructor or option, `expected` and `found` as a sentence goes on. */
export const refuse = (what: string, expected: string, found: unknown): never => {
  throw new PolicyError({ problems: [{ path: [what], message: `expected ${expected}, found ${String(found)}` }] })
}
