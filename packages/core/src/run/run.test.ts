import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { readFileSync } from "node:fs"
import { deciderSpec } from "../testing/deciderSpec.ts"
import { sampleFiring } from "../testing/kindTrigger.ts"
import { commandArbitraries, commandArbitrary, historyArbitrary } from "../testing/runArbitraries.ts"
import { acceptedIn, decide } from "./decide.ts"
import type { RunCommand } from "./RunCommand.ts"
import type { RunEvent } from "./RunEvent.ts"
import { sampleOwner } from "../testing/runArbitraries.ts"
import { evolve, foldRun, initialState, isEnded, type RunPhase, runPhases, type RunState } from "./RunState.ts"

const given = deciderSpec({ decide, evolve, initialState })

const firing = sampleFiring({
  _tag: "WorkloadPreExec",
  seq: 3,
  atNanos: 300,
  argv: ["/bin/serve"],
  holdNanos: 100_000_000
})
const started: RunEvent = {
  _tag: "RunStarted",
  runId: "r",
  pipeline: "p",
  owner: sampleOwner,
  policy: null,
  configuration: null,
  target: "/s",
  isValidated: true
}
const booted: RunEvent = { _tag: "MachineBooted", atNanos: 0, engine: "soft", memoryMib: 128, guestStream: null }
const fired: RunEvent = { _tag: "TriggerFired", firing }
const frozen: RunEvent = { _tag: "GuestFrozen", atNanos: 301, isWorkloadFrozen: false, verdict: "settled" }
const captured: RunEvent = { _tag: "CaptureCompleted", atNanos: 301, seq: 3, pauseNanos: 5, storedBytes: 6 }
const published: RunEvent = { _tag: "SnapshotPublished", directory: "/s", digest: "d" }
const path: ReadonlyArray<RunEvent> = [started, booted, fired, frozen, captured, published]

/** A state in every phase, for runs with and without a target and a validation. */
const statesOf = (phase: RunPhase): ReadonlyArray<RunState> =>
  [true, false].flatMap((isValidated) =>
    ["/s", null].map((target) => {
      const begun: RunEvent = { ...started, isValidated, target }
      const index = runPhases.indexOf(phase)
      if (phase === "not-started") return initialState
      const ends: Partial<Record<RunPhase, ReadonlyArray<RunEvent>>> = {
        ready: [begun, ...path.slice(1), { _tag: "RunReady", directory: "/s" }],
        abandoned: [begun, { _tag: "RunAbandoned", why: "w" }],
        failed: [begun, { _tag: "RunFailed", stage: "s", error: { tag: "T", message: "m" } }]
      }
      return foldRun(ends[phase] ?? [begun, ...path.slice(1, index)])
    })
  )

describe("the table of commands and states", () => {
  it("every-phase-is-reached-by-its-states", () => {
    for (const phase of runPhases) for (const state of statesOf(phase)) assert.strictEqual(state.phase, phase)
  })

  for (const [name, phases] of Object.entries(acceptedIn)) {
    it(`${name}-is-accepted-only-where-the-table-says`, () => {
      const arbitrary = commandArbitraries[name as RunCommand["_tag"]] as fc.Arbitrary<RunCommand>
      for (const phase of runPhases) {
        const outcomes = fc
          .sample(arbitrary, 100)
          .flatMap((command) => statesOf(phase).map((state) => decide(state, command)))
        if (phases.includes(phase))
          assert.isTrue(outcomes.some(Result.isSuccess), `${name} is never accepted while ${phase}`)
        else {
          for (const outcome of outcomes) {
            assert.isTrue(Result.isFailure(outcome), `${name} is accepted while ${phase}`)
            if (Result.isFailure(outcome)) assert.strictEqual(outcome.failure.phase, phase)
          }
        }
      }
    })
  }

  it("the-table-in-the-documentation-says-what-is-decided-and-nothing-else", () => {
    const text = readFileSync(new URL("./decide.ts", import.meta.url), "utf8")
    const [, table = ""] = /```text\n([^]*?)\* ```/.exec(text) ?? []
    const written = new Map<string, Map<string, string>>()
    let phases: ReadonlyArray<string> = []
    for (const line of table.trimEnd().split("\n").slice(1)) {
      const [, state = "", meaning = "", command = "", then = ""] = /^ \* (.{13})(.{49})(\S+) *(.*)$/.exec(line) ?? []
      if (state.trim() !== "") {
        assert.notStrictEqual(meaning.trim(), "", `${state} is explained`)
        phases = state.trim() === "unended" ? acceptedIn.Abandon : [state.trim()]
      }
      for (const phase of phases) {
        const commands = written.get(phase) ?? new Map<string, string>()
        written.set(phase, commands)
        if (command !== "none") commands.set(command, then === "unchanged" ? phase : then)
      }
    }
    const decided = new Map<string, Map<string, string>>()
    for (const phase of runPhases) {
      const commands = new Map<string, string>()
      decided.set(phase, commands)
      for (const [command, arbitrary] of Object.entries(commandArbitraries)) {
        const after = new Set<RunPhase>()
        for (const one of fc.sample(arbitrary as fc.Arbitrary<RunCommand>, { numRuns: 300, seed: 1 })) {
          for (const state of statesOf(phase)) {
            const decision = decide(state, one)
            if (Result.isSuccess(decision)) after.add(decision.success.reduce(evolve, state).phase)
          }
        }
        if (after.size > 0) commands.set(command, runPhases.filter((phase) => after.has(phase)).join(", "))
      }
    }
    const sorted = (map: Map<string, Map<string, string>>) =>
      Object.fromEntries([...map].map(([phase, commands]) => [phase, Object.fromEntries([...commands].toSorted())]))
    assert.deepStrictEqual(sorted(written), sorted(decided))
  })
})

describe("decisions", () => {
  it("a-published-run-without-validation-is-ready", () => {
    given({ ...started, isValidated: false }, booted, fired, frozen, captured)
      .when({ _tag: "RecordPublish", directory: "/s", digest: "d" })
      .thenEvents(published, { _tag: "RunReady", directory: "/s" })
  })
  it("a-published-run-with-validation-is-not-ready-yet", () => {
    given(...path.slice(0, 5))
      .when({ _tag: "RecordPublish", directory: "/s", digest: "d" })
      .thenEvents(published)
  })
  it("a-failed-validation-fails-the-run", () => {
    given(...path)
      .when({ _tag: "RecordValidation", verdict: "failed", detail: "no answer", workingSetPages: 0 })
      .thenState((state) => assert.deepInclude(state, { phase: "failed", stage: "validate" }))
  })
  it("a-higher-trigger-takes-over-a-quiesce-but-not-from-the-past", () => {
    const later = sampleFiring({
      _tag: "ListenerBound",
      seq: 4,
      atNanos: 400,
      protocol: "tcp",
      address: "::",
      port: 80
    })
    given(started, booted, fired)
      .when({ _tag: "RecordFiring", firing: later })
      .thenEvents({ _tag: "TriggerFired", firing: later })
    const earlier = sampleFiring({ _tag: "HeartbeatTick", seq: 1, atNanos: 100, count: 1 })
    given(started, booted, fired).when({ _tag: "RecordFiring", firing: earlier }).thenRefused()
  })
  it("nothing-is-captured-before-its-trigger", () => {
    given(...path.slice(0, 4))
      .when({ _tag: "RecordCapture", atNanos: 299, seq: 2, pauseNanos: 0, storedBytes: 0 })
      .thenRefused((refusal) => assert.include(refusal.message, "before the trigger"))
  })
  it("a-run-with-a-target-is-not-kept-in-memory", () => {
    given(...path.slice(0, 5))
      .when({ _tag: "KeepInMemory" })
      .thenRefused()
    given({ ...started, target: null }, ...path.slice(1, 5))
      .when({ _tag: "RecordPublish", directory: "/s", digest: "d" })
      .thenRefused()
  })
  it("a-run-cut-off-after-its-rename-is-ready-if-nothing-was-left-to-check", () => {
    given({ ...started, isValidated: false }, ...path.slice(1, 5))
      .when({ _tag: "Recover", findings: { published: { directory: "/s", digest: "d" }, validation: "absent" } })
      .thenEvents(published, { _tag: "RunReady", directory: "/s" })
  })
  it("a-run-cut-off-before-its-validation-ended-is-failed", () => {
    given(...path)
      .when({ _tag: "Recover", findings: { published: { directory: "/s", digest: "d" }, validation: "absent" } })
      .thenState((state) => assert.strictEqual(state.phase, "failed"))
  })
  it("a-run-that-stays-in-memory-is-not-made-ready-by-what-is-found-on-the-disk", () => {
    given({ ...started, target: null, isValidated: false }, ...path.slice(1, 5))
      .when({ _tag: "Recover", findings: { published: { directory: "/s", digest: "d" }, validation: "absent" } })
      .thenState((state) => assert.strictEqual(state.phase, "failed"))
  })
  it("a-run-cut-off-before-its-rename-is-failed", () => {
    given(started, booted)
      .when({ _tag: "Recover", findings: { published: null, validation: "absent" } })
      .thenState((state) => assert.strictEqual(state.phase, "failed"))
  })
})

describe("any history of a run", () => {
  const indexOf = (events: ReadonlyArray<RunEvent>, tag: RunEvent["_tag"]) =>
    events.findIndex((event) => event._tag === tag)
  const count = (events: ReadonlyArray<RunEvent>, tag: RunEvent["_tag"]) =>
    events.filter((event) => event._tag === tag).length

  it("at-most-one-capture-and-one-publish-in-their-order-and-never-before-the-trigger", () => {
    fc.assert(
      fc.property(historyArbitrary, ({ events }) => {
        assert.isAtMost(count(events, "SnapshotPublished"), 1)
        assert.isAtMost(count(events, "CaptureCompleted"), 1)
        const capturedAt = indexOf(events, "CaptureCompleted")
        const publishedAt = indexOf(events, "SnapshotPublished")
        if (publishedAt >= 0) assert.isTrue(capturedAt >= 0 && capturedAt < publishedAt)
        if (capturedAt >= 0) {
          const firedAt = events.findLastIndex((event) => event._tag === "TriggerFired")
          assert.isTrue(firedAt >= 0 && firedAt < capturedAt)
          const trigger = events[firedAt]
          const capture = events[capturedAt]
          if (trigger?._tag === "TriggerFired" && capture?._tag === "CaptureCompleted") {
            assert.isAtLeast(capture.atNanos, trigger.firing.atNanos)
          }
        }
      }),
      { numRuns: 10_000 }
    )
  })

  it("a-run-is-ready-only-after-what-it-promised", () => {
    fc.assert(
      fc.property(historyArbitrary, ({ events, state }) => {
        if (state.phase !== "ready") return
        assert.isAtLeast(indexOf(events, "CaptureCompleted"), 0)
        if (state.run.target === null) assert.isNull(state.directory)
        else assert.isAtLeast(indexOf(events, "SnapshotPublished"), 0)
        if (state.run.target !== null && state.run.isValidated) assert.isAtLeast(indexOf(events, "ValidationPassed"), 0)
      }),
      { numRuns: 10_000 }
    )
  })

  it("every-run-that-was-started-can-be-ended-by-a-recovery-and-an-ended-one-stays", () => {
    fc.assert(
      fc.property(historyArbitrary, commandArbitraries.Recover, commandArbitrary, ({ state }, recover, anything) => {
        if (state.phase === "not-started") return
        const decision = decide(state, recover)
        if (isEnded(state)) {
          assert.isTrue(Result.isFailure(decision))
          assert.isTrue(Result.isFailure(decide(state, anything)))
        } else {
          assert.isTrue(Result.isSuccess(decision))
          if (Result.isSuccess(decision)) assert.isTrue(isEnded(decision.success.reduce(evolve, state)))
        }
      }),
      { numRuns: 10_000 }
    )
  })

  it("evolve-is-total-and-an-ended-run-never-changes", () => {
    const events = historyArbitrary.map(({ events }) => events)
    fc.assert(
      fc.property(events, events, (one, two) => {
        // Events of another run, in any state, neither throw nor undo an end.
        const state = foldRun(one)
        const after = two.reduce(evolve, state)
        if (isEnded(state)) assert.deepStrictEqual(after, state)
      }),
      { numRuns: 5_000 }
    )
  })
})
