/**
 * Serialises a machine's runs among several callers that need the guest to run.
 *
 * @module
 */
import { Deferred, Effect, Exit } from "effect"
import { MachineError } from "../MachineErrors.ts"
import type { Machine, MachineStop } from "../Vmm.ts"
import type { AgentPort } from "./AgentPort.ts"

/** Runs of one machine, and turns in them. */
export interface Turns {
  readonly run: Machine["run"]
  readonly advance: AgentPort["advance"]
  /**
   * Takes the machine for its live mode: until the returned function is called, callers that need the guest to run wait for
   * events. Fails with `AlreadyRunning` while another caller runs it.
   */
  readonly hold: Effect.Effect<() => void, MachineError>
}

/** Keeps account of who runs the machine. A second `run` is the machine's to refuse; a second `advance` waits for the first. */
export const makeTurns = (run: Machine["run"]): Turns => {
  let inProgress: Deferred.Deferred<void> | null = null
  /** Takes the machine; the returned function releases it. */
  const take = (): (() => void) => {
    const over = Deferred.makeUnsafe<void>()
    inProgress = over
    return () => {
      if (inProgress === over) inProgress = null
      Deferred.doneUnsafe(over, Exit.void)
    }
  }
  const turn: Machine["run"] = (until) =>
    Effect.suspend((): Effect.Effect<MachineStop, MachineError> => {
      if (inProgress !== null) return run(until)
      return Effect.ensuring(run(until), Effect.sync(take()))
    })
  const hold: Turns["hold"] = Effect.suspend(() => {
    if (inProgress !== null) {
      const message = "expected a machine that stands, found one that runs or lives: pause it first"
      return Effect.fail(new MachineError({ reason: { _tag: "AlreadyRunning", message } }))
    }
    return Effect.succeed(take())
  })
  return {
    run: turn,
    hold,
    advance: (until, over) =>
      Effect.suspend(() =>
        inProgress === null ? turn(until) : Effect.as(Effect.raceFirst(Deferred.await(inProgress), over), null)
      )
  }
}
