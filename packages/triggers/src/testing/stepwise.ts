/**
 * Replaying a trigger through its pure `step`, one input at a time, as any runner may.
 *
 * @module
 */
import type { Firing, TriggerError } from "@stillpoint/core"
import type { PolicyInput, PolicyState, PolicyStep } from "../automaton/PolicyStep.ts"
import { Rest } from "../deciding/Rest.ts"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import type { Policy } from "../Policy.ts"

/** The first firing or failure of a trigger on a timeline, and every step that led there; neither if the timeline ends first. */
export const replayStepwise = (
  trigger: Policy,
  timeline: ReplayedTimeline,
  originNanos = 0
): {
  readonly firing: Firing | null
  readonly failure: TriggerError | null
  readonly steps: ReadonlyArray<{ readonly state: PolicyState; readonly input: PolicyInput; readonly step: PolicyStep }>
} => {
  let current = trigger.start(originNanos)
  const steps: Array<{ readonly state: PolicyState; readonly input: PolicyInput; readonly step: PolicyStep }> = []
  const isOver = (): boolean => current.firings.length > 0 || current.failure !== null
  const tell = (input: PolicyInput): void => {
    const { state } = current
    current = trigger.step(state, input)
    steps.push({ state, input, step: current })
  }
  const wakeUpTo = (atNanos: number, isEnough: () => boolean = () => false): void => {
    while (!isOver() && current.wakeAtNanos !== null && current.wakeAtNanos <= atNanos && !isEnough())
      tell({ _tag: "Time", atNanos: current.wakeAtNanos })
  }
  const rest = new Rest()
  const restIsOver = (): boolean => {
    rest.woke(current.state, () => current.state)
    return rest.isOver
  }
  for (const event of timeline.events) {
    wakeUpTo(event.atNanos)
    if (isOver()) break
    tell({ _tag: "Event", event })
    if (isOver()) break
  }
  const { end } = timeline
  if (end?.reason === "idle") wakeUpTo(Infinity, restIsOver)
  else if (end !== undefined && end !== null) wakeUpTo(end.atNanos)
  return { firing: current.firings[0] ?? null, failure: current.failure, steps }
}
