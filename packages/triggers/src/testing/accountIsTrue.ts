/**
 * Reads the explanation of a decision as a person would, and checks every sentence of it against the guest's events.
 *
 * This shares no code with the explanation: times are parsed from the text, and claims are looked up among the events of the
 * timeline.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import type { GuestEvent } from "@stillpoint/core"
import { type Described, progressIsTrue, readTime, timePattern as time } from "./progressIsTrue.ts"

const sentence = {
  decision: new RegExp(
    `^(.*) decided at ${time} of guest time(?:, for the (\\d+)[a-z]+ time)?: it had waited for .* since ${time}\\.$`
  ),
  event: /^The cause was event (\d+), (\w+)(?:: (.*))?\.$/,
  timer: new RegExp(`^The cause was that ${time} had passed since ${time}\\.$`),
  otherCause: new RegExp(
    `^The cause was that (?:there was nothing to wait for|the probe .* (?:succeeded|failed) at ${time})\\.$`
  ),
  fired: new RegExp(`^It had fired at ${time}; (.*)$`),
  calm: new RegExp(`^from ${time} on the guest was calm, for ${time} of the required ${time}\\. (.*)$`),
  deadline: new RegExp(`^the deadline ${time} later came first: (.*)$`),
  shortCalm: new RegExp(`^the guest had been calm for ${time} of the required ${time}\\. (.*)$`),
  restarts: new RegExp(
    `Activity started the count of calm again (once|\\d+ times), the last time ([\\w()]+) at ${time}\\.`
  ),
  slippage: new RegExp(`^The guest (?:stopped at that very instruction|ran on for ${time} before it stopped)\\.$`)
}

/** The guest's text in quotation marks; its beginning, if it was cut off. */
const unquoted = (words: string): { readonly text: string; readonly isCut: boolean } => {
  const [, inner, cut] = /^"((?:[^"\\]|\\.)*)"(…?)$/u.exec(words) ?? []
  assert.ok(inner !== undefined, `not in quotation marks: ${words}`)
  const text = inner.replace(/\\(?:u\{([0-9a-f]+)\}|(.))/g, (_, code?: string, character?: string) =>
    code === undefined
      ? ({ n: "\n", r: "\r", t: "\t" }[character ?? ""] ?? character ?? "")
      : String.fromCodePoint(Number.parseInt(code, 16))
  )
  return { text, isCut: cut === "…" }
}

const isQuotation = (words: string, of: string): void => {
  const { isCut, text } = unquoted(words)
  assert.ok(isCut ? of.startsWith(text) : of === text, `${words} is not what the guest wrote: ${JSON.stringify(of)}`)
}

const partsOf = (described: unknown): ReadonlyArray<Described> => {
  if (Array.isArray(described)) return described.flatMap(partsOf)
  if (typeof described !== "object" || described === null || !("trigger" in described)) return []
  const part = described as Described
  return [part, ...["of", "first", "second", "other"].flatMap((key) => partsOf(part[key]))]
}

/** Times of the activity that the policy names, after an event: single moments and stretches. */
const activityOf = (events: ReadonlyArray<GuestEvent>, activity: ReadonlyArray<Described>) => {
  const moments: Array<number> = []
  const stretches: Array<readonly [number, number]> = []
  const kinds = new Set(activity.filter((one) => one["activity"] === "event").map((one) => one["kind"]))
  const names = new Set(activity.filter((one) => one["activity"] === "custom").map((one) => one["name"]))
  const tolerance = Math.min(
    ...activity.filter((one) => one["activity"] === "busy").map((one) => Number(one["longerThanNanos"]))
  )
  let busySince: number | null = null
  for (const event of events) {
    if (kinds.has(event._tag) || (event._tag === "Custom" && names.has(event.name))) moments.push(event.atNanos)
    if (event._tag === "GuestBusy") busySince ??= event.atNanos
    if (event._tag === "GuestIdle" && busySince !== null) {
      if (event.atNanos - busySince > tolerance) stretches.push([busySince + tolerance, event.atNanos])
      busySince = null
    }
  }
  return { moments, stretches }
}

/** The facts that an explanation is checked against. */
export interface AccountFacts {
  readonly events: ReadonlyArray<GuestEvent>
  /** The policy as JSON. */
  readonly description: unknown
  /** The decision as it was taken: when, and after which event. */
  readonly atNanos: number
  readonly afterSeq: number
  readonly index: number
}

/** Fails where a sentence of an account is no sentence that it may hold, or is not true. */
export const accountIsTrue = (text: string, facts: AccountFacts): void => {
  const lines = text.split(/[\r\n\u0085\u2028\u2029]/)
  const [decision = "", cause = "", ...rest] = lines
  const before = facts.events.filter(({ seq }) => seq <= facts.afterSeq)
  const parts = partsOf(facts.description)
  const decidedOn = readCause(cause, facts, before, readDecision(decision, facts))
  // A wait for calm or silence between the cause and the decision is stated.
  const isWaitTold = sentence.fired.test(rest[0] ?? "") || decision.includes(", and not again for ")
  if (decidedOn !== null && !parts.some((part) => part["trigger"] === "mapCause"))
    assert.ok(decidedOn === facts.atNanos || isWaitTold, `nothing is told of the time after the cause:\n${text}`)
  let losers = 0
  // It waits again if it is armed again, if another part waits, or if it overtook the part that had waited.
  const mayHaveAskedBefore =
    parts.filter((part) => part["trigger"] === "quiesce").length > 1 ||
    parts.some(({ trigger }) => trigger === "repeat" || trigger === "debounce" || trigger === "filter") ||
    rest.some((line) => line.includes(" was overtaken ") || line.includes(" was abandoned "))
  const winnerFired = sentence.fired.exec(rest[0] ?? "")?.[1]
  // A trigger was overtaken when the winner fired, not at the end of the winner's own wait.
  const overtakenNanos = winnerFired === undefined ? facts.atNanos : readTime(winnerFired)
  for (const [index, line] of rest.entries()) {
    const fired = sentence.fired.exec(line)
    if (fired !== null && index === 0) readCalm(fired, facts, before, parts, mayHaveAskedBefore)
    else if (!(sentence.slippage.test(line) && index === rest.length - 1)) {
      losers += 1
      const atNanos = line.includes(" was overtaken ") ? overtakenNanos : facts.atNanos
      progressIsTrue(line, { before, parts, atNanos, afterSeq: facts.afterSeq, index: facts.index })
    }
  }
  // `atLatest` has a deadline of its own, which may win and lose like a trigger.
  const leaves = parts.filter(
    (part) => part["trigger"] === "atLatest" || !["of", "first", "second", "other"].some((key) => key in part)
  ).length
  assert.ok(losers <= Math.max(0, leaves - 1), `${losers} losers are told of ${leaves} triggers:\n${text}`)
}

/** Since when the trigger had waited. */
const readDecision = (line: string, { atNanos, index }: AccountFacts): number => {
  const [, , at, count, since] = sentence.decision.exec(line) ?? []
  assert.ok(at !== undefined && since !== undefined, `no decision: ${line}`)
  assert.equal(readTime(at), atNanos)
  assert.equal(Number(count ?? 1), index + 1)
  assert.ok(readTime(since) <= atNanos, line)
  return readTime(since)
}

/** The time of the cause, as far as it is stated. */
const readCause = (
  line: string,
  { atNanos }: AccountFacts,
  before: ReadonlyArray<GuestEvent>,
  waitedSince: number
): number | null => {
  const [, seq, kind, detail = ""] = sentence.event.exec(line) ?? []
  if (seq !== undefined) {
    const event = before.find((each) => each.seq === Number(seq))
    assert.equal(event?._tag, kind, line)
    if (event === undefined) return null
    assert.ok(event.atNanos >= waitedSince, `had waited since ${waitedSince} ns only: ${line}`)
    readDetail(detail, event)
    return event.atNanos
  }
  const [, passed, since] = sentence.timer.exec(line) ?? []
  if (passed !== undefined && since !== undefined) {
    const over = readTime(since) + readTime(passed)
    assert.ok(over >= waitedSince && over <= atNanos, line)
    // A wait that begins when the trigger does is not over as it begins.
    assert.ok(readTime(passed) === 0 || over > waitedSince, `had waited since ${waitedSince} ns only: ${line}`)
    return over
  }
  assert.match(line, sentence.otherCause)
  return null
}

/** Words of a guest, plain or in quotation marks. */
const words = (detail: string): ReadonlyArray<string> => detail.match(/"(?:[^"\\]|\\.)*"…?|[^" ]+/gu) ?? []

const readDetail = (detail: string, event: GuestEvent): void => {
  const isWord = (word: string | undefined, of: string): void =>
    word?.startsWith('"') === true ? isQuotation(word, of) : assert.equal(word, of)
  switch (event._tag) {
    case "HeartbeatTick":
    case "PagesDirtied":
      return assert.equal(detail, String(event.count))
    case "SerialLine":
      return isQuotation(detail, event.text)
    case "WorkloadPreExec":
      assert.equal(words(detail).length, event.argv.length, detail)
      return words(detail).forEach((word, index) => isWord(word, event.argv[index] ?? ""))
    case "Custom":
      isWord(words(detail)[0], event.name)
      return isQuotation(words(detail)[1] ?? "", JSON.stringify(event.payload))
    case "ListenerBound":
      return assert.ok(detail.startsWith(`${event.protocol} `) && detail.endsWith(`:${event.port}`), detail)
    default:
  }
}

const readCalm = (
  [line, firedAt = "", rest = ""]: RegExpExecArray,
  { atNanos }: AccountFacts,
  before: ReadonlyArray<GuestEvent>,
  parts: ReadonlyArray<Described>,
  mayHaveAskedBefore: boolean
): void => {
  const fired = readTime(firedAt)
  assert.ok(fired <= atNanos, line)
  const [, since, calm, asked] = sentence.calm.exec(rest) ?? []
  const [, later, why = rest] = sentence.deadline.exec(rest) ?? []
  const [, short, wanted] = sentence.shortCalm.exec(why) ?? []
  if (short !== undefined) assert.ok(readTime(short) < readTime(wanted ?? ""), line)
  // The end of the wait: when the calm was complete, or the deadline. A part of a policy may have waited earlier.
  let over = atNanos
  let calmSince: number | null = null
  if (later !== undefined) over = fired + readTime(later)
  if (since !== undefined && calm !== undefined && asked !== undefined) {
    over = readTime(since) + readTime(calm)
    calmSince = readTime(since)
    assert.ok(readTime(calm) >= readTime(asked) && calmSince >= fired, line)
  } else if (short !== undefined) calmSince = over - readTime(short)
  assert.ok(over <= atNanos, line)
  const [only, ...others] = parts.filter((part) => part["trigger"] === "quiesce")
  const after = before.filter((event) => event.atNanos > fired)
  if (only !== undefined && others.length === 0 && !parts.some((part) => part["trigger"] === "repeat")) {
    const activity = only["activity"] as ReadonlyArray<Described>
    const { moments, stretches } = activityOf(after, activity)
    const isIn = (moment: number): boolean => calmSince !== null && moment > calmSince && moment < over
    assert.ok(!moments.some(isIn), `not calm: ${line}`)
    const overlapsCalm = ([from, to]: readonly [number, number]): boolean =>
      calmSince !== null && Math.max(from, calmSince) < Math.min(to, over)
    assert.ok(!stretches.some(overlapsCalm), `not calm: ${line}`)
  }
  const isAnswer = ({ _tag }: GuestEvent): boolean => _tag === "AgentFrozen" || _tag === "AgentThawed"
  const answers = after.filter((event) => isAnswer(event) && event.atNanos < over)
  // The answer to a request from before, which was given back, is none to the one of this wait.
  if (line.includes("the agent had not answered") && !mayHaveAskedBefore)
    assert.ok(
      !answers.some((event) => event._tag === "AgentFrozen" && event.atNanos < over && answers.at(-1) === event),
      line
    )
  if (line.endsWith("The agent had frozen the workload.")) {
    const last = before.findLast((event) => isAnswer(event) && event.atNanos <= over)
    assert.equal(last?._tag, "AgentFrozen", line)
  }
  const [, , kind, last] = sentence.restarts.exec(line) ?? []
  if (kind === undefined || last === undefined) return
  const lastNanos = readTime(last)
  assert.ok(lastNanos >= fired && lastNanos <= atNanos, line)
  const seen = kind === "io" ? ["IoStarted", "IoSettled"] : [kind]
  const isKind = kind === "io" || before.some(({ _tag }) => _tag === kind)
  if (isKind)
    assert.ok(
      after.some((event) => seen.includes(event._tag) && event.atNanos === lastNanos) || lastNanos === fired,
      line
    )
}
