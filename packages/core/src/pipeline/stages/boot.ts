/**
 * The stages that begin a run: a machine and the timeline on which its policy watches it.
 *
 * @module
 */
import { Effect } from "effect"
import type { GuestTimeline } from "../../GuestTimeline.ts"
import { RunContext } from "../../run/RunContext.ts"
import { type BootSpec, type Machine, Vmm } from "../../Vmm.ts"
import { lockstepTimeline } from "../../watch/lockstepTimeline.ts"
import * as Stage from "../Stage.ts"

/** A machine that is being watched. */
export interface Booted {
  readonly machine: Machine
  readonly timeline: GuestTimeline["Service"]
  readonly spec: BootSpec
  /**
   * Whether the machine goes on after the capture, or others watch it: whatever a capture needs of the guest then happens in a
   * fork.
   */
  readonly goesOn: boolean
}

const recordBoot = (machine: Machine) =>
  Effect.gen(function* () {
    const run = yield* RunContext
    const atNanos = yield* machine.nowNanos
    yield* run.tell({ _tag: "RecordBoot", atNanos, engine: machine.engine, memoryMib: machine.memoryMib })
  })

/** Makes a machine that stands before its first instruction; it lives until the pipeline's scope closes. */
export const boot = (options: {
  readonly goesOn?: boolean
  /** Given the machine before its first instruction. */
  readonly observe?: (machine: Machine) => Effect.Effect<void>
} = {}) =>
  Stage.make("boot", (spec: BootSpec) =>
    Effect.gen(function* () {
      const machine = yield* (yield* Vmm).boot(spec)
      yield* options.observe?.(machine) ?? Effect.void
      yield* recordBoot(machine)
      const timeline = yield* lockstepTimeline(machine)
      return { machine, timeline, spec, goesOn: options.goesOn ?? false } satisfies Booted
    })
  )

/** Begins with a machine that another run booted. */
export const adopt = Stage.make("boot", (booted: Booted) => Effect.as(recordBoot(booted.machine), booted))
