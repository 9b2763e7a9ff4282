/**
 * Reads the sentences of an explanation about the losing triggers, and checks them against the guest's events.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import type { GuestEvent } from "@stillpoint/core"

export const timePattern = String.raw`(\d+(?:\.\d+)? (?:ns|µs|ms|s))`

/** Nanoseconds of a time in words. */
export const readTime = (words: string): number => {
  const [, whole = "", fraction = "", unit = ""] = /^(\d+)(?:\.(\d+))? (ns|µs|ms|s)$/.exec(words) ?? []
  const decimals = { ns: 0, µs: 3, ms: 6, s: 9 }[unit]
  assert.ok(decimals !== undefined && fraction.length <= decimals, `no time: ${words}`)
  return Number(whole + fraction.padEnd(decimals, "0"))
}

/** A part of a policy, as its JSON says it. */
export type Described = Readonly<Record<string, unknown>>

/** The facts that a sentence about a losing trigger is checked against. */
export interface LostFacts {
  /** The events up to the decision. */
  readonly before: ReadonlyArray<GuestEvent>
  readonly parts: ReadonlyArray<Described>
  /** Guest time of the decision, or of the earlier elimination of the trigger. */
  readonly atNanos: number
  readonly afterSeq: number
  readonly index: number
}

const sentence =
  /^(.*?) (was still waiting|had fired(?:, and was (?:waiting for calm|overtaken while it waited for calm|abandoned for want of calm))?|was out of time|had failed|was not armed yet)(?:: (.*))?\.$/

/** The valid sentences about a wait for an event: each is a complete clause, with the right number. */
const clauses = {
  unmatched: /^(?:1 (line|event)|(\d+) (lines|events)) had not matched$/,
  passed: new RegExp(`^${timePattern} of ${timePattern} had passed$`),
  count: /^the count had reached (\d+) of (\d+)$/,
  served: /^(\d+) of (\d+) had been served$/,
  idle: new RegExp(`^the hart had been idle for ${timePattern} at the longest$`),
  silent: new RegExp(`^it had fired, and then been silent for ${timePattern} of ${timePattern}$`),
  dirtied: /^the guest had dirtied (\d+) pages a second$/
}

const calm = new RegExp(
  `^calm for ${timePattern} of ${timePattern}, (?:1 restart|(?:0|[2-9]|\\d{2,}) restarts)` +
    `(?:, the agent had not answered|, the agent had refused to freeze the workload)?$`
)

/** Whether a user's own code may have worded it. */
const isSaidByUser = ({ trigger }: Described): boolean => trigger === "plugin" || trigger === "probe"

/** Combinators that neither arm their parts again nor eliminate them before they decide. */
const armedThroughout: ReadonlySet<unknown> = new Set(["firstOf", "precedence", "named"])

/** Number of lines that the only `onSerialMatch` of a policy had not matched: all lines so far, with or without the last. */
const unmatchedLines = ({ afterSeq, before }: LostFacts, { flags, port = 0, regex, text }: Described) => {
  const finds = (line: string): boolean =>
    typeof text === "string"
      ? line.includes(text)
      : new RegExp(String(regex), String(flags ?? "").replace(/[gy]/g, "")).test(line)
  const others = before.filter((event) => event._tag === "SerialLine" && !(event.port === port && finds(event.text)))
  return { most: others.length, least: others.filter(({ seq }) => seq < afterSeq).length }
}

const unmatchedIsTrue = (line: string, name: string, count: number, noun: string, facts: LostFacts): void => {
  const isLine = noun.startsWith("line")
  const had = facts.before.filter(({ _tag }) => !isLine || _tag === "SerialLine")
  assert.ok(count > 0 && count <= had.length, `${had.length} had come: ${line}`)
  const [only, ...more] = facts.parts.filter(({ trigger }) => trigger === "onSerialMatch")
  if (only === undefined || more.length > 0 || !name.includes("onSerialMatch(")) return
  assert.ok(isLine, line)
  const { least, most } = unmatchedLines(facts, only)
  assert.ok(count <= most, `${most} lines had not matched: ${line}`)
  const isWhole = facts.parts.every(
    (part) => part === only || armedThroughout.has(part["trigger"]) || !("of" in part || "first" in part)
  )
  if (isWhole && facts.index === 0) assert.ok(count >= least, `${least} lines had not matched: ${line}`)
}

const waitIsTrue = (line: string, name: string, said: string, facts: LostFacts): void => {
  const { atNanos, before, parts } = facts
  const [, one, many, others] = clauses.unmatched.exec(said) ?? []
  if (one !== undefined) return unmatchedIsTrue(line, name, 1, one, facts)
  if (many !== undefined && others !== undefined) {
    assert.notEqual(many, "1", line)
    return unmatchedIsTrue(line, name, Number(many), others, facts)
  }
  const [, passed, of] = clauses.passed.exec(said) ?? []
  if (passed !== undefined && of !== undefined) {
    return assert.ok(readTime(passed) <= readTime(of) && readTime(passed) <= atNanos, line)
  }
  const [, reached, wanted] = clauses.count.exec(said) ?? clauses.served.exec(said) ?? []
  if (reached !== undefined)
    return assert.ok((Number(reached) < Number(wanted) && before.length > 0) || reached === "0", line)
  const [, silent, wholeSilence] = clauses.silent.exec(said) ?? []
  if (silent !== undefined && wholeSilence !== undefined) {
    const isOne = parts.some((part) => part["trigger"] === "debounce" && part["nanos"] === readTime(wholeSilence))
    return assert.ok(isOne && readTime(silent) <= readTime(wholeSilence) && readTime(silent) <= atNanos, line)
  }
  const [, idle] = clauses.idle.exec(said) ?? []
  if (idle !== undefined) return assert.ok(readTime(idle) <= atNanos, line)
  assert.ok(clauses.dirtied.test(said) || parts.some(isSaidByUser), `no clause: ${line}`)
}

/** A part that waits for silence after an event is not reported as waiting for the event once it has come. */
const hadNotFired = (line: string, name: string, said: string | undefined, facts: LostFacts): void => {
  if (said !== undefined && clauses.silent.test(said)) return
  const [only, ...more] = facts.parts.filter(({ trigger }) => trigger === "debounce")
  const of = only?.["of"] as Described | undefined
  if (of?.["trigger"] !== "onEvent" || more.length > 0 || Number(only?.["nanos"]) === 0 || facts.index > 0) return
  if (
    name !== `onEvent(${String(of["kind"])})` ||
    facts.parts.filter(({ trigger }) => trigger === "onEvent").length > 1
  )
    return
  const isWhole = facts.parts.every(
    (part) => part === only || armedThroughout.has(part["trigger"]) || !("of" in part || "first" in part)
  )
  // The input of the decision itself may have come too late for it.
  const came = facts.before.filter(({ _tag, seq }) => _tag === of["kind"] && seq < facts.afterSeq)
  if (isWhole) assert.equal(came.length, 0, `it had fired: ${line}`)
}

/** Fails if a sentence about a losing trigger is not a valid one, or is not true. */
export const progressIsTrue = (line: string, facts: LostFacts): void => {
  const [, name = "", status = "", said] = sentence.exec(line) ?? []
  assert.notEqual(status, "", `no sentence: ${line}`)
  const isCalm = status.endsWith("calm")
  // Otherwise a trigger that has fired has decided, or waits for something else, which is stated.
  if (status === "had fired")
    assert.ok(
      facts.parts.some(({ trigger }) => trigger === "allOf" || trigger === "then"),
      line
    )
  if (status === "was still waiting") hadNotFired(line, name, said, facts)
  // A trigger that had fired was complete: apart from the calm after it, nothing is left to state.
  if (said === undefined) return assert.ok(!isCalm, line)
  const [, had] = calm.exec(said) ?? []
  if (isCalm || (status === "was out of time" && had !== undefined))
    assert.ok(had !== undefined && readTime(had) <= facts.atNanos, line)
  else if (status === "was still waiting" || status === "was out of time") waitIsTrue(line, name, said, facts)
  else assert.equal(status, "had failed", line)
}
