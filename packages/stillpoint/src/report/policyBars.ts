/**
 * The triggers of a policy until its decision.
 *
 * @module
 */
import { explain, type Firing } from "@stillpoint/core"

/** One trigger, from where it watched to the decision. */
export interface PolicyBar {
  readonly trigger: string
  /** `won`, or the state of a loser when the decision fell. */
  readonly status: string
  readonly fromNanos: number
  /** When it fired, or when the decision fell. */
  readonly toNanos: number
  /** Its description, as a sentence. */
  readonly text: string
}

/** A stretch of guest time. */
export interface Stretch {
  readonly fromNanos: number
  readonly toNanos: number
}

/** A decision as it is drawn. */
export interface DrawnPolicy {
  readonly bars: ReadonlyArray<PolicyBar>
  /** The wait for calm, from the firing to the decision; `null` if the policy has none. */
  readonly wait: Stretch | null
  /** The calm itself, at the end of that wait. */
  readonly calm: Stretch | null
}

/** The triggers of a decision: the winner first, then the others in the order of the policy. */
export const policyBars = (firing: Firing): DrawnPolicy => {
  const { armedAtNanos, atNanos, losers, quiesce, trigger } = firing
  const { decision, others } = explain(firing)
  const firedAtNanos = quiesce?.triggeredAtNanos ?? atNanos
  return {
    bars: [
      { trigger, status: "won", fromNanos: armedAtNanos, toNanos: firedAtNanos, text: decision },
      ...losers.map(({ status, trigger }, index) => ({
        trigger,
        status,
        // A recording does not say when a loser was armed, so its bar covers the whole watch.
        fromNanos: status === "unarmed" ? atNanos : 0,
        toNanos: atNanos,
        text: others[index] ?? ""
      }))
    ],
    wait: quiesce === null ? null : { fromNanos: firedAtNanos, toNanos: atNanos },
    calm: quiesce === null ? null : { fromNanos: Math.max(0, atNanos - quiesce.calmNanos), toNanos: atNanos }
  }
}
