/**
 * Generated commands for runs, and the histories that they make.
 *
 * @module
 */
import { Result } from "effect"
import * as fc from "fast-check"
import type { OwnerRecord } from "../files/Owner.ts"
import type { Firing } from "../Firing.ts"
import { decide } from "../run/decide.ts"
import type { RunCommand } from "../run/RunCommand.ts"
import type { RunEvent } from "../run/RunEvent.ts"
import { evolve, initialState, type RunPhase, type RunState } from "../run/RunState.ts"
import { sampleFiring } from "./kindTrigger.ts"

/** An owner of runs. */
export const sampleOwner: OwnerRecord = { instance: "one", pid: 1, host: "here", bootId: null, startedAtMillis: 0 }

const nanos = fc.nat({ max: 1_000 })
const words = fc.constantFrom("one", "two", "three")
const error = fc.record({ tag: words, message: words })

/** Firings of one trigger, at times between 0 and 1000 ns. */
export const firingArbitrary: fc.Arbitrary<Firing> = nanos.map((atNanos) =>
  sampleFiring({ _tag: "WorkloadPreExec", seq: atNanos, atNanos, argv: ["/bin/serve"], holdNanos: 100_000_000 })
)

const published = fc.record({ directory: fc.constant("/snapshots/one"), digest: fc.constant("0".repeat(64)) })

/** Every command, by name. */
export const commandArbitraries: {
  readonly [K in RunCommand["_tag"]]: fc.Arbitrary<Extract<RunCommand, { readonly _tag: K }>>
} = {
  Start: fc.record({
    _tag: fc.constant("Start" as const),
    runId: words,
    pipeline: words,
    owner: fc.constant(sampleOwner),
    policy: fc.constant(null),
    configuration: fc.constant(null),
    target: fc.constantFrom("/snapshots/one", null),
    isValidated: fc.boolean()
  }),
  RecordBoot: fc.record({
    _tag: fc.constant("RecordBoot" as const),
    atNanos: nanos,
    engine: words,
    engineChoice: fc.record({ requested: words, reason: words }),
    memoryMib: fc.constantFrom(64, 128),
    guestStream: fc.constant(null)
  }),
  RecordFiring: fc.record({ _tag: fc.constant("RecordFiring" as const), firing: firingArbitrary }),
  RecordFreeze: fc.record({
    _tag: fc.constant("RecordFreeze" as const),
    atNanos: nanos,
    isWorkloadFrozen: fc.boolean(),
    verdict: fc.constantFrom("settled" as const, "deadline" as const, "not-asked" as const)
  }),
  RecordCapture: fc.record({
    _tag: fc.constant("RecordCapture" as const),
    atNanos: nanos,
    seq: nanos,
    pauseNanos: nanos,
    storedBytes: nanos
  }),
  RecordPublish: published.map((body) => ({ _tag: "RecordPublish" as const, ...body })),
  KeepInMemory: fc.constant({ _tag: "KeepInMemory" as const }),
  RecordValidation: fc.record({
    _tag: fc.constant("RecordValidation" as const),
    verdict: fc.constantFrom("passed" as const, "failed" as const),
    detail: words,
    workingSetPages: nanos
  }),
  Abandon: fc.record({ _tag: fc.constant("Abandon" as const), why: words }),
  Fail: fc.record({ _tag: fc.constant("Fail" as const), stage: words, error }),
  StartStage: fc.record({ _tag: fc.constant("StartStage" as const), stage: words, attempt: nanos }),
  FinishStage: fc.record({ _tag: fc.constant("FinishStage" as const), stage: words, hostNanos: nanos }),
  RetryStage: fc.record({ _tag: fc.constant("RetryStage" as const), stage: words, attempt: nanos, error }),
  Recover: fc.record({
    _tag: fc.constant("Recover" as const),
    findings: fc.record({
      published: fc.option(published),
      validation: fc.constantFrom("passed" as const, "failed" as const, "absent" as const)
    })
  })
}

/** Any command. Those that lead on are more frequent than those that end a run. */
export const commandArbitrary: fc.Arbitrary<RunCommand> = fc.oneof(
  ...Object.entries(commandArbitraries).map(([name, arbitrary]) => ({
    arbitrary: arbitrary as fc.Arbitrary<RunCommand>,
    weight: ["Abandon", "Fail", "Recover"].includes(name) ? 1 : 8
  }))
)

/** The commands that lead a run on. */
const leadingOn: Partial<Record<RunPhase, ReadonlyArray<RunCommand["_tag"]>>> = {
  "not-started": ["Start"],
  booting: ["RecordBoot"],
  watching: ["RecordFiring"],
  freezing: ["RecordFreeze"],
  capturing: ["RecordCapture"],
  publishing: ["RecordPublish", "KeepInMemory"],
  validating: ["RecordValidation"]
}

/**
 * A command that depends on the state of a run: mostly one that advances it, so that a short sequence gets far; otherwise
 * any.
 *
 * Of commands drawn blindly, one sequence in thirty gets as far as a publish.
 */
export const nextCommandArbitrary: fc.Arbitrary<(phase: RunPhase) => RunCommand> = fc
  .record({ any: commandArbitrary, byName: fc.record(commandArbitraries), choice: fc.nat({ max: 7 }) })
  .map(({ any, byName, choice }) =>
    Object.assign(
      (phase: RunPhase): RunCommand => {
        const names = leadingOn[phase] ?? []
        const name = choice < 6 ? names[choice % names.length] : undefined
        return name === undefined ? any : byName[name]
      },
      { toString: () => JSON.stringify({ any, byName, choice }) }
    )
  )

/** Any history of a run, and the state that it comes to: commands one after the other, those that are refused left out. */
export const historyArbitrary: fc.Arbitrary<{
  readonly events: ReadonlyArray<RunEvent>
  readonly state: RunState
}> = fc.array(nextCommandArbitrary, { maxLength: 40 }).map((commands) => {
  let state: RunState = initialState
  const events: Array<RunEvent> = []
  for (const next of commands) {
    const decision = decide(state, next(state.phase))
    if (Result.isFailure(decision)) continue
    for (const event of decision.success) {
      events.push(event)
      state = evolve(state, event)
    }
  }
  return { events, state }
})
