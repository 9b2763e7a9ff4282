/**
 * The stages that begin a run: a machine and the timeline on which its policy watches it.
 *
 * @module
 */
import { Effect } from "effect"
import { recordedChoice } from "../../EngineChoice.ts"
import type { GuestTimeline } from "../../GuestTimeline.ts"
import { newGuestStream, recordGuest } from "../../journal/guestStream.ts"
import { RunContext } from "../../run/RunContext.ts"
import { type BootSpec, type Machine, Vmm } from "../../Vmm.ts"
import { freeRunningTimeline } from "../../timeline/freeRunningTimeline.ts"
import { lockstepTimeline } from "../../timeline/lockstepTimeline.ts"
import * as Stage from "../Stage.ts"

/** A machine that is being watched. */
export interface Booted {
  readonly machine: Machine
  readonly timeline: GuestTimeline["Service"]
  readonly spec: BootSpec
  /** Stream of the journal with the guest's events; `null` if it is not recorded. */
  readonly guestStream: string | null
  /** Whether its agent was ready before the first event of its log. */
  readonly hadAgent: boolean
  /**
   * Whether the machine continues after the capture, or others watch it; the capture then changes the guest in a fork only.
   */
  readonly goesOn: boolean
}

const recordBoot = (machine: Machine, guestStream: string | null) =>
  Effect.gen(function* () {
    const run = yield* RunContext
    const atNanos = yield* machine.nowNanos
    const { engine, engineChoice, memoryMib } = machine
    const choice = recordedChoice(engineChoice)
    yield* run.tell({ _tag: "RecordBoot", atNanos, engine, ...choice, memoryMib, guestStream })
  })

/** An existing machine that has executed nothing that a policy may want to see. */
export interface Begun {
  readonly machine: Machine
  /** Whether its agent was ready before the first event of its log. */
  readonly hadAgent: boolean
}

/** Options of watching a guest while it runs. */
export interface WatchOptions {
  /**
   * The machine to watch in place of a boot, such as a guest of a booted kit. It belongs to its maker; `spec` then describes it
   * for journal and manifest.
   */
  readonly begun?: Begun
  /** Given the machine before its first instruction, to subscribe to its events. */
  readonly observe?: (machine: Machine) => Effect.Effect<void>
  /** Whether the journal records the guest's events; `true` if absent. */
  readonly recordGuest?: boolean
}

/** A machine before its first instruction, observed and recorded as asked; with the stream it is recorded in. */
export const bootWatched = Effect.fnUntraced(function* (spec: BootSpec, options: WatchOptions) {
  const machine = options.begun?.machine ?? (yield* (yield* Vmm).boot(spec))
  const hadAgent = options.begun?.hadAgent ?? false
  yield* options.observe?.(machine) ?? Effect.void
  if (options.recordGuest === false) return { machine, hadAgent, guestStream: null }
  const { stream } = yield* recordGuest(newGuestStream(), machine)
  return { machine, hadAgent, guestStream: stream }
})

/** Makes a machine that has executed no instruction; it lives until the pipeline's scope closes. */
export const boot = (options: WatchOptions & { readonly goesOn?: boolean } = {}) =>
  Stage.make("boot", (spec: BootSpec) =>
    Effect.gen(function* () {
      const { guestStream, hadAgent, machine } = yield* bootWatched(spec, options)
      yield* recordBoot(machine, guestStream)
      const timeline = yield* machine.isDeterministic ? lockstepTimeline(machine) : freeRunningTimeline(machine)
      return { machine, timeline, spec, guestStream, hadAgent, goesOn: options.goesOn ?? false } satisfies Booted
    })
  )

/** Begins with a machine that another run booted. */
export const adopt = Stage.make("boot", (booted: Booted) =>
  Effect.as(recordBoot(booted.machine, booted.guestStream), booted)
)
