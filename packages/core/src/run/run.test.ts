import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { readFileSync } from "node:fs"
import { Journal, type JournalShape } from "../journal/Journal.ts"
import { makeMemoryJournal } from "../journal/memoryJournal.ts"
import { deciderSpec } from "../testing/deciderSpec.ts"
import { sampleFiring } from "../testing/kindTrigger.ts"
import { commandArbitraries, commandArbitrary } from "../testing/runArbitraries.ts"
import { acceptedIn, decide } from "./decide.ts"
import type { RunCommand } from "./RunCommand.ts"
import { makeRunContext, type RunContextShape } from "./RunContext.ts"
import type { RunEvent } from "./RunEvent.ts"
import { evolve, foldRun, initialState, isEnded, type RunPhase, runPhases, type RunState } from "./RunState.ts"
import { loadRun, readRun } from "./runStream.ts"

const given = deciderSpec({ decide, evolve, initialState })

const firing = sampleFiring({ _tag: "WorkloadPreExec", seq: 3, atNanos: 300, argv: ["/bin/serve"] })
const started: RunEvent = {
  _tag: "RunStarted",
  runId: "r",
  pipeline: "p",
  ownerPid: 1,
  policy: null,
  configuration: null,
  target: "/s",
  isValidated: true
}
const booted: RunEvent = { _tag: "MachineBooted", atNanos: 0, engine: "soft", memoryMib: 128, guestStream: null }
const fired: RunEvent = { _tag: "TriggerFired", firing }
const quiesced: RunEvent = { _tag: "GuestQuiesced", atNanos: 301, isWorkloadFrozen: false, verdict: "settled" }
const captured: RunEvent = { _tag: "CaptureCompleted", atNanos: 301, seq: 3, pauseNanos: 5, storedBytes: 6 }
const published: RunEvent = { _tag: "SnapshotPublished", directory: "/s", digest: "d" }
const path: ReadonlyArray<RunEvent> = [started, booted, fired, quiesced, captured, published]

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

  it("the-table-in-the-documentation-is-the-table-in-the-code", () => {
    const text = readFileSync(new URL("./decide.ts", import.meta.url), "utf8")
    const table = text
      .slice(text.indexOf("```text") + 7, text.indexOf("```\n", text.indexOf("```text") + 7))
      .split("\n")
    for (const [name, phases] of Object.entries(acceptedIn)) {
      const row = table.findIndex((line) => line.includes(name))
      assert.notStrictEqual(row, -1, `${name} is missing`)
      const marks = table.slice(0, row + 1).findLast((line) => / x/.test(line)) ?? ""
      const count = (marks.match(/ x/g) ?? []).length
      assert.strictEqual(count, phases.length, name)
    }
  })
})

describe("decisions", () => {
  it("a-published-run-without-validation-is-ready", () => {
    given({ ...started, isValidated: false }, booted, fired, quiesced, captured)
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
  it("a-run-cut-off-before-its-rename-is-failed", () => {
    given(started, booted)
      .when({ _tag: "Recover", findings: { published: null, validation: "absent" } })
      .thenState((state) => assert.strictEqual(state.phase, "failed"))
  })
})

/** The system under test: a run that is written to a journal, and may lose its memory. */
interface System {
  readonly journal: JournalShape
  context: RunContextShape
}
interface Model {
  events: ReadonlyArray<RunEvent>
}

const contextOn = (journal: JournalShape, runId: string) =>
  Effect.runPromise(makeRunContext(runId).pipe(Effect.provideService(Journal, journal)))

class Tell implements fc.AsyncCommand<Model, System> {
  readonly command: RunCommand
  constructor(command: RunCommand) {
    this.command = command
  }
  check = () => true
  async run(model: Model, system: System): Promise<void> {
    const before = foldRun(model.events)
    const outcome = await Effect.runPromise(Effect.result(system.context.tell(this.command)))
    const expected = decide(before, this.command)
    assert.strictEqual(outcome._tag, expected._tag)
    if (Result.isSuccess(expected)) model.events = [...model.events, ...expected.success]
    const stored = await Effect.runPromise(readRun("r").pipe(Effect.provideService(Journal, system.journal)))
    assert.deepStrictEqual(
      stored.map(({ event }) => event),
      model.events
    )
    assert.deepStrictEqual(await Effect.runPromise(system.context.state), foldRun(model.events))
  }
  toString = () => JSON.stringify(this.command)
}

/** The process dies: what is known is what the journal holds. */
class Crash implements fc.AsyncCommand<Model, System> {
  check = () => true
  async run(model: Model, system: System): Promise<void> {
    system.context = await contextOn(system.journal, "r")
    const { state, version } = await Effect.runPromise(
      loadRun("r").pipe(Effect.provideService(Journal, system.journal))
    )
    assert.strictEqual(version, model.events.length)
    assert.deepStrictEqual(state, foldRun(model.events))
  }
  toString = () => "crash"
}

describe("any sequence of commands, with crashes between", () => {
  it.live("the-fold-of-the-journal-is-the-live-state", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.commands([commandArbitrary.map((command) => new Tell(command)), fc.constant(new Crash())], {
            maxCommands: 40
          }),
          async (commands) => {
            const journal = makeMemoryJournal()
            await fc.asyncModelRun(
              async () => ({
                model: { events: [] as ReadonlyArray<RunEvent> },
                real: { journal, context: await contextOn(journal, "r") }
              }),
              commands
            )
          }
        ),
        { numRuns: 400 }
      )
    )
  )

  const histories = fc.array(commandArbitrary, { maxLength: 60 }).map((commands) => {
    let state: RunState = initialState
    const events: Array<RunEvent> = []
    for (const command of commands) {
      const decision = decide(state, command)
      if (Result.isFailure(decision)) continue
      for (const event of decision.success) {
        events.push(event)
        state = evolve(state, event)
      }
    }
    return { events, state }
  })
  const indexOf = (events: ReadonlyArray<RunEvent>, tag: RunEvent["_tag"]) =>
    events.findIndex((event) => event._tag === tag)
  const count = (events: ReadonlyArray<RunEvent>, tag: RunEvent["_tag"]) =>
    events.filter((event) => event._tag === tag).length

  it("at-most-one-capture-and-one-publish-in-their-order-and-never-before-the-trigger", () => {
    fc.assert(
      fc.property(histories, ({ events }) => {
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
      fc.property(histories, ({ events, state }) => {
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
      fc.property(histories, commandArbitraries.Recover, commandArbitrary, ({ state }, recover, anything) => {
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
    const events = histories.map(({ events }) => events)
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
