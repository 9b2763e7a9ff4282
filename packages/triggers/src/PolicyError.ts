/**
 * The error of a policy that cannot be built.
 *
 * @module
 */
import { describeValue, didYouMean } from "@stillpoint/core"
import { Schema, SchemaIssue } from "effect"

/** One thing that is wrong with a policy, and where. */
export const PolicyProblem = Schema.Struct({
  /** From the root of the policy, or of the record that describes it, to the place. */
  path: Schema.Array(Schema.Union([Schema.String, Schema.Natural])),
  /** What was expected, what was found. */
  message: Schema.String,
  /** A part that the registry does not know: under which of its headings it would stand, and its name. */
  unknownPart: Schema.optionalKey(Schema.Struct({ kind: Schema.String, name: Schema.String }))
})
export type PolicyProblem = typeof PolicyProblem.Type

/**
 * A policy cannot be built or decoded, or is not what it claims: all problems at once.
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

/**
 * Throws a {@link PolicyError}: `what` is the constructor or option, `expected` and `found` continue a
 * sentence.
 */
export const refuse = (what: string, expected: string, found: unknown): never => {
  throw new PolicyError({
    problems: [
      {
        path: [what],
        message: `expected ${expected}, found ${typeof found === "string" ? found : describeValue(found)}`
      }
    ]
  })
}

/** Options that do not exist: `what` is the constructor. */
export const unknownProblems = (
  what: string,
  options: object,
  known: ReadonlyArray<string>
): ReadonlyArray<PolicyProblem> =>
  Object.keys(options)
    .filter((name) => !known.includes(name))
    .map((name) => ({ path: [what, name], message: unknownName("option", name, known) }))

/** The message for an unknown name. */
export const unknownName = (kind: string, name: string, known: ReadonlyArray<string>): string => {
  const shown = name.length > 60 ? `${name.slice(0, 60)}…` : name
  // A name is shown as it is only where it cannot be taken for something else.
  const quoted = /^[\w/@.-]+$/.test(shown) ? shown : JSON.stringify(shown)
  const meant = didYouMean(name, known)
  return `unknown ${kind} ${quoted}${meant === "" ? `; known are ${known.length === 0 ? "none" : known.join(", ")}` : meant}`
}

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** The issues of a schema as problems of a policy; an unknown field gets a suggestion from the known ones. */
export const problemsOf = (issue: SchemaIssue.Issue, known: ReadonlyArray<string>): Array<PolicyProblem> =>
  formatIssue(issue).issues.map(({ message, path }) => {
    const steps = (path ?? []).map((step) => {
      const key = typeof step === "object" ? step.key : step
      return typeof key === "number" ? key : String(key)
    })
    const [first] = steps
    const isUnknown = message === "Expected no excess property" && steps.length === 1 && typeof first === "string"
    return { path: steps, message: isUnknown ? unknownName("field", first, known) : message }
  })
