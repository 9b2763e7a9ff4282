/**
 * The reasons for a capture, as text and as data.
 *
 * @module
 */
import type { Firing, FiringCause } from "../Firing.ts"
import { guestTimeInWords } from "../guestTimeInWords.ts"
import { calmInWords } from "./calmInWords.ts"
import { progressInWords } from "./progressInWords.ts"
import { oneLine, quoted, wordOf } from "./quoting.ts"

/** The parts of an explanation; `text` is all of them. */
export interface Explanation {
  /** The decision and its time. */
  readonly decision: string
  /** The event, deadline or probe that was the cause. */
  readonly cause: string
  /** The calm of the guest; `null` if the policy did not require any. */
  readonly calm: string | null
  /** The other triggers, and how far each had got. */
  readonly others: ReadonlyArray<string>
  /** The guest time between decision and stop; `null` for a replay. */
  readonly slippage: string | null
  /** All of it, one sentence a line. */
  readonly text: string
}

/**
 * Explains a firing: why this event, why now, what else was armed and how far it had got, how calm the guest was.
 *
 * Every time in it is exact. Text from the guest is in quotation marks, or is a plain word, so a guest cannot add a sentence.
 *
 * @example
 * ```ts
 * import { explain } from "@stillpoint/core"
 * import { afterGuestTime, onListener, precedence, Trigger } from "@stillpoint/triggers"
 * import { Result } from "effect"
 *
 * const firing = Result.getOrThrow(Trigger.replay(
 *   precedence([onListener(), afterGuestTime("7 seconds")]),
 *   { events: [{ _tag: "ListenerBound", seq: 0, atNanos: 2e9, protocol: "tcp", address: "::", port: 80 }] }
 * ))
 * console.log(explain(firing).text)
 * // onListener decided at 2 s of guest time: it had waited for the workload to bind a listener since 0 ns.
 * // The cause was event 0, ListenerBound: tcp [::]:80.
 * // afterGuestTime(7 s) was still waiting: 2 s of 7 s had passed.
 * ```
 */
export const explain = (firing: Firing): Explanation => {
  const repeated = firing.index === 0 ? "" : `, for the ${ordinal(firing.index + 1)} time`
  const decision =
    `${oneLine(firing.trigger)} decided at ${guestTimeInWords(firing.atNanos)} of guest time${repeated}: it had waited for ` +
    `${oneLine(firing.waitedFor)} since ${guestTimeInWords(firing.armedAtNanos)}.`
  const cause = `The cause was ${causeInWords(firing.cause)}.`
  const calm = firing.quiesce === null ? null : calmInWords(firing.quiesce)
  const others = firing.losers.map((loser) => `${progressInWords(loser)}.`)
  const slippage =
    firing.slippageNanos === null
      ? null
      : firing.slippageNanos === 0
        ? "The guest stopped at that very instruction."
        : `The guest ran on for ${guestTimeInWords(firing.slippageNanos)} before it stopped.`
  const text = [decision, cause, calm, ...others, slippage].filter((line) => line !== null).join("\n")
  return { decision, cause, calm, others, slippage, text }
}

const ordinal = (count: number): string => {
  const suffix = count % 100 >= 11 && count % 100 <= 13 ? "th" : (["th", "st", "nd", "rd"][count % 10] ?? "th")
  return `${count}${suffix}`
}

const causeInWords = (cause: FiringCause): string => {
  switch (cause._tag) {
    case "Event": {
      const detail = fieldsInWords(cause)
      return `event ${cause.event.seq}, ${cause.event._tag}${detail === "" ? "" : `: ${detail}`}`
    }
    case "Timer":
      return cause.setAtNanos === cause.atNanos
        ? "that there was nothing to wait for"
        : `that ${guestTimeInWords(cause.atNanos - cause.setAtNanos)} had passed since ${guestTimeInWords(cause.setAtNanos)}`
    case "Signal": {
      const { atNanos, outcome, probe } = cause.signal
      const name =
        probe
          .split("/")
          .at(-1)
          ?.replace(/^\d+\./, "") ?? probe
      return `that the probe ${oneLine(name)} ${outcome} at ${guestTimeInWords(atNanos)}`
    }
  }
}

const fieldsInWords = ({ event }: Extract<FiringCause, { readonly _tag: "Event" }>): string => {
  switch (event._tag) {
    case "HeartbeatTick":
    case "PagesDirtied":
      return String(event.count)
    case "WorkloadPreExec":
      return event.argv.map(wordOf).join(" ")
    case "ListenerBound":
    case "ListenerClosed":
      return `${event.protocol} ${event.address.includes(":") ? `[${wordOf(event.address)}]` : wordOf(event.address)}:${event.port}`
    case "SerialLine":
      return quoted(event.text)
    case "Custom":
      return `${wordOf(event.name)} ${quoted(JSON.stringify(event.payload))}`
    default:
      return Object.entries(event)
        .filter(([name]) => name !== "_tag" && name !== "seq" && name !== "atNanos")
        .map(([name, value]) => `${name} ${typeof value === "string" ? quoted(value) : quotedJson(value)}`)
        .join(", ")
  }
}

const quotedJson = (value: unknown): string =>
  typeof value === "number" || value === null ? String(value) : quoted(JSON.stringify(value))
