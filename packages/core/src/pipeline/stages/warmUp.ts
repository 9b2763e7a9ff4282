/**
 * Stages that put a guest to work before its capture.
 *
 * @module
 */
import { Effect } from "effect"
import { commandProblems } from "../../agent/commandRequest.ts"
import type { ExecSpec, Machine } from "../../Vmm.ts"
import { ThawFailed, WarmUpFailed } from "../PipelineErrors.ts"
import * as Stage from "../Stage.ts"
import type { Fired } from "./awaitPolicy.ts"

/** Executes commands in the guest, one after the other, each of which must end with code 0. */
export const warmUp = (...commands: ReadonlyArray<ExecSpec>) =>
  Stage.checked(
    warmUpWith((machine) => execAll(machine, commands)),
    Effect.sync(() => commands.flatMap((command, index) => commandProblems(`warmUp.${index}`, command)))
  )

const execAll = Effect.fnUntraced(function* (machine: Machine, commands: ReadonlyArray<ExecSpec>) {
  for (const command of commands) {
    const { code, signal, stderr } = yield* machine.exec(command)
    if (code !== 0) {
      return yield* new WarmUpFailed({ argv: command.argv, code, signal, stderr: new TextDecoder().decode(stderr) })
    }
  }
})

/**
 * Warms up with a custom Effect. A workload that the policy froze is thawed first, and frozen again by the `freeze` that
 * follows.
 */
export const warmUpWith = <E, R>(work: (machine: Machine) => Effect.Effect<unknown, E, R>) =>
  Stage.make("warm up", (fired: Fired) =>
    Effect.gen(function* () {
      const { machine, timeline } = fired
      yield* timeline.exclusively(fired.isFrozen ? Effect.andThen(thaw(machine), work(machine)) : work(machine))
      return { ...fired, isFrozen: false } satisfies Fired
    })
  )

const thaw = (machine: Machine) =>
  Effect.catchTag(machine.agent.thaw(), "AgentError", (error) => new ThawFailed({ detail: error.message }))
