/**
 * The agent's answers, which the parts of one policy share.
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
 * Parts that both ask the agent share its answers: one finds the workload frozen for another, or takes the answer to another's
 * withdrawn request for its own. A timeline has answers whatever is requested, so such parts may decide differently together than
 * alone. If both ask, the answers are left out; otherwise the timeline is unchanged.
 */
export const withoutSharedAnswers = (one: Policy, other: Policy, timeline: ReplayedTimeline): ReplayedTimeline =>
  asksTheAgent(one) && asksTheAgent(other)
    ? { ...timeline, events: timeline.events.filter((event) => !isAnswer(event)) }
    : timeline
