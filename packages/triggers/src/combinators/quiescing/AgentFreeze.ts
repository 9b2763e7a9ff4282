/**
 * The agent's part in a quiesce: a request to freeze the workload, and its answer.
 *
 * @module
 */
import type { GuestEvent, QuiesceReport } from "@stillpoint/core"
import type { Automaton } from "../../automaton/Automaton.ts"

/** The kinds of its answers. */
export const agentAnswers = ["AgentFrozen", "AgentThawed", "AgentRejected"] as const

/** One quiesce's wish that the workload be frozen. */
export class AgentFreeze {
  private readonly automaton: Automaton
  private readonly memory: { state: QuiesceReport["agent"] }

  constructor(automaton: Automaton) {
    this.automaton = automaton
    this.memory = automaton.memories.make<{ state: QuiesceReport["agent"] }>({ state: "not-asked" })
  }

  get state(): QuiesceReport["agent"] {
    return this.memory.state
  }

  /** Whether the wait for calm may begin: the workload is frozen, or need not be. */
  get isReady(): boolean {
    return this.state === "frozen" || this.state === "not-asked"
  }

  begin(asks: boolean): void {
    const { freezes } = this.automaton
    if (asks) freezes.claim()
    this.memory.state = !asks ? "not-asked" : freezes.isFrozen ? "frozen" : "no-answer"
  }

  /** Handles an answer, and returns its effect. */
  take(event: GuestEvent): "froze" | "thawed" | "refused" | null {
    const { freezes } = this.automaton
    const before = this.state
    if (before === "no-answer" && event._tag === "AgentFrozen" && freezes.isFrozen) {
      this.memory.state = "frozen"
      return "froze"
    }
    if (before === "no-answer" && event._tag === "AgentRejected" && freezes.isRefused) {
      this.memory.state = "refused"
      return "refused"
    }
    if (before === "frozen" && event._tag === "AgentThawed") {
      this.memory.state = "no-answer"
      return "thawed"
    }
    return null
  }

  /** The wait is over. A frozen workload stays frozen only if the wait decided. */
  end(decides: boolean): void {
    const { freezes } = this.automaton
    if (this.state === "not-asked") return
    if (decides && this.state === "frozen") freezes.decide()
    else freezes.release()
  }
}
