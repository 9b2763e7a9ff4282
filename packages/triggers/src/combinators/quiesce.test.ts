import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import {
  afterGuestTime,
  allOf,
  andThen,
  busyForLongerThan,
  customHappens,
  debounce,
  eventHappens,
  filter,
  firstOf,
  mapCause,
  named,
  onEvent,
  onListener,
  onPreExec,
  type Policy,
  PolicyError,
  precedence,
  quiesce,
  type QuiesceOptions,
  repeat,
  Trigger,
  within
} from "../index.ts"
import { defaultRuns, longestLawMillis, duration, givenPolicy, timelineOf } from "../testing/index.ts"
import { quiesceOptions } from "../testing/policies.ts"
import { reactedTimeline } from "../testing/reactiveGuests.ts"
import { type Decision, summary } from "../testing/TriggerLaw.ts"

const millis = (count: number): number => count * 1e6
const listener = { _tag: "ListenerBound", protocol: "tcp", address: "::", port: 80 } as const
const idle = [0, { _tag: "GuestIdle" }] as const

const problemsOf = (build: () => unknown): ReadonlyArray<string> => {
  try {
    build()
    return []
  } catch (cause) {
    if (!(cause instanceof PolicyError)) throw cause
    return cause.problems.map(({ path }) => path.join("."))
  }
}

describe("the hold of pre-exec", () => {
  /** Whatever passes a pre-exec's firing on at once passes its hold on, too. */
  const around: ReadonlyArray<(policy: Policy) => Policy> = [
    (policy) => policy,
    (policy) => named(policy, "ready"),
    (policy) => within(policy, "5 seconds"),
    (policy) => firstOf([onListener(), policy]),
    (policy) => precedence([policy, onListener()]),
    (policy) => filter(policy, "any", () => true),
    (policy) => mapCause(policy, "same", (cause) => cause),
    (policy) => repeat(policy),
    (policy) => debounce(policy, 0),
    (policy) => quiesce(policy, { calmFor: 0 })
  ]

  it(
    "a-calm-that-does-not-fit-into-it-ends-the-policy-by-name",
    () => {
      const at = millis(10)
      fc.assert(
        fc.property(fc.constantFrom(...around), duration, duration, (wrap, hold, calmFor) => {
          const outcome = (holdNanos: number | null) =>
            Trigger.replay(
              quiesce(wrap(onPreExec()), { calmFor, deadline: "none" }),
              timelineOf(
                [
                  [0, { _tag: "GuestIdle" }],
                  [at, { _tag: "WorkloadPreExec", argv: [], holdNanos }]
                ],
                { atNanos: at, reason: "idle" }
              )
            )
          const found = outcome(Number(hold))
          const isTooShort = hold > 0n && calmFor > 0n && calmFor >= hold
          if (isTooShort) {
            assert.deepInclude(Result.isFailure(found) ? found.failure.reason : {}, {
              _tag: "HoldTooShort",
              holdNanos: Number(hold)
            })
          } else assert.notStrictEqual(Result.isFailure(found) ? found.failure.reason._tag : "fired", "HoldTooShort")
          assert.strictEqual(Result.getOrThrow(outcome(null)).atNanos, at + Number(calmFor))
        }),
        { numRuns: defaultRuns() }
      )
    },
    longestLawMillis()
  )

  describe("that the console assumes", () => {
    const marker = { _tag: "SerialLine", port: 0, text: "workload-pre-exec" } as const
    const announced = { _tag: "WorkloadPreExec", argv: ["serve"], holdNanos: millis(100) } as const
    const trusting = onPreExec({ console: true, consoleHold: "500 millis" })
    const calm = (millisOfCalm: number) =>
      givenPolicy(quiesce(trusting, { calmFor: `${millisOfCalm} millis`, deadline: "450 millis" }))

    it("is-what-the-agent-says-where-that-one-follows", () => {
      const late = calm(300).when([idle, [millis(5), marker], [millis(6), announced]], millis(900))
      assert.deepInclude(late.thenDoesNotFire("HoldTooShort"), { holdNanos: millis(100), atNanos: millis(6) })
      const inTime = calm(50).when([idle, [millis(5), marker], [millis(6), announced]], millis(900))
      const firing = inTime.thenFires({ atNanos: millis(56) })
      assert.strictEqual(firing.cause._tag === "Event" ? firing.cause.event._tag : null, "WorkloadPreExec")
      assert.strictEqual(firing.quiesce?.triggeredAtNanos, millis(6))
    })

    it("is-what-the-agent-says-also-where-silence-is-waited-for-and-the-trigger-does-not-listen", () => {
      const armedByLine = andThen(onEvent("SerialLine"), trusting)
      const policy = quiesce(debounce(armedByLine, "5 millis"), { calmFor: "300 millis", deadline: "450 millis" })
      const lines = [idle, [millis(1), { ...marker, text: "loading" }] as const, [millis(5), marker] as const]
      const reason = givenPolicy(policy)
        .when([...lines, [millis(6), announced]], millis(900))
        .thenDoesNotFire("HoldTooShort")
      assert.deepInclude(reason, { holdNanos: millis(95), atNanos: millis(11) })
    })

    it("counts-where-nobody-knows-better", () => {
      calm(300)
        .when([idle, [millis(5), marker]], millis(900))
        .thenFires({ atNanos: millis(305) })
    })
  })

  it("its-end-is-the-deadline", () => {
    const policy = quiesce(onPreExec(), { calmFor: "20 millis", onDeadline: "capture", deadline: "5 seconds" })
    const firing = givenPolicy(policy)
      .when([[millis(10), { _tag: "WorkloadPreExec", argv: [], holdNanos: 1e8 }]], millis(500))
      .thenFires({ atNanos: millis(110) - 1 })
    assert.strictEqual(firing.quiesce?.verdict, "deadline")
  })
})

describe("a quiesce", () => {
  it("that-leaves-no-room-is-refused", () => {
    const options: QuiesceOptions = { calmFor: "200 millis", deadline: "100 millis" }
    assert.deepStrictEqual(
      problemsOf(() => quiesce(onPreExec(), options)),
      ["quiesce.deadline"]
    )
  })

  it("counts-calm-from-the-freezing-of-the-workload-and-not-through-a-thaw", () => {
    const frozen = givenPolicy(
      quiesce(onListener(), { calmFor: "10 millis", onDeadline: "capture", deadline: "1 second" })
    )
    const token = 1
    const firing = frozen
      .when([idle, [millis(5), listener], [millis(30), { _tag: "AgentFrozen", token }]], millis(100))
      .thenFires({ atNanos: millis(40) })
    assert.deepInclude(firing.quiesce, { verdict: "settled", agent: "frozen", waitedNanos: millis(35) })
    frozen
      .when(
        [
          idle,
          [millis(5), listener],
          [millis(30), { _tag: "AgentFrozen", token }],
          [millis(35), { _tag: "AgentThawed", token }],
          [millis(50), { _tag: "AgentFrozen", token }]
        ],
        millis(100)
      )
      .thenFires({ atNanos: millis(60) })
  })

  it("without-an-answer-of-the-agent-ends-at-the-deadline-and-with-a-refusal-at-once", () => {
    const asks = (onDeadline: "capture" | "abandon" | "fail") =>
      givenPolicy(quiesce(onListener(), { calmFor: "10 millis", onDeadline, deadline: "50 millis" }))
    const silent = [idle, [millis(5), listener]] as const
    const refused = [
      ...silent,
      [millis(20), { _tag: "AgentRejected", request: "Freeze", id: 1, reason: "FreezeFailed", message: "busy" }]
    ] as const
    const late = asks("capture")
      .when(silent, millis(500))
      .thenFires({ atNanos: millis(55) })
    assert.deepInclude(late.quiesce, { verdict: "deadline", agent: "no-answer" })
    const early = asks("capture")
      .when(refused, millis(500))
      .thenFires({ atNanos: millis(20) })
    assert.deepInclude(early.quiesce, { verdict: "deadline", agent: "refused" })
    for (const moments of [silent, refused]) {
      asks("abandon").when(moments, millis(500)).thenDoesNotFire("Abandoned")
      asks("fail").when(moments, millis(500)).thenDoesNotFire("QuiesceFailed")
    }
  })

  it("is-disturbed-by-what-it-was-told-to-be-and-nothing-else", () => {
    const options = { calmFor: "10 millis", agent: "none", deadline: "none" } as const
    const noise = [
      idle,
      [millis(5), listener],
      [millis(10), { _tag: "SerialLine", port: 0, text: "hello" }],
      [millis(12), { _tag: "Custom", name: "flushed", payload: 1 }]
    ] as const
    const at = (activity: QuiesceOptions["activity"]) =>
      givenPolicy(quiesce(onListener(), { ...options, ...(activity === undefined ? {} : { activity }) }))
        .when(noise, millis(100))
        .thenFires({})
    assert.strictEqual(at([]).atNanos, millis(15))
    assert.strictEqual(at(undefined).atNanos, millis(15))
    assert.strictEqual(at([eventHappens("SerialLine")]).atNanos, millis(20))
    const flushed = at([customHappens("flushed")])
    assert.strictEqual(flushed.atNanos, millis(22))
    assert.deepStrictEqual(flushed.quiesce?.lastActivity, { kind: "Custom flushed", atNanos: millis(12) })
  })

  it("does-not-settle-on-a-listener-that-is-gone", () => {
    const closed = { _tag: "ListenerClosed", protocol: "tcp", address: "::", port: 80 } as const
    const options = { calmFor: "1 second", agent: "none", activity: [], deadline: "none" } as const
    // A server for the start-up listens for half a second, and the real one comes three seconds later.
    const moments = [idle, [millis(1000), listener], [millis(1500), closed], [millis(4500), listener]] as const
    givenPolicy(quiesce(onListener(), options))
      .when(moments, millis(10_000))
      .thenFires({ atNanos: millis(5500) })
    const fallback = precedence([onListener(), afterGuestTime("2 seconds")])
    givenPolicy(quiesce(fallback, options))
      .when(moments, millis(10_000))
      .thenFires({ atNanos: millis(4500), trigger: "afterGuestTime(2 s)" })
    const other = { ...listener, port: 443 } as const
    const both = [idle, [millis(1000), listener], [millis(1100), other], [millis(1500), closed]] as const
    givenPolicy(quiesce(onListener(), options)).when(both, millis(10_000)).thenDoesNotFire("GuestEnded")
    givenPolicy(quiesce(onListener({ counts: "listening" }), options))
      .when(both, millis(10_000))
      .thenFires({ atNanos: millis(2000) })
  })

  it("is-the-edge-of-a-listener-or-its-level", () => {
    const moments = [
      idle,
      [millis(10), listener],
      [millis(20), { _tag: "AgentReady", protocolVersion: 1, kernelRelease: "6" }]
    ] as const
    const after = (counts: "bound" | "listening") =>
      givenPolicy(andThen(onEvent("AgentReady"), onListener({ counts }))).when(moments, millis(50))
    after("bound").thenDoesNotFire("GuestEnded")
    after("listening").thenFires({ atNanos: millis(20), trigger: "onListener" })
  })

  it("overlooks-work-of-less-than-the-tolerance-and-not-of-exactly-that", () => {
    const calm = quiesce(onListener(), {
      calmFor: "10 millis",
      agent: "none",
      activity: [busyForLongerThan("2 millis")]
    })
    const working = (nanos: number) =>
      givenPolicy(calm).when(
        [idle, [millis(5), listener], [millis(8), { _tag: "GuestBusy" }], [millis(8) + nanos, { _tag: "GuestIdle" }]],
        millis(100)
      )
    working(millis(2) - 1).thenFires({ atNanos: millis(15) })
    working(millis(2)).thenFires({ atNanos: millis(20) })
    working(millis(2) + 1).thenFires({ atNanos: millis(20) + 1 })
  })

  it("that-was-thawed-between-a-full-calm-and-the-end-of-short-work-does-not-settle", () => {
    const token = 1
    givenPolicy(quiesce(onListener(), { calmFor: "10 millis", deadline: "1 second" }))
      .when(
        [
          idle,
          [millis(5), listener],
          [millis(6), { _tag: "AgentFrozen", token }],
          [millis(15), { _tag: "GuestBusy" }],
          [millis(16.5), { _tag: "AgentThawed", token }],
          [millis(16.9), { _tag: "GuestIdle" }],
          [millis(20), { _tag: "AgentFrozen", token }]
        ],
        millis(100)
      )
      .thenFires({ atNanos: millis(30) })
  })

  it("gives-its-freeze-back-where-what-stands-around-it-goes-on-and-keeps-it-for-a-capture", () => {
    const calm = quiesce(onListener(), { calmFor: 0, agent: "ask" })
    const moments = [idle, [1, listener], [2, { _tag: "AgentFrozen", token: 1 }], [3, { _tag: "GuestIdle" }]] as const
    /** The requests at each event. */
    const asked = (policy: Policy): ReadonlyArray<ReadonlyArray<string>> => {
      let { state } = policy.start(0)
      return timelineOf(moments).events.map((event) => {
        const step = policy.step(state, { _tag: "Event", event })
        state = step.state
        return step.commands.map(({ _tag }) => _tag)
      })
    }
    const given = [[], ["RequestQuiesce"], ["RequestThaw"], []]
    assert.deepStrictEqual(asked(andThen(calm, onEvent("HeartbeatTick"))), given)
    assert.deepStrictEqual(asked(allOf([calm, onEvent("HeartbeatTick")])), given)
    assert.deepStrictEqual(asked(debounce(calm, "1 second")), given)
    assert.deepStrictEqual(asked(filter(calm, "no", () => false)), given)
    // The capture comes in between; then the next is waited for.
    assert.deepStrictEqual(asked(repeat(calm)), [[], ["RequestQuiesce"], [], ["RequestThaw"]])
    assert.deepStrictEqual(asked(calm), [[], ["RequestQuiesce"], [], []])
  })

  describe("that one wait for calm gives up, and another takes on at the same input", () => {
    const both = (nanos: bigint, inner: QuiesceOptions, outer: QuiesceOptions): Policy =>
      quiesce(quiesce(afterGuestTime(nanos), { ...inner, agent: "ask" }), { ...outer, agent: "ask" })

    it("stays-as-it-is", () => {
      // The answer that the first has waited for in vain is the second's.
      const handed = both(1_000_000n, { calmFor: 0, deadline: "1 millis", onDeadline: "capture" }, { calmFor: 0 })
      for (const policy of [handed, firstOf([handed, handed])]) {
        givenPolicy(policy)
          .when([idle, [millis(5), { _tag: "AgentFrozen", token: 1 }]], millis(10))
          .thenFires({ atNanos: millis(5) })
        let { commands, state } = policy.start(0)
        const asked: Array<string> = commands.map(({ _tag }) => _tag)
        for (const atNanos of [millis(1), millis(2)]) {
          ;({ commands, state } = policy.step(state, { _tag: "Time", atNanos }))
          asked.push(...commands.map(({ _tag }) => _tag))
        }
        assert.deepStrictEqual(asked, ["RequestQuiesce"])
      }
    })

    it("is-asked-for-again-where-it-was-refused", () => {
      const refused = both(1_000_000n, { calmFor: 0, onDeadline: "capture" }, { calmFor: 0, deadline: "1 second" })
      const rejected = {
        _tag: "AgentRejected",
        request: "Freeze",
        id: 1,
        reason: "FreezeFailed",
        message: ""
      } as const
      givenPolicy(refused)
        .when([idle, [millis(2), rejected], [millis(3), { _tag: "AgentFrozen", token: 2 }]], millis(10))
        .thenFires({ atNanos: millis(3) })
    })

    it(
      "is-as-if-it-were-one-however-many-wait-beside-it",
      () => {
        fc.assert(
          fc.property(duration, quiesceOptions, quiesceOptions, reactedTimeline, (nanos, inner, outer, line) => {
            const one = both(nanos, inner, outer)
            const [alone, beside] = [one, firstOf([one, one])].map((policy) => Trigger.replay(policy, line))
            assert.deepStrictEqual(summary(beside as Decision), summary(alone as Decision))
          }),
          { numRuns: defaultRuns() }
        )
      },
      longestLawMillis()
    )
  })
})
