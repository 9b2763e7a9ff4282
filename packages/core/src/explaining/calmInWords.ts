/**
 * The result of a wait for calm, in sentences each of which is true alone.
 *
 * @module
 */
import type { QuiesceReport } from "../Firing.ts"
import { guestTimeInWords } from "../guestTimeInWords.ts"

/** The condition that was missing when a wait ended without calm. */
export const missingCalm = ({ agent, calmForNanos, calmNanos }: QuiesceReport): string => {
  // Calm before the agent's answer does not count, since the workload could still have run.
  if (agent === "no-answer") return "the agent had not answered that the workload is frozen"
  if (agent === "refused") return "the agent had refused to freeze the workload"
  const asked = guestTimeInWords(calmForNanos)
  return calmNanos >= calmForNanos
    ? `the guest had been calm for the required ${asked}, but its hart was at work`
    : `the guest had been calm for ${guestTimeInWords(calmNanos)} of the required ${asked}`
}

const times = (count: number): string => (count === 1 ? "once" : `${count} times`)

/** The activity that restarted the count of calm, if any. */
const restartsInWords = ({ lastActivity, restarts }: QuiesceReport): string =>
  restarts === 0
    ? "No activity started the count of calm again."
    : `Activity started the count of calm again ${times(restarts)}` +
      (lastActivity === null
        ? "."
        : `, the last time ${lastActivity.kind} at ${guestTimeInWords(lastActivity.atNanos)}.`)

/** The wait for calm that came before a decision. It may have been over before that, in a part of a policy. */
export const calmInWords = (report: QuiesceReport): string => {
  const { agent, calmForNanos, calmNanos, deadlineNanos, onDeadline, triggeredAtNanos, verdict, waitedNanos } = report
  const frozen = agent === "frozen" ? " The agent had frozen the workload." : ""
  const fired = `It had fired at ${guestTimeInWords(triggeredAtNanos)}`
  if (verdict === "settled") {
    if (calmForNanos === 0) return `${fired}; no calm was required.${frozen}`
    return (
      `${fired}; from ${guestTimeInWords(triggeredAtNanos + waitedNanos - calmNanos)} on the guest was calm, for ${guestTimeInWords(calmNanos)} of the required ` +
      `${guestTimeInWords(calmForNanos)}. ${restartsInWords(report)}${frozen}`
    )
  }
  const why = missingCalm(report)
  const end =
    deadlineNanos !== null && waitedNanos >= deadlineNanos
      ? `the deadline ${guestTimeInWords(deadlineNanos)} later came first: ${why}.`
      : `${why}.`
  return `${fired}; ${end} ${restartsInWords(report)} The policy says: ${onDeadline}.${frozen}`
}
