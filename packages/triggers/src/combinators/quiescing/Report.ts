/**
 * The report of a quiesce: how its wait ended, and its progress.
 *
 * @module
 */
import { guestTimeInWords, type GuestNanos, type QuiesceReport, type QuiesceVerdict } from "@stillpoint/core"
import type { Automaton } from "../../automaton/Automaton.ts"
import type { AgentFreeze } from "./AgentFreeze.ts"
import type { Calm } from "./Calm.ts"

/** The policy's requirements for the wait. */
export interface ReportSettings {
  readonly calmForNanos: number
  readonly onDeadline: QuiesceReport["onDeadline"]
}

/** The account of one quiesce: it reads the other parts and changes none. */
export class Report {
  private readonly automaton: Automaton
  private readonly settings: ReportSettings
  private readonly calm: Calm
  private readonly agent: AgentFreeze
  private readonly memory: { triggeredAtNanos: GuestNanos }

  constructor(automaton: Automaton, settings: ReportSettings, calm: Calm, agent: AgentFreeze) {
    this.automaton = automaton
    this.settings = settings
    this.calm = calm
    this.agent = agent
    this.memory = automaton.memories.make({ triggeredAtNanos: 0 })
  }

  /** The trigger has fired. */
  begin(): void {
    this.memory.triggeredAtNanos = this.automaton.nowNanos
  }

  /** The wait as it ends; `limitNanos` is its deadline, infinity for none. */
  end(verdict: QuiesceVerdict, limitNanos: GuestNanos): QuiesceReport {
    const { automaton, calm, memory, settings } = this
    return {
      verdict,
      triggeredAtNanos: memory.triggeredAtNanos,
      calmForNanos: settings.calmForNanos,
      calmNanos: calm.nanos,
      waitedNanos: automaton.nowNanos - memory.triggeredAtNanos,
      deadlineNanos: limitNanos === Infinity ? null : limitNanos,
      onDeadline: settings.onDeadline,
      restarts: calm.restarts,
      lastActivity: calm.lastActivity,
      agent: this.agent.state
    }
  }

  /** The progress of the wait, as a clause in words. */
  progress(): string {
    const { agent, calm, settings } = this
    const restarts = calm.restarts === 1 ? "1 restart" : `${calm.restarts} restarts`
    const answer =
      agent.state === "no-answer"
        ? ", the agent had not answered"
        : agent.state === "refused"
          ? ", the agent had refused to freeze the workload"
          : ""
    return `calm for ${guestTimeInWords(calm.nanos)} of ${guestTimeInWords(settings.calmForNanos)}, ${restarts}${answer}`
  }
}
