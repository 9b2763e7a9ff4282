/**
 * The stage that takes a fresh snapshot for what it will be used for, before anybody else can.
 *
 * @module
 */
import { Effect, Exit } from "effect"
import type { GatedMachine, GateOptions } from "../../gate/Gate.ts"
import * as Gate from "../../gate/Gate.ts"
import { RunContext } from "../../run/RunContext.ts"
import { SnapshotStore } from "../../snapshot/SnapshotStore.ts"
import { type WorkingSet, workingSetOf } from "../../snapshot/Validation.ts"
import type { ExecSpec } from "../../Vmm.ts"
import { ValidationFailed } from "../PipelineErrors.ts"
import * as Stage from "../Stage.ts"
import type { Published } from "./capture.ts"

/** A probe: an Effect that succeeds in a clone of a good snapshot; what it returns is its evidence. */
export type Probe<E, R> = (clone: GatedMachine) => Effect.Effect<string, E, R>

/** A snapshot that a probe has passed, and the pages that the probe needed. */
export interface Validated extends Published {
  readonly workingSet: WorkingSet
}

/** A probe that executes a command, which must end with code 0. */
export const execProbe =
  (command: ExecSpec): Probe<unknown, never> =>
  ({ machine }) =>
    Effect.gen(function* () {
      const { code, signal, stderr, stdout } = yield* machine.exec(command)
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim()
      if (code !== 0) {
        return yield* Effect.fail(
          new Error(
            `${command.argv.join(" ")} ended with ${code === null ? `signal ${signal}` : `code ${code}`}: ${text(stderr)}`
          )
        )
      }
      return text(stdout)
    })

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/**
 * Restores the fresh snapshot into a second machine, takes it through the gate, runs the probe, and records the pages that were
 * touched until it succeeded. Only then the snapshot is ready.
 *
 * A failure is recorded beside the snapshot, which can never be opened as ready.
 */
export const validate = <E, R>(probe: Probe<E, R>, gate: GateOptions = {}) =>
  Stage.make("validate", (published: Published) =>
    Effect.gen(function* () {
      const run = yield* RunContext
      const store = yield* SnapshotStore
      const { snapshot } = published
      const tried = yield* Effect.scoped(
        Effect.gen(function* () {
          const clone = yield* Gate.restore(snapshot.directory, { ...gate, allowUnvalidated: true })
          const detail = yield* probe(clone)
          return { detail, workingSet: workingSetOf(yield* clone.machine.touchedPages) }
        })
      ).pipe(Effect.result)
      if (tried._tag === "Failure") {
        const detail = messageOf(tried.failure)
        const recorded = yield* Effect.exit(
          store.recordValidation(snapshot, { verdict: "failed", detail, workingSet: null })
        )
        yield* run.tell({ _tag: "RecordValidation", verdict: "failed", detail, workingSetPages: 0 })
        // Without the record the snapshot is not ready either: its manifest asks for one.
        if (Exit.isFailure(recorded))
          yield* Effect.logWarning("the failed validation could not be recorded", recorded.cause)
        return yield* new ValidationFailed({ directory: snapshot.directory, detail })
      }
      const { detail, workingSet } = tried.success
      const validated = yield* store.recordValidation(snapshot, { verdict: "passed", detail, workingSet })
      yield* run.tell({ _tag: "RecordValidation", verdict: "passed", detail, workingSetPages: workingSet.pages })
      return { ...published, snapshot: validated, workingSet } satisfies Validated
    })
  )
