import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { sampleFiring } from "../testing/kindTrigger.ts"
import { historyArbitrary, sampleOwner } from "../testing/runArbitraries.ts"
import { storyOf } from "./explainRun.ts"
import type { RunEvent } from "./RunEvent.ts"
import { isEnded } from "./RunState.ts"

const firing = sampleFiring({
  _tag: "WorkloadPreExec",
  seq: 3,
  atNanos: 300_000_000,
  argv: ["/bin/serve"],
  holdNanos: 100_000_000
})
const story = (...events: ReadonlyArray<RunEvent>) =>
  storyOf(
    "r",
    events.map((event, index) => ({ atMillis: index * 10, event }))
  )

const ready: ReadonlyArray<RunEvent> = [
  {
    _tag: "RunStarted",
    runId: "r",
    pipeline: "web",
    owner: sampleOwner,
    policy: null,
    configuration: null,
    target: "/s/web",
    isValidated: false
  },
  { _tag: "StageStarted", stage: "boot", attempt: 1 },
  {
    _tag: "MachineBooted",
    atNanos: 0,
    engine: "soft",
    engineChoice: { requested: "auto", reason: "it is a test" },
    memoryMib: 128,
    guestStream: null
  },
  { _tag: "StageFinished", stage: "boot", hostNanos: 5 },
  { _tag: "StageStarted", stage: "watch", attempt: 1 },
  { _tag: "TriggerFired", firing },
  { _tag: "GuestFrozen", atNanos: 300_000_000, isWorkloadFrozen: false, verdict: "not-asked" },
  { _tag: "CaptureCompleted", atNanos: 300_000_000, seq: 3, pauseNanos: 80_000, storedBytes: 42 },
  { _tag: "SnapshotPublished", directory: "/s/web", digest: "ab".repeat(32) },
  { _tag: "RunReady", directory: "/s/web" }
]

describe("explain", () => {
  it("tells-why-and-when-from-the-journal-alone", () => {
    const { firing: told, text } = story(...ready)
    assert.deepStrictEqual(text.split("\n"), [
      "Pipeline web began; its snapshot goes to /s/web.",
      "A machine with 128 MiB was made, on engine soft (auto: it is a test).",
      "on WorkloadPreExec decided at 300 ms of guest time: it had waited for the first WorkloadPreExec since 0 ns.",
      "The cause was event 3, WorkloadPreExec: /bin/serve.",
      "The guest stopped at that very instruction.",
      "The guest stood at 300 ms of guest time; its workload did not have to be frozen.",
      "It was captured at 300 ms of guest time, after event 3, with a pause of 80 µs; 42 bytes were stored.",
      "The snapshot was published to /s/web, digest abababababab.",
      "It is ready at /s/web."
    ])
    assert.strictEqual(told, firing)
  })

  it("gives-a-picture-its-data", () => {
    const { timeline } = story(...ready)
    assert.deepStrictEqual(
      timeline.phases.map(({ phase }) => phase),
      ["booting", "watching", "freezing", "capturing", "publishing", "validating", "ready"]
    )
    assert.deepStrictEqual(timeline.stages[0], {
      stage: "boot",
      attempts: 1,
      fromMillis: 10,
      toMillis: 30,
      outcome: "finished"
    })
    assert.deepStrictEqual(
      timeline.guest.map(({ what }) => what),
      ["booted", "fired", "frozen", "captured"]
    )
  })

  it("has-a-story-for-every-history-whose-spans-join-without-gaps", () => {
    fc.assert(
      fc.property(historyArbitrary, ({ events, state }) => {
        const told = story(...events)
        assert.deepStrictEqual(told.state, state)
        const { phases } = told.timeline
        for (const [index, span] of phases.entries())
          assert.strictEqual(span.toMillis, phases[index + 1]?.fromMillis ?? null)
        if (events.length > 0) assert.strictEqual(phases.at(-1)?.phase, state.phase)
        if (isEnded(state))
          assert.notInclude(
            told.timeline.stages.map(({ outcome }) => outcome),
            "running"
          )
      }),
      { numRuns: 2_000 }
    )
  })
})
