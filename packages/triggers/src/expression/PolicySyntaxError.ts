/**
 * The errors of policies as short expressions: the place where reading stopped with what was expected there, and policies
 * that cannot be written.
 *
 * @module
 */
import { Schema } from "effect"
import { requireAll, requireCount, requireText } from "../argument.ts"

/** One thing that is wrong with an expression, and where. */
export const SyntaxProblem = Schema.Struct({
  /** From 1, in UTF-16 code units; one more than the text is long where it ends too early. */
  column: Schema.Natural,
  /** What was expected, what was found. */
  message: Schema.String
})
export type SyntaxProblem = typeof SyntaxProblem.Type

/** Maximum number of characters of a text that a message shows. */
const mostShown = 200

/**
 * A line of text with a caret below one of its columns, counted from 1; of a long line only the neighbourhood of the column.
 *
 * @throws {PolicyError} if the text is none, or the column is not a whole number from 1.
 *
 * @example
 * ```ts
 * import { pointedAt } from "@stillpoint/triggers"
 *
 * console.log(pointedAt("listner:80", 1))
 * //   listner:80
 * //   ^
 * ```
 */
export const pointedAt = (text: string, column: number): string => {
  requireAll({
    text: () => requireText("pointedAt.text", text),
    column: () => requireCount("pointedAt.column", column)
  })
  // Control characters take one column each.
  // oxlint-disable-next-line no-control-regex
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, " ")
  // A column behind the text is that of its end.
  const at = Math.min(column, plain.length + 1)
  const from = plain.length <= mostShown ? 0 : Math.max(0, Math.min(at - 1 - mostShown / 2, plain.length - mostShown))
  return `  ${plain.slice(from, from + mostShown)}\n  ${" ".repeat(at - 1 - from)}^`
}

/** An expression is no policy: every problem that was found, each with its column. */
export class PolicySyntaxError extends Schema.TaggedError<PolicySyntaxError>()("PolicySyntaxError", {
  text: Schema.String,
  problems: Schema.NonEmptyArray(SyntaxProblem)
}) {
  override get message(): string {
    return this.problems
      .map(({ column, message }) => `policy, column ${column}: ${message}\n${pointedAt(this.text, column)}`)
      .join("\n")
  }
}

/** A policy has a part that the language of expressions has no words for. */
export class PolicyUnprintable extends Schema.TaggedError<PolicyUnprintable>()("PolicyUnprintable", {
  /** From the root of the policy's description to the part. */
  path: Schema.Array(Schema.Union([Schema.String, Schema.Natural])),
  why: Schema.String
}) {
  override get message(): string {
    const place = this.path.length === 0 ? "the policy" : this.path.join(".")
    return `${place} cannot be written as an expression: ${this.why}; write the policy as JSON`
  }
}
