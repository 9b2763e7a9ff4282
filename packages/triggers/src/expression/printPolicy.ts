/**
 * Policies written as expressions.
 *
 * @module
 */
import { Equal, Result } from "effect"
import { defaultActivity } from "../combinators/activity.ts"
import { requirePolicy } from "../combinators/combinator.ts"
import type { PolicyDescription } from "../plugin/PolicyDescription.ts"
import type { Policy } from "../Policy.ts"
import { PolicyUnprintable } from "./PolicySyntaxError.ts"
import { printDuration } from "./tokens.ts"

type Path = ReadonlyArray<string | number>

/** The precedence of the words, as in the grammar. */
const binding = { ranked: 0, ordered: 1, joint: 2, timed: 3 } as const

interface Written {
  readonly text: string
  readonly binds: number
}

/**
 * Writes a policy as an expression; `parsePolicy` reads it back as a policy with the same description. Fails with `PolicyUnprintable`
 * for parts that expressions cannot describe: plug-ins, predicates, schemas, a quiesce with custom activity.
 *
 * @example
 * ```ts
 * import { afterGuestTime, onListener, precedence, printPolicy, quiesce } from "@stillpoint/triggers"
 * import { Result } from "effect"
 *
 * const policy = precedence([quiesce(onListener({ port: 8080 }), { calmFor: "20 millis" }), afterGuestTime("10 seconds")])
 * console.log(Result.getOrThrow(printPolicy(policy))) // listener:8080 & calm 20ms | after 10s
 * ```
 */
export const printPolicy = (policy: Policy): Result.Result<string, PolicyUnprintable> => {
  const { description } = requirePolicy("printPolicy", policy)
  try {
    return Result.succeed(write(description as PolicyDescription, []).text)
  } catch (cause) {
    if (cause instanceof PolicyUnprintable) return Result.fail(cause)
    throw cause
  }
}

const leaf = (...words: ReadonlyArray<string | undefined>): Written => ({
  text: words.filter((word) => word !== undefined).join(" "),
  binds: binding.timed
})

/** A part, in brackets where it binds less tightly than its place asks for. */
const at = (place: number, description: PolicyDescription, path: Path): string => {
  const { binds, text } = write(description, path)
  return binds >= place ? text : `(${text})`
}

const several = (sign: string, binds: number, of: ReadonlyArray<PolicyDescription>, path: Path): Written => {
  if (of.length < 2) throw new PolicyUnprintable({ path, why: `an expression has "${sign}" between two parts or more` })
  return { text: of.map((one, index) => at(binds + 1, one, [...path, "of", index])).join(` ${sign} `), binds }
}

const lasting = (word: string, of: PolicyDescription, nanos: number, path: Path): Written => ({
  text: `${at(binding.timed, of, [...path, "of"])} ${word} ${printDuration(nanos)}`,
  binds: binding.timed
})

const numbered = (word: string, number: number | undefined): string =>
  number === undefined ? word : `${word}:${number}`

const write = (description: PolicyDescription, path: Path): Written => {
  const wordless = (why: string) => new PolicyUnprintable({ path, why })
  switch (description.trigger) {
    case "never":
      return leaf("never")
    case "onParked":
      return leaf("parked")
    case "onPreExec":
      if (description.console !== undefined) throw wordless("a pre-exec that believes the console has no words")
      return leaf("pre-exec")
    case "onListener": {
      const { address, counts, port, protocol } = description
      const on = address === undefined ? undefined : `on ${JSON.stringify(address)}`
      return leaf(numbered("listener", port), protocol, on, counts === undefined ? undefined : "open")
    }
    case "onConnection":
      return leaf(numbered("connection", description.port), description.direction)
    case "onRequestServed":
      return leaf(numbered("served", description.port), String(description.count))
    case "afterGuestTime":
      return leaf("after", printDuration(description.nanos))
    case "onIdle":
      return leaf("idle", printDuration(description.nanos))
    case "onSerialMatch":
    case "onSerialText": {
      const { flags, port, regex, text } = description
      const pattern = regex === undefined ? JSON.stringify(text ?? "") : `/${regex}/${flags ?? ""}`
      return leaf(numbered(description.trigger === "onSerialMatch" ? "serial" : "prompt", port), pattern)
    }
    case "atHeartbeat":
      return leaf("heartbeat", String(description.count), description.console === true ? "console" : undefined)
    case "onCustom":
      if (description.hasSchema === true) throw wordless("a schema has no words")
      return leaf("custom", JSON.stringify(description.name))
    case "onEvent":
      return leaf("event", description.kind)
    case "onDirtyRateBelow":
      return leaf("dirty-below", String(description.pagesPerSecond), "over", printDuration(description.windowNanos))
    case "precedence":
      return several("|", binding.ranked, description.of, path)
    case "allOf":
      return several("&", binding.joint, description.of, path)
    case "then": {
      const first = at(binding.ordered, description.first, [...path, "first"])
      return {
        text: `${first} then ${at(binding.joint, description.second, [...path, "second"])}`,
        binds: binding.ordered
      }
    }
    case "within":
      return lasting("within", description.of, description.nanos, path)
    case "atLatest":
      return lasting("at-latest", description.of, description.nanos, path)
    case "debounce":
      return lasting("debounce", description.of, description.nanos, path)
    case "quiesce": {
      const { activity, agent, calmForNanos, deadlineNanos, of, onDeadline } = description
      if (!Equal.equals(activity, defaultActivity)) throw wordless("a quiesce with activity of its own has no words")
      const deadline = deadlineNanos === null ? "none" : printDuration(deadlineNanos)
      const words = [
        `calm ${printDuration(calmForNanos)}`,
        ...(deadlineNanos === 5_000_000_000 ? [] : [`deadline ${deadline}`]),
        ...(onDeadline === "fail" ? [] : [`else ${onDeadline}`]),
        ...(agent === "auto" ? [] : [`agent ${agent}`])
      ]
      return { text: `${at(binding.joint, of, [...path, "of"])} & ${words.join(" ")}`, binds: binding.joint }
    }
    default:
      throw wordless(`${description.trigger} has no words`)
  }
}
