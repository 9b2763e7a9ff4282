/**
 * What the triggers of a policy did until it decided.
 *
 * @module
 */
import { explain, type Firing } from "@stillpoint/core"

/** One trigger, from where it watched to the decision. */
export interface PolicyBar {
  readonly trigger: string
  /** `won`, or what a loser was doing when the decision fell. */
  readonly status: string
  readonly fromNanos: number
  /** When it fired, or when the decision fell. */
  readonly toNanos: number
  /** What there is to say of it, in a sentence. */
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
  /** From the firing to the decision: the wait for calm; `null` if none was asked for. */
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
        // When a loser was armed is not recorded: it is drawn as long as the policy watched.
        fromNanos: status === "unarmed" ? atNanos : 0,
        toNanos: atNanos,
        text: others[index] ?? ""
      }))
    ],
    wait: quiesce === null ? null : { fromNanos: firedAtNanos, toNanos: atNanos },
    calm: quiesce === null ? null : { fromNanos: Math.max(0, atNanos - quiesce.calmNanos), toNanos: atNanos }
  }
}
