/**
 * The code that combinators share: checking the triggers that they get, since a caller may not use types.
 *
 * @module
 */
import { describeValue } from "@stillpoint/core"
import { requireAll } from "../argument.ts"
import { Policy } from "../Policy.ts"
import { PolicyError, type PolicyProblem, refuse } from "../PolicyError.ts"

/** A trigger. */
export const requirePolicy = (what: string, value: unknown): Policy =>
  value instanceof Policy ? value : refuse(what, "a trigger", describeValue(value))

/** A list of triggers; all that is wrong with it is refused at once. */
export const requirePolicies = (what: string, value: unknown): ReadonlyArray<Policy> => {
  if (!Array.isArray(value)) return refuse(what, "a list of triggers", describeValue(value))
  if (value.length === 0) return refuse(what, "at least one trigger", "none")
  const problems = Array.from(value as ReadonlyArray<unknown>, (one, index): PolicyProblem | null =>
    one instanceof Policy ? null : { path: [what, index], message: `expected a trigger, found ${describeValue(one)}` }
  ).filter((problem) => problem !== null)
  if (problems.length > 0) throw new PolicyError({ problems })
  return [...(value as ReadonlyArray<Policy>)]
}

/**
 * A combinator that is called with the trigger first, or without it for use in `pipe`. Its other arguments are checked at
 * once in both cases.
 */
export const combinator = <Args extends ReadonlyArray<unknown>, A>(
  what: string,
  count: number,
  check: (...args: Args) => A,
  make: (policy: Policy, checked: A) => Policy
): never =>
  ((...args: ReadonlyArray<unknown>) => {
    if (args.length > count) {
      const [first, ...others] = args
      const { checked, policy } = requireAll({
        policy: () => requirePolicy(what, first),
        checked: () => check(...(others as unknown as Args))
      })
      return make(policy, checked)
    }
    const checked = check(...(args as unknown as Args))
    return (policy: unknown) => make(requirePolicy(what, policy), checked)
  }) as never
