/**
 * A policy as an Effect on a guest's timeline and clock.
 *
 * @module
 */
import {
  type Firing,
  Firing as FiringClass,
  type GuestEvent,
  GuestTimeline,
  type MachineError,
  type TimelineAdvance,
  TriggerError,
  type TriggerReason,
  type TriggerSignal,
  TriggerSignals
} from "@stillpoint/core"
import { Effect, Option, type Scope, Stream } from "effect"
import type { AutomatonSource, Automaton } from "../automaton/Automaton.ts"
import { eventKinds } from "../automaton/eventKinds.ts"
import { horizonNanos } from "../guestDuration.ts"
import { GuestClock } from "./GuestClock.ts"
import { type Completion, Probes } from "./Probes.ts"
import { exhaustedReason } from "./replayPolicy.ts"
import { Rest } from "./Rest.ts"
import { Restlessness } from "./Restlessness.ts"
import { Silence } from "./Silence.ts"

/** The first firing of a policy. */
export const awaitFiring = (
  policy: AutomatonSource
): Effect.Effect<Firing, TriggerError | MachineError, GuestTimeline> =>
  Effect.scoped(
    Effect.gen(function* () {
      const run = yield* LivePolicy.start(policy)
      const first = yield* run.next
      // Before its first firing, a run ends with a firing or a failure.
      return yield* Option.match(first, { onNone: () => Effect.fail(run.nothingArmed()), onSome: Effect.succeed })
    })
  ).pipe(Effect.withSpan("Trigger.await", { attributes: { policy: policy.name } }))

/** Every firing of a policy; ends when the policy has fired and can fire no more. */
export const streamFirings = (
  policy: AutomatonSource
): Stream.Stream<Firing, TriggerError | MachineError, GuestTimeline> =>
  Stream.unwrap(
    Effect.map(LivePolicy.start(policy), (run) =>
      Stream.unfold(run, (current) =>
        Effect.map(
          current.next,
          Option.match({
            onNone: () => undefined,
            onSome: (firing) => [firing, current] as const
          })
        )
      )
    )
  )

/** One policy on its way along one timeline. */
class LivePolicy {
  private readonly automaton: Automaton
  private readonly timeline: GuestTimeline["Service"]
  private readonly clock: GuestClock
  private readonly probes: Probes
  private readonly record: (signal: TriggerSignal) => Effect.Effect<void>
  /** Events that the guest has made and the policy has not seen: it fired before it came to them. */
  private unseen: Array<GuestEvent> = []
  private standsAt = 0
  private rest = new Rest()
  private readonly restlessness = new Restlessness()
  private readonly silence = new Silence()
  private areProbesSettled = true
  private wakeUp: () => void = () => {}

  private constructor(
    policy: AutomatonSource,
    timeline: GuestTimeline["Service"],
    record: (signal: TriggerSignal) => Effect.Effect<void>
  ) {
    this.automaton = policy.instantiate()
    this.automaton.keepsCommands = true
    this.timeline = timeline
    this.record = record
    this.clock = new GuestClock(() => this.wakeUp())
    this.probes = new Probes(this.clock)
  }

  static readonly start = Effect.fnUntraced(function* (
    policy: AutomatonSource
  ): Effect.fn.Return<LivePolicy, MachineError, GuestTimeline | Scope.Scope> {
    const timeline = yield* GuestTimeline
    const { record } = yield* TriggerSignals
    const run = new LivePolicy(policy, timeline, record)
    yield* Effect.addFinalizer(() => run.probes.stopAll)
    // An interrupted policy releases its freeze; a policy that has fired keeps it for the capture.
    yield* Effect.addFinalizer(() => (run.owesThaw ? Effect.ignore(timeline.requestThaw) : Effect.void))
    const origin = yield* timeline.origin
    run.standsAt = origin
    run.clock.stand(origin)
    run.automaton.start(origin, yield* timeline.earlier, timeline.beginning)
    return run
  })

  /** Whether it leaves the workload frozen, or a request for it open, without a decision. */
  private get owesThaw(): boolean {
    const { commands, firedCount, freezes } = this.automaton
    return firedCount === 0 && (freezes.isClaimed || commands.some(({ _tag }) => _tag === "RequestThaw"))
  }

  /** The next firing; none if the policy has fired and can fire no more. */
  readonly next: Effect.Effect<Option.Option<Firing>, TriggerError | MachineError> = Effect.gen(
    { self: this },
    function* () {
      const { clock, automaton, probes, timeline } = this
      for (;;) {
        yield* this.tellUnseen()
        yield* this.obey()
        if (automaton.firing !== null) return Option.some(yield* this.stand(automaton.firing))
        if (automaton.failure !== null) return yield* this.fail(automaton.failure)
        if (!probes.isEmpty || probes.hasCompletions) {
          if (clock.wakeDue()) this.noteProbe()
          this.areProbesSettled = yield* probes.settle
          if (!this.areProbesSettled) this.silence.note(automaton.lastSeq, this.standsAt, true)
          if (probes.hasCompletions) {
            this.noteProbe()
            yield* this.catchUp(timeline.drain)
            yield* this.takeCompletions()
            const keepsGuestWaiting = this.restlessness.isTooMuch || this.silence.isTooLong
            if (keepsGuestWaiting && automaton.firing === null && !automaton.hasEnded) {
              const stop = yield* this.getOn()
              if (stop !== null) yield* this.afterStop(stop)
            }
            continue
          }
        }
        const exhausted = automaton.hasEnded ? null : exhaustedReason(automaton)
        if (automaton.hasEnded || exhausted !== null) {
          if (automaton.firedCount > 0) return Option.none()
          return yield* this.fail(exhausted === null ? this.nothingArmed() : new TriggerError({ reason: exhausted }))
        }
        const stop = yield* this.advance()
        if (stop !== null) yield* this.afterStop(stop)
      }
    }
  )

  /** A probe has completed, or was woken. */
  private noteProbe(): void {
    this.restlessness.note(this.automaton.lastSeq, this.standsAt)
    this.silence.note(this.automaton.lastSeq, this.standsAt)
  }

  /** Guest time until which the policy alone leads nowhere, so that waiting is needless. */
  private get leadsNowhereUntilNanos(): number {
    // The result of a probe in progress is unknown; a completed one has restarted the rest.
    if (!this.probes.isEmpty && !this.probes.areRetired) return 0
    return this.rest.isOver ? Infinity : this.rest.isTheSameUntilNanos
  }

  /** Runs the guest; `null` if a probe interrupted it. */
  private advance(): Effect.Effect<TimelineAdvance["stop"] | null, TriggerError | MachineError> {
    const { automaton, clock, probes, timeline } = this
    if (!probes.areRetired && (this.restlessness.isTooMuch || this.silence.isTooLong)) return this.getOn()
    const timer = Math.max(this.leadsNowhereUntilNanos, automaton.wakeAtNanos ?? Infinity)
    const wake = Math.min(timer, clock.wakeAtNanos ?? Infinity)
    const until = {
      kinds: automaton.channels.listening,
      atNanos: wake === Infinity ? null : wake,
      ...(probes.isOutside ? { pace: "realTime" as const } : {})
    }
    const onward = this.catchUp(timeline.advance(until))
    if (probes.isEmpty) return onward
    const disturbed = Effect.raceFirst(
      probes.completion,
      Effect.callback<void>((resume) => {
        this.wakeUp = () => resume(Effect.void)
      })
    )
    clock.move()
    return Effect.raceFirst(onward, Effect.as(disturbed, null)).pipe(
      Effect.tap((stop) => (stop === null ? this.catchUp(timeline.drain) : Effect.void)),
      Effect.ensuring(
        Effect.sync(() => {
          this.wakeUp = () => {}
          clock.stand(this.standsAt)
        })
      )
    )
  }

  /** Runs the guest a little, whatever its probes do meanwhile. */
  private getOn(): Effect.Effect<TimelineAdvance["stop"] | null, TriggerError | MachineError> {
    const { automaton, clock, timeline } = this
    if (this.silence.isTooLong || this.restlessness.isHopeless) return this.seeWhetherItRests()
    const atNanos = Math.min(
      this.standsAt + this.restlessness.takeStep(),
      horizonNanos,
      automaton.wakeAtNanos ?? Infinity
    )
    clock.move()
    return this.catchUp(timeline.advance({ kinds: automaton.channels.listening, atNanos })).pipe(
      Effect.ensuring(Effect.sync(() => clock.stand(this.standsAt)))
    )
  }

  /** Runs the guest to its next event. A guest that rests forever does not wait for probes that start again and again. */
  private seeWhetherItRests(): Effect.Effect<TimelineAdvance["stop"] | null, TriggerError | MachineError> {
    const { automaton, clock, probes, silence, timeline } = this
    clock.move()
    const atNanos = silence.isFarTooLong ? null : automaton.wakeAtNanos
    return this.catchUp(timeline.advance({ kinds: eventKinds, atNanos })).pipe(
      Effect.ensuring(Effect.sync(() => clock.stand(this.standsAt))),
      Effect.flatMap((stop) => (stop === "idle" ? Effect.as(probes.retire, null) : Effect.succeed(stop)))
    )
  }

  /** Handles the guest's new events. */
  private catchUp(
    source: Effect.Effect<TimelineAdvance, MachineError>
  ): Effect.Effect<TimelineAdvance["stop"], MachineError> {
    return source.pipe(
      Effect.map((advance) => {
        for (const event of advance.events) this.unseen.push(event)
        this.standsAt = Math.max(this.standsAt, advance.nowNanos)
        this.clock.stand(this.standsAt)
        return advance.stop
      }),
      Effect.catchIf(
        (error) => error.reason._tag === "RecordingEnded",
        () => Effect.succeed("ended" as const)
      )
    )
  }

  /** Gives the policy its unseen events, up to the first firing, and then the time. */
  private readonly tellUnseen = (): Effect.Effect<void> =>
    Effect.sync(() => {
      const { automaton } = this
      if (this.unseen.length > 0 || automaton.firing !== null) this.rest = new Rest()
      const isOpen = (): boolean => automaton.firing === null && !automaton.hasEnded && !automaton.isExhausted
      if (isOpen()) this.unseen = this.unseen.slice(automaton.run(this.unseen, 0, this.unseen.length))
      // Wake-up by wake-up, as a replay does.
      while (isOpen() && !this.rest.isOver && (automaton.wakeAtNanos ?? Infinity) <= this.standsAt) {
        const wakeAtNanos = Math.max(automaton.wakeAtNanos ?? 0, this.rest.isTheSameUntilNanos)
        automaton.time(Math.min(wakeAtNanos, this.standsAt))
        this.rest.woke(automaton.memories.now, () => automaton.save())
      }
      if (isOpen()) automaton.time(this.standsAt)
    })

  /** Carries out the policy's requests. */
  private obey(): Effect.Effect<void, MachineError> {
    const { automaton, probes, timeline } = this
    const commands = automaton.commands.splice(0)
    return Effect.forEach(
      commands,
      (command) => {
        switch (command._tag) {
          case "RequestQuiesce":
            return timeline.requestFreeze
          case "RequestThaw":
            return timeline.requestThaw
          default:
            // A probe that is started and stopped again and again completes as little as one that sleeps forever.
            if (command._tag === "StartProbe") this.silence.note(automaton.lastSeq, this.standsAt)
            return probes.handle(command)
        }
      },
      { discard: true }
    )
  }

  private takeCompletions(): Effect.Effect<void> {
    return Effect.forEach(this.probes.take(), (completion) => this.takeCompletion(completion), { discard: true })
  }

  private readonly takeCompletion = Effect.fnUntraced(
    { self: this as LivePolicy },
    function* (this: LivePolicy, completion: Completion) {
      const { automaton } = this
      yield* this.tellUnseen()
      // It fired meanwhile: the result of a later probe is not needed, or it is armed again.
      if (automaton.firing !== null || automaton.hasEnded) return
      this.rest = new Rest()
      const signal: TriggerSignal = { ...completion, atNanos: this.standsAt, afterSeq: automaton.lastSeq }
      yield* this.record(signal)
      automaton.signal(signal)
    }
  )

  /** The firing, with the guest standing still. */
  private readonly stand = Effect.fnUntraced(
    { self: this as LivePolicy },
    function* (this: LivePolicy, firing: Firing) {
      const { automaton, timeline } = this
      automaton.clearOutcome()
      const standing = yield* timeline.hold
      const slippageNanos = Math.max(0, standing - firing.atNanos)
      return new FiringClass({ ...firing, slippageNanos })
    }
  )

  private fail(error: TriggerError): Effect.Effect<never, TriggerError | MachineError> {
    return Effect.andThen(this.timeline.hold, Effect.fail(error))
  }

  /** The meaning of the end of an advance, once its events and its time have been given. */
  private readonly afterStop = Effect.fnUntraced(
    { self: this as LivePolicy },
    function* (this: LivePolicy, stop: TimelineAdvance["stop"]) {
      const { clock, automaton, probes } = this
      if (stop === "event" || stop === "time" || stop === "budget" || stop === "paused") return
      const lastEvent = this.unseen.at(-1)
      yield* this.tellUnseen()
      if (automaton.firing !== null || automaton.hasEnded || this.unseen.length > 0) return
      if (stop === "idle" && this.leadsNowhereUntilNanos !== Infinity) {
        // Nothing wakes the guest any more: its time passes all the same.
        const wake = Math.min(automaton.wakeAtNanos ?? Infinity, clock.wakeAtNanos ?? Infinity)
        if (wake !== Infinity) {
          this.standsAt = Math.max(this.standsAt, wake)
          clock.stand(this.standsAt)
          return
        }
        if (!probes.isEmpty) {
          // A probe without rest is checked again; one that sleeps beyond the end of time never wakes.
          if (probes.areAsleep) yield* probes.retire
          else if (this.areProbesSettled) yield* probes.completion
          return
        }
        if (automaton.commands.length > 0) return
      }
      const progress = automaton.progress()
      const atNanos = this.standsAt
      const policy = automaton.policyName
      const reason: TriggerReason =
        stop === "fault"
          ? {
              _tag: "EngineFaulted",
              policy,
              atNanos,
              progress,
              message: lastEvent?._tag === "EngineFault" ? lastEvent.message : "no message"
            }
          : { _tag: "GuestEnded", policy, atNanos, progress, how: stop === "ended" ? "timeline-ended" : stop }
      // A guest at rest is alive: if no capture will follow, the freeze is withdrawn.
      if (stop === "idle" && automaton.freezes.isClaimed) yield* this.timeline.requestThaw
      yield* this.fail(new TriggerError({ reason }))
    }
  )

  nothingArmed(): TriggerError {
    const { nowNanos, policyName } = this.automaton
    return new TriggerError({
      reason: { _tag: "NothingArmed", policy: policyName, atNanos: nowNanos, progress: this.automaton.progress() }
    })
  }
}
