/**
 * Why a capture happened, for people and as data.
 *
 * @module
 */
import { guestTimeInWords } from "@stillpoint/core"
import type { Firing, FiringCause, TriggerProgress } from "@stillpoint/core"

/** The parts of an explanation; `text` is all of them. */
export interface Explanation {
  /** What decided, and when. */
  readonly decision: string
  /** The event, deadline or probe that was the cause. */
  readonly cause: string
  /** How calm the guest was; `null` if nobody asked. */
  readonly calm: string | null
  /** The other triggers, and how far each had got. */
  readonly others: ReadonlyArray<string>
  /** How far the guest went on after the decision; `null` for a replay. */
  readonly slippage: string | null
  /** All of it, one sentence a line. */
  readonly text: string
}

/**
 * Explains a firing: why this event, why now, what else was armed and how far it had got, how calm the guest was.
 *
 * @example
 * ```ts
 * import { afterGuestTime, explain, onListener, precedence, Trigger } from "@stillpoint/triggers"
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
    `${firing.trigger} decided at ${guestTimeInWords(firing.atNanos)} of guest time${repeated}: it had waited for ` +
    `${firing.waitedFor} since ${guestTimeInWords(firing.armedAtNanos)}.`
  const cause = `The cause was ${describeCause(firing.cause)}.`
  const calm = describeCalm(firing)
  const others = firing.losers.map(describeLoser)
  const slippage =
    firing.slippageNanos === null
      ? null
      : firing.slippageNanos === 0
        ? "The guest stood still at that very instruction."
        : `The guest went on for ${guestTimeInWords(firing.slippageNanos)} before it stood still.`
  const text = [decision, cause, calm, ...others, slippage].filter((line) => line !== null).join("\n")
  return { decision, cause, calm, others, slippage, text }
}

const ordinal = (count: number): string => {
  const suffix = count % 100 >= 11 && count % 100 <= 13 ? "th" : (["th", "st", "nd", "rd"][count % 10] ?? "th")
  return `${count}${suffix}`
}

const describeCause = (cause: FiringCause): string => {
  switch (cause._tag) {
    case "Event": {
      const { _tag, atNanos: _at, seq, ...fields } = cause.event
      const detail = describeFields(cause)
      return `event ${seq}, ${_tag}${Object.keys(fields).length === 0 ? "" : `: ${detail}`}`
    }
    case "Timer":
      return cause.setAtNanos === cause.atNanos
        ? "that nothing had to be waited for"
        : `that ${guestTimeInWords(cause.atNanos - cause.setAtNanos)} had passed since ${guestTimeInWords(cause.setAtNanos)}`
    case "Signal": {
      const probe =
        cause.signal.probe
          .split("/")
          .at(-1)
          ?.replace(/^\d+\./, "") ?? cause.signal.probe
      return `that the probe ${probe} ${cause.signal.outcome} at ${guestTimeInWords(cause.signal.atNanos)}`
    }
  }
}

const longestDetail = 120

const describeFields = ({ event }: Extract<FiringCause, { readonly _tag: "Event" }>): string => {
  switch (event._tag) {
    case "HeartbeatTick":
    case "PagesDirtied":
      return String(event.count)
    case "WorkloadPreExec":
      return event.argv.join(" ")
    case "ListenerBound":
      return `${event.protocol} ${event.address.includes(":") ? `[${event.address}]` : event.address}:${event.port}`
    case "SerialLine":
      return JSON.stringify(event.text.slice(0, longestDetail))
    case "Custom":
      return `${event.name} ${JSON.stringify(event.payload)}`.slice(0, longestDetail)
    default: {
      const { _tag, atNanos: _at, seq: _seq, ...fields } = event
      return JSON.stringify(fields).slice(0, longestDetail)
    }
  }
}

const describeCalm = ({ quiesce }: Firing): string | null => {
  if (quiesce === null) return null
  const fired = `It had fired at ${guestTimeInWords(quiesce.triggeredAtNanos)}; `
  const agent = {
    "not-asked": "",
    frozen: " The agent had frozen the workload.",
    refused: " The agent refused to freeze the workload.",
    "no-answer": " The agent had not answered the request to freeze the workload."
  }[quiesce.agent]
  const restarts =
    quiesce.restarts === 0
      ? "nothing disturbed it"
      : `${quiesce.restarts === 1 ? "activity started the count again once" : `activity started the count again ${quiesce.restarts} times`}` +
        (quiesce.lastActivity === null
          ? ""
          : `, last ${quiesce.lastActivity.kind} at ${guestTimeInWords(quiesce.lastActivity.atNanos)}`)
  if (quiesce.verdict === "settled") {
    return (
      `${fired}the guest was then calm for ${guestTimeInWords(quiesce.calmNanos)} (${guestTimeInWords(quiesce.calmForNanos)} were asked for), ` +
      `after ${guestTimeInWords(quiesce.waitedNanos)} in all; ${restarts}.${agent}`
    )
  }
  return (
    `${fired}the guest was not calm for ${guestTimeInWords(quiesce.calmForNanos)} within ${guestTimeInWords(quiesce.waitedNanos)}, ` +
    `only for ${guestTimeInWords(quiesce.calmNanos)} at the end; ${restarts}. The policy says: ${quiesce.onDeadline}.${agent}`
  )
}

const describeLoser = (loser: TriggerProgress): string => {
  const progress = loser.progress === "" ? "" : `: ${loser.progress}`
  const said = {
    waiting: "was still waiting",
    quiescing: "had fired, and was waiting for calm",
    overtaken: "had fired, and was overtaken while it waited for calm",
    fired: "had fired",
    expired: "was out of time",
    failed: "had failed",
    abandoned: "had fired, and was abandoned for want of calm",
    unarmed: "was not armed yet"
  }[loser.status]
  return `${loser.trigger} ${said}${progress}.`
}
