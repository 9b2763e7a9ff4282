/**
 * The freeze that a policy asks for: its own, counted, and given back.
 *
 * @module
 */
import type { GuestEvent } from "@stillpoint/core"
import type { Memories } from "./Memory.ts"
import type { PolicyCommand } from "./PolicyStep.ts"

/**
 * Counts the parts of a policy that need the workload frozen.
 *
 * The freeze is requested once a part needs it, and withdrawn once none does, each at the end of an input: if one part releases
 * it and another claims it at the same input, it stays. A part that has decided keeps the workload frozen while the input is
 * handled. If the policy itself fires at that input, the freeze lasts until the next input, because a capture comes in between.
 */
export class Freezes {
  private readonly command: (command: PolicyCommand) => void
  private readonly memory: {
    /** Parts that want it, those that have decided included. */
    claims: number
    /** Number of them that have decided at this input, and number of those in a firing of the policy itself. */
    deciding: number
    told: number
    /** Answers that are still to come to requests that were given back. */
    staleAnswers: number
    isAsked: boolean
    isAnswered: boolean
    isRefused: boolean
    /** Whether a part has begun to need it since it was refused. */
    isWantedAnew: boolean
  }

  constructor(memories: Memories, command: (command: PolicyCommand) => void) {
    this.command = command
    this.memory = memories.make({
      claims: 0,
      deciding: 0,
      told: 0,
      staleAnswers: 0,
      isAsked: false,
      isAnswered: false,
      isRefused: false,
      isWantedAnew: false
    })
  }

  /** Whether the agent has frozen the workload for the policy, and it is still frozen. */
  get isFrozen(): boolean {
    return this.memory.claims > 0 && this.memory.isAnswered && !this.memory.isRefused
  }

  /** Whether a part needs it frozen, or has decided on it. */
  get isClaimed(): boolean {
    return this.memory.claims > 0
  }

  /** Whether the agent has refused. */
  get isRefused(): boolean {
    return this.memory.claims > 0 && this.memory.isRefused
  }

  claim(): void {
    const { memory } = this
    memory.claims += 1
    if (memory.isRefused) memory.isWantedAnew = true
  }

  release(): void {
    this.memory.claims -= 1
  }

  /** A part that holds a claim has decided. */
  decide(): void {
    this.memory.deciding += 1
  }

  /** Handles an answer of the agent. */
  take(event: GuestEvent): void {
    const { memory } = this
    switch (event._tag) {
      case "AgentFrozen":
        this.answer(false)
        break
      case "AgentRejected":
        if (event.request === "Freeze") this.answer(true)
        break
      case "AgentThawed":
        // It answers in order: nothing is to come from before.
        memory.staleAnswers = 0
        // The parts that still need the freeze request it again.
        if (memory.claims > 0) this.ask()
        break
      default:
    }
  }

  private answer(isRefused: boolean): void {
    const { memory } = this
    if (memory.staleAnswers > 0) {
      memory.staleAnswers -= 1
      return
    }
    if (!memory.isAsked) return
    memory.isAnswered = true
    memory.isRefused = isRefused
  }

  /** The previous input and its results have been handled: its capture, if there was one, is over. */
  beginInput(): void {
    const { memory } = this
    if (memory.told === 0) return
    memory.claims -= memory.told
    memory.told = 0
    this.settle()
  }

  /** An input has been handled. */
  endInput(hasFired: boolean): void {
    const { memory } = this
    if (hasFired) memory.told += memory.deciding
    else memory.claims -= memory.deciding
    memory.deciding = 0
    this.settle()
  }

  /** Asks, or gives back, as the parts want it now. */
  private settle(): void {
    const { memory } = this
    if (memory.claims > 0) {
      if (!memory.isAsked || memory.isWantedAnew) this.ask()
    } else if (memory.isAsked) this.giveBack()
  }

  private ask(): void {
    Object.assign(this.memory, { isAsked: true, isAnswered: false, isRefused: false, isWantedAnew: false })
    this.command({ _tag: "RequestQuiesce" })
  }

  private giveBack(): void {
    const { memory } = this
    if (!memory.isAnswered) memory.staleAnswers += 1
    Object.assign(memory, { isAsked: false, isAnswered: false, isRefused: false, isWantedAnew: false })
    this.command({ _tag: "RequestThaw" })
  }
}
