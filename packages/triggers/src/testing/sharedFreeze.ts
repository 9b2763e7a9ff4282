/**
 * What parts of one policy share: the agent's answers.
 *
 * @module
 */
import type { GuestEvent } from "@stillpoint/core"
import { agentAnswers } from "../combinators/quiescing/AgentFreeze.ts"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import type { Policy } from "../Policy.ts"

const asks = (json: unknown): boolean => {
  if (typeof json !== "object" || json === null) return false
  if (Array.isArray(json)) return json.some(asks)
  const { agent, calmForNanos, trigger } = json as Readonly<Record<string, unknown>>
  if (trigger === "quiesce" && (agent === "ask" || (agent === "auto" && calmForNanos !== 0))) return true
  return Object.values(json).some(asks)
}

/** Whether some part of a policy asks the agent to freeze the workload. */
export const asksTheAgent = (policy: Policy): boolean => asks(policy.description)

const isAnswer = ({ _tag }: GuestEvent): boolean => agentAnswers.some((kind) => kind === _tag)

/**
 * A timeline on which parts of one policy are what each is alone.
 *
 * Parts that both ask the agent share what it answers: one finds the workload frozen for another, or takes the answer to a request
 * that another has given back for that other's. A timeline answers whatever is asked of it, so that such parts decide beside each
 * other what they do not decide alone. Where both ask, nobody answers; otherwise the timeline is as it is.
 */
export const withoutSharedAnswers = (one: Policy, other: Policy, timeline: ReplayedTimeline): ReplayedTimeline =>
  asksTheAgent(one) && asksTheAgent(other)
    ? { ...timeline, events: timeline.events.filter((event) => !isAnswer(event)) }
    : timeline
