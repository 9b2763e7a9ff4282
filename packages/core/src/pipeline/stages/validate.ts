/**
 * The stage that tries a fresh snapshot in a clone before it counts as ready.
 *
 * @module
 */
import { Effect, Exit, Predicate } from "effect"
import { commandProblems } from "../../agent/commandRequest.ts"
import type { GatedMachine } from "../../gate/Gate.ts"
import type { GateOptions } from "../../gate/GateOptions.ts"
import * as Gate from "../../gate/Gate.ts"
import type { ExecError, MachineError } from "../../MachineErrors.ts"
import { RunContext, type RunCommandError } from "../../run/RunContext.ts"
import type { SnapshotPublishError } from "../../snapshot/SnapshotErrors.ts"
import { type Snapshot, SnapshotStore } from "../../snapshot/SnapshotStore.ts"
import { type WorkingSet, workingSetOf } from "../../snapshot/Validation.ts"
import type { ExecSpec } from "../../Vmm.ts"
import { gateProblems } from "../../gate/gateProblems.ts"
import { isFunction, isText, kindProblems } from "../../optionProblems.ts"
import { ProbeCommandFailed, type StageTimedOut, ValidationFailed } from "../PipelineErrors.ts"
import * as Stage from "../Stage.ts"
import type { Published } from "./capture.ts"

/** A probe: an Effect that succeeds in a clone of a good snapshot; what it returns is its evidence. */
export type Probe<E, R> = (clone: GatedMachine) => Effect.Effect<string, E, R>

/** A snapshot that a probe has passed, and the pages that the probe needed. */
export interface Validated extends Published {
  readonly workingSet: WorkingSet
}

/** A probe with a known command, which can be checked before there is a clone. */
export interface ExecProbe extends Probe<ExecError | MachineError | ProbeCommandFailed, never> {
  readonly command: ExecSpec
}

/**
 * A probe that executes a command, which must end with code 0. Problems of the command are reported before anything is booted.
 */
export const execProbe = (command: ExecSpec): ExecProbe => {
  const probe: Probe<ExecError | MachineError | ProbeCommandFailed, never> = ({ machine }) =>
    Effect.gen(function* () {
      const { code, signal, stderr, stdout } = yield* machine.exec(command)
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim()
      if (code !== 0) {
        return yield* new ProbeCommandFailed({ argv: command.argv, code, signal, stderr: text(stderr) })
      }
      return text(stdout)
    })
  return Object.assign(probe, { command })
}

/** Problems of a probe that can be seen before there is a clone. */
export const probeProblems = (name: string, probe: unknown): ReadonlyArray<string> => {
  if (!isFunction(probe)) {
    return kindProblems(name, probe, "a probe, as Pipeline.execProbe makes it", isFunction)
  }
  return Predicate.hasProperty(probe, "command") ? commandProblems(name, probe.command) : []
}

/** The evidence of a probe. A probe without types may throw, be no Effect, or return no text; then the validation fails. */
const evidenceOf = Effect.fnUntraced(function* <E, R>(probe: Probe<E, R>, clone: GatedMachine) {
  const begun: unknown = yield* Effect.try({ try: () => probe(clone), catch: (cause) => cause })
  const evidence = Effect.isEffect(begun) ? yield* begun as Effect.Effect<unknown, E, R> : begun
  if (Effect.isEffect(begun) && isText(evidence)) return evidence
  const [problem] = kindProblems("validate", evidence, "a probe that gives an Effect of a text", () => false)
  return yield* Effect.fail(problem)
})

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/**
 * Restores the fresh snapshot into a second machine, takes it through the gate, runs the probe, and records the pages that were
 * touched until it succeeded. Only then the snapshot is ready.
 *
 * A failure, of the last try if it is tried again, is recorded beside the snapshot, which can never be opened as ready.
 */
export const validate = <E, R>(probe: Probe<E, R>, gate: GateOptions = {}) =>
  Stage.make(
    "validate",
    (published: Published) =>
      Effect.gen(function* () {
        const run = yield* RunContext
        const store = yield* SnapshotStore
        const { snapshot } = published
        const { detail, workingSet } = yield* Effect.scoped(
          Effect.gen(function* () {
            const clone = yield* Gate.restore(snapshot.directory, {
              ...gate,
              allowUnvalidated: true,
              // This very snapshot, and no other that has come to its path.
              digest: snapshot.manifest.digest
            })
            const detail = yield* evidenceOf(probe, clone)
            return { detail, workingSet: workingSetOf(yield* clone.machine.takeTouchedPages) }
          })
        ).pipe(
          Effect.mapError((error) => new ValidationFailed({ directory: snapshot.directory, detail: messageOf(error) }))
        )
        // A snapshot that is ready on the disk is ready in the journal too, so the two cannot be cancelled separately.
        const validated = yield* Effect.uninterruptible(
          Effect.tap(store.recordValidation(snapshot, { verdict: "passed", detail, workingSet }), () =>
            run.tell({ _tag: "RecordValidation", verdict: "passed", detail, workingSetPages: workingSet.pages })
          )
        )
        return { ...published, snapshot: validated, workingSet } satisfies Validated
      }),
    {
      check: Effect.sync(() => [...probeProblems("validate", probe), ...gateProblems("validate.gate", gate)]),
      onFailure: (error, published) => refuse(error, published.snapshot)
    }
  )

/** Ensures that the snapshot does not count as ready, and that the run gives the reason. */
const refuse = Effect.fnUntraced(function* (
  error: ValidationFailed | StageTimedOut | SnapshotPublishError | RunCommandError,
  snapshot: Snapshot
) {
  // A journal that cannot be written to says nothing about the snapshot.
  if (error._tag !== "ValidationFailed" && error._tag !== "StageTimedOut") return
  const detail = error._tag === "ValidationFailed" ? error.detail : error.message
  const store = yield* SnapshotStore
  const recorded = yield* Effect.exit(store.recordValidation(snapshot, { verdict: "failed", detail, workingSet: null }))
  // Without the record the snapshot is not ready either: its manifest asks for one.
  if (Exit.isFailure(recorded)) yield* Effect.logWarning("the failed validation could not be recorded", recorded.cause)
  yield* Effect.ignore(
    (yield* RunContext).tell({ _tag: "RecordValidation", verdict: "failed", detail, workingSetPages: 0 })
  )
})
