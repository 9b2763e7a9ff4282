import { type GuestEvent, guestTimeInWords, type GuestNanos } from "@stillpoint/core"
import type { Duration } from "effect"
import { combinator } from "./combinator.ts"
import { durationOf } from "../guestDuration.ts"
import { type Correction, correctedBy, type Fired, thawed } from "../automaton/Fired.ts"
import type { Channel } from "../automaton/Channel.ts"
import { Part, type Site } from "../automaton/Part.ts"
import type { Timer } from "../automaton/Timers.ts"
import { Policy } from "../Policy.ts"

/**
 * Fires once a trigger has fired and then, armed again each time, has been silent for a duration of guest time:
 * with `t₁ = t(a)`, `tₙ₊₁ = t(tₙ)`: `debounce(t, d)(a) = min { tₙ + d | tₙ₊₁ ≥ tₙ + d }`. The cause is that of `tₙ`.
 *
 * - *Same instant*: a firing at `tₙ + d` is too late to postpone it. With a duration of 0 it fires when the trigger does.
 * - *Already true at arming*: a trigger that fires at the input that arms it is not armed again by that input, or at all.
 * - *Guest ends first*: never fires, though the trigger may have.
 * - *A trigger that restarts itself*: a trigger that fires on time or a probe alone continues as long as the guest lives. In a
 *   guest that rests forever, probes are stopped after twenty seconds of guest time, and the policy ends with the guest unless a
 *   timer decides.
 *
 * @example
 * ```ts
 * import { debounce, onEvent } from "@stillpoint/triggers"
 *
 * console.log(onEvent("SerialLine").pipe(debounce("300 millis")).name) // debounce(onEvent(SerialLine), 300 ms)
 * ```
 */
export const debounce: {
  (duration: Duration.Input): (policy: Policy) => Policy
  (policy: Policy, duration: Duration.Input): Policy
} = combinator("debounce", 1, durationOf("debounce"), (policy, nanos) => {
  return new Policy({
    name: `debounce(${policy.name}, ${guestTimeInWords(nanos)})`,
    description: { trigger: "debounce", of: policy.description, nanos },
    parts: [policy],
    build: (site) => new Debounce(site, policy, nanos)
  })
})

interface Memory {
  /** The last firing, and when it was. */
  last: Fired | null
  lastAtNanos: GuestNanos
}

class Debounce extends Part<Memory> {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly nanos: number
  private readonly silence: string
  private readonly timer: Timer
  /** Heard while there is a firing that an event may say better. */
  private readonly corrections: ReadonlyArray<Channel>
  private readonly child: Part

  constructor(site: Site, policy: Policy, nanos: number) {
    super(site, "debounce", { last: null, lastAtNanos: 0 })
    this.nanos = nanos
    this.timer = site.automaton.timers.make(this)
    this.corrections = site.automaton.channels.watch(this, ["WorkloadPreExec"])
    this.child = policy.build(this)
    this.children = [this.child]
    this.silence = `, and not again for ${guestTimeInWords(nanos)}`
    this.waitedFor = `${this.child.waitedFor}${this.silence}`
  }

  protected onArm(): void {
    Object.assign(this.memory, { last: null, lastAtNanos: 0 } satisfies Memory)
    this.child.arm()
  }

  protected onDisarm(): void {
    if (this.memory.last !== null) this.automaton.channels.listen(this.corrections, -1)
    this.timer.clear()
    this.child.disarm()
  }

  override childFired(_index: number, fired: Fired): void {
    if (this.nanos === 0) {
      this.fire(fired)
      return
    }
    // A workload that a quiesce below had frozen continues meanwhile.
    this.waitAfter({ ...thawed(fired), furtherWait: `${fired.furtherWait}${this.silence}` })
    if (!this.child.isArmed && !this.child.isArmedByThisInput) this.child.arm()
  }

  private waitAfter(fired: Fired): void {
    if (this.memory.last === null) this.automaton.channels.listen(this.corrections, 1)
    this.memory.last = fired
    this.memory.lastAtNanos = this.automaton.nowNanos
    this.timer.setIn(this.nanos)
  }

  private correctionBy(event: GuestEvent): Correction | null {
    const { last } = this.memory
    return last === null ? null : (this.automaton.part(last.by)?.corrected(event, last.event) ?? null)
  }

  override overlooks(event: GuestEvent): boolean {
    return this.correctionBy(event) === null
  }

  /** A better description of the trigger's cause has come: the silence counts from then on. */
  override onEvent(event: GuestEvent): void {
    const correction = this.correctionBy(event)
    if (this.memory.last !== null && correction !== null) this.waitAfter(correctedBy(this.memory.last, correction))
  }

  override onTimer(): void {
    if (this.memory.last !== null) this.fire(this.memory.last)
  }

  // --- the account

  /** While it waits for silence, it reports for the trigger that has fired. */
  override get isTrigger(): boolean {
    return this.memory.last !== null && (this.status === "waiting" || this.status === "expired")
  }

  override get tellsOf(): number {
    return this.memory.last?.by ?? this.id
  }

  override get toldName(): string {
    return this.automaton.part(this.memory.last?.by ?? -1)?.toldName ?? super.toldName
  }

  override progress(): string {
    if (!this.isTrigger) return ""
    const silentNanos = this.watchedUntilNanos - this.memory.lastAtNanos
    return `it had fired, and then been silent for ${guestTimeInWords(silentNanos)} of ${guestTimeInWords(this.nanos)}`
  }
}
