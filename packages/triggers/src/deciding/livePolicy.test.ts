import { assert, it } from "@effect/vitest"
import {
  activityAfter,
  freeRunningTimeline,
  GuestTimeline,
  lockstepTimeline,
  noActivity,
  replayMachine
} from "@stillpoint/core"
import { Clock, Deferred, Duration, Effect, Fiber, Result, Schema, Stream } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import {
  afterGuestTime,
  andThen,
  atLatest,
  connectionsOpen,
  debounce,
  defineTrigger,
  filter,
  firstOf,
  fromEffect,
  never,
  onEvent,
  onIdle,
  onListener,
  onPreExec,
  type Policy,
  quiesce,
  repeat,
  Trigger
} from "../index.ts"
import {
  asRecording,
  builtin,
  decideLive,
  decisionJson,
  defaultRuns,
  duration,
  longestLawMillis,
  policy,
  timeline,
  timelineOf
} from "../testing/index.ts"

const millis = (count: number): number => count * 1e6
const preExec = { _tag: "WorkloadPreExec", argv: ["serve"], holdNanos: 1e8 } as const
const listener = { _tag: "ListenerBound", protocol: "tcp", address: "::", port: 80 } as const
const beat = (count: number) => ({ _tag: "HeartbeatTick", count }) as const
const boot = timelineOf(
  [
    [millis(10), preExec],
    [millis(110), listener],
    ...[1, 2, 3, 4].map((count) => [millis(50 * count), beat(count)] as const)
  ],
  { atNanos: millis(300), reason: "time" }
)

/** How a replay ends that brings no firing. */
const replayedTag = (policy: Policy, line: Parameters<typeof Trigger.replay>[1]): string => {
  const decision = Trigger.replay(policy, line)
  return Result.isFailure(decision) ? decision.failure.reason._tag : "fired"
}

const onMachine = <A, E>(use: Effect.Effect<A, E, GuestTimeline>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const machine = yield* replayMachine(asRecording(boot))
      const timeline = yield* lockstepTimeline(machine)
      return { machine, result: yield* Effect.result(use.pipe(Effect.provideService(GuestTimeline, timeline))) }
    })
  )

describe("a policy on a guest's timeline and clock", () => {
  it.live("the-guest-stands-at-the-instant-of-the-cause", () =>
    Effect.gen(function* () {
      const { machine, result } = yield* onMachine(Trigger.await(onPreExec()))
      const firing = Result.getOrThrow(result)
      assert.strictEqual(firing.slippageNanos, 0)
      assert.strictEqual(yield* machine.nowNanos, firing.atNanos)
    })
  )

  it.live("free-running-it-fires-on-the-same-cause-and-how-far-the-guest-went-on-is-recorded", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* replayMachine(asRecording(boot))
        const timeline = yield* freeRunningTimeline(machine)
        const firing = yield* Trigger.await(onListener()).pipe(Effect.provideService(GuestTimeline, timeline))
        assert.deepInclude(firing.cause, { _tag: "Event" })
        assert.strictEqual(firing.atNanos, millis(110))
        assert.strictEqual(firing.slippageNanos, (yield* machine.nowNanos) - firing.atNanos)
      })
    )
  )

  it.live("a-sleep-of-any-duration-ends-at-its-nanosecond", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.bigInt({ min: 1n, max: 299_999_999n }),
          fc.constantFrom<(nanos: bigint) => Duration.Input>(
            (nanos) => Duration.nanos(nanos),
            (nanos) => Number(nanos) / 1e6,
            (nanos) => ({ nanoseconds: Number(nanos) })
          ),
          async (nanos, of) => {
            const wanted = Duration.toNanosUnsafe(Duration.fromInputUnsafe(of(nanos)))
            const { decision } = await Effect.runPromise(decideLive(fromEffect("nap", Effect.sleep(of(nanos))), boot))
            assert.strictEqual(BigInt(Result.getOrThrow(decision).atNanos), wanted)
            assert.strictEqual(wanted, nanos)
          }
        ),
        { numRuns: Math.ceil(defaultRuns() / 5) }
      )
    )
  )

  it.live("sleeping-in-a-probe-is-guest-time-to-the-nanosecond", () =>
    Effect.gen(function* () {
      const seen: Array<bigint> = []
      const look = Effect.map(Clock.currentTimeNanos, (now) => void seen.push(now))
      const probe = look.pipe(
        Effect.andThen(Effect.sleep("25 millis")),
        Effect.andThen(look),
        Effect.andThen(Effect.sleep("25 millis"))
      )
      const policy = andThen(onPreExec(), fromEffect("settle", probe))
      const { decision, signals } = yield* decideLive(policy, boot)
      const firing = Result.getOrThrow(decision)
      assert.strictEqual(firing.atNanos, millis(60))
      assert.deepStrictEqual(seen, [10_000_000n, 35_000_000n])
      assert.deepStrictEqual(decisionJson(Trigger.replay(policy, { ...boot, signals })), decisionJson(decision))
    })
  )

  it.live("a-probe-that-succeeds-at-once-fires-before-the-guest-goes-on", () =>
    Effect.gen(function* () {
      const { decision } = yield* decideLive(fromEffect("at-once", Effect.succeed(1)), boot)
      assert.strictEqual(Result.getOrThrow(decision).atNanos, 0)
    })
  )

  it.live("a-probe-that-fails-is-out-of-the-running-and-its-account-says-why", () =>
    Effect.gen(function* () {
      const probe = fromEffect("http", Effect.fail("refused"))
      const { decision, signals } = yield* decideLive(firstOf([probe, onListener()]), boot)
      const firing = Result.getOrThrow(decision)
      assert.strictEqual(firing.trigger, "onListener")
      assert.deepInclude(firing.losers[0], { status: "failed", progress: "refused" })
      assert.strictEqual(signals[0]?.outcome, "failed")
      const alone = yield* decideLive(probe, boot)
      assert.strictEqual(Result.isFailure(alone.decision) ? alone.decision.failure.reason._tag : "", "NothingArmed")
      const strict = yield* decideLive(fromEffect("http", Effect.fail("refused"), { onFailure: "fail" }), boot)
      assert.strictEqual(Result.isFailure(strict.decision) ? strict.decision.failure.reason._tag : "", "ProbeFailed")
    })
  )

  it.live("a-probe-is-interrupted-when-another-trigger-wins-or-the-guest-ends", () =>
    Effect.gen(function* () {
      for (const other of [onListener(), never]) {
        const interrupted = yield* Deferred.make<void>()
        const probe = Effect.sleep("10 seconds").pipe(
          Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
        )
        yield* decideLive(firstOf([fromEffect("slow", probe), other]), boot)
        yield* Deferred.await(interrupted)
      }
    })
  )

  it.live("interruption-of-a-policy-stops-its-probes", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const probe = Deferred.succeed(started, undefined).pipe(
        Effect.andThen(Effect.never),
        Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
      )
      const idle = timelineOf([[0, { _tag: "GuestIdle" }]], { atNanos: 1, reason: "idle" })
      const fiber = yield* Effect.forkChild(decideLive(fromEffect("outside", probe), idle))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(interrupted)
    })
  )

  it.live("the-end-of-the-guest-is-a-typed-error-that-says-how-far-it-had-got", () =>
    Effect.gen(function* () {
      const { decision } = yield* decideLive(afterGuestTime("7 seconds"), boot)
      if (Result.isSuccess(decision)) return assert.fail("fired")
      assert.strictEqual(decision.failure.reason._tag, "GuestEnded")
      assert.include(decision.failure.message, "300 ms of 7 s had passed")
      const fault = timelineOf([[5, { _tag: "EngineFault", message: "bad opcode" }]], { atNanos: 5, reason: "fault" })
      const faulted = yield* decideLive(onPreExec(), fault)
      assert.strictEqual(
        Result.isFailure(faulted.decision) ? faulted.decision.failure.reason._tag : "",
        "EngineFaulted"
      )
    })
  )

  it.live("a-repeating-policy-gives-each-firing-and-the-guest-goes-on-when-the-next-is-pulled", () =>
    Effect.gen(function* () {
      const { machine, result } = yield* onMachine(
        Trigger.firings(repeat(onEvent("HeartbeatTick"))).pipe(Stream.take(3), Stream.runCollect)
      )
      const firings = Result.getOrThrow(result)
      assert.deepStrictEqual(
        firings.map(({ atNanos, index }) => [atNanos, index]),
        [
          [millis(50), 0],
          [millis(100), 1],
          [millis(150), 2]
        ]
      )
      assert.strictEqual(yield* machine.nowNanos, millis(150))
    })
  )

  it.live("a-quiesce-asks-the-agent-and-thaws-what-it-abandons", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      yield* Effect.scoped(
        Effect.gen(function* () {
          const timeline = yield* lockstepTimeline(yield* replayMachine(asRecording(boot)))
          const policy = quiesce(onListener(), { calmFor: "5 millis", deadline: "50 millis", onDeadline: "abandon" })
          const failure = yield* Effect.flip(
            Trigger.await(policy).pipe(
              Effect.provideService(GuestTimeline, {
                ...timeline,
                requestFreeze: Effect.sync(() => void asked.push("quiesce")),
                requestThaw: Effect.sync(() => void asked.push("thaw"))
              })
            )
          )
          assert.strictEqual(failure.reason && "_tag" in failure.reason ? failure.reason._tag : "", "Abandoned")
        })
      )
      assert.deepStrictEqual(asked, ["quiesce", "thaw"])
    })
  )

  it.live("that-is-armed-midway-knows-in-what-condition-it-finds-the-guest", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const line = timelineOf(
          [
            [millis(1), { _tag: "GuestIdle" }],
            [millis(2), { _tag: "IoStarted", device: "disk" }],
            [millis(3), { _tag: "IoStarted", device: "entropy" }],
            [millis(4), { _tag: "IoSettled", device: "entropy" }],
            [millis(10), listener],
            [millis(20), listener],
            [millis(30), { _tag: "IoSettled", device: "disk" }]
          ],
          { atNanos: millis(300), reason: "time" }
        )
        const timeline = yield* lockstepTimeline(yield* replayMachine(asRecording(line)))
        const live = (policy: Policy) => Trigger.await(policy).pipe(Effect.provideService(GuestTimeline, timeline))
        assert.strictEqual((yield* live(onListener())).atNanos, millis(10))
        // The hart has rested since before, and one device has a request in flight that the other's end says nothing about.
        const calm = quiesce(onListener(), { calmFor: "5 millis", agent: "none" })
        const second = yield* live(calm)
        assert.strictEqual(second.atNanos, millis(35))
        const replayed = Trigger.replay(calm, line, { originNanos: millis(11) })
        assert.strictEqual(Result.getOrThrow(replayed).atNanos, millis(35))
        assert.strictEqual((yield* live(onIdle("5 millis"))).atNanos, millis(40))
      })
    )
  )

  it.effect("that-is-armed-where-a-machine-was-restored-decides-as-one-that-has-seen-all-of-the-guest", () =>
    Effect.promise(async () => {
      const seen = { idle: 0, inFlight: 0, listening: 0, onOneOfBefore: 0, clientsOfBefore: 0, fired: 0 }
      const level = onListener({ counts: "listening" })
      const levels = fc.constantFrom(level, quiesce(level, { calmFor: "5 millis", agent: "none" }))
      const untilClientsHaveGone = quiesce(afterGuestTime(0), {
        calmFor: "5 millis",
        agent: "none",
        deadline: "none",
        activity: [connectionsOpen]
      })
      const bound = { _tag: "ListenerBound", atNanos: 0, protocol: "tcp", address: "::", port: 80 } as const
      const opened = {
        _tag: "ConnectionOpened",
        atNanos: 0,
        direction: "inward",
        guestPort: 80,
        peerAddress: "10.0.2.2",
        peerPort: 10_001,
        open: 1
      } as const
      const working = { _tag: "IoStarted", atNanos: 0, device: "disk" } as const
      /** That has been so since before anything else. */
      const since = (...begun: ReadonlyArray<typeof bound | typeof opened | typeof working>) =>
        timeline.map((whole): Trigger.ReplayedTimeline => ({
          ...whole,
          events: [...begun, ...whole.events].map((event, seq) => ({ ...event, seq }))
        }))
      const guests = fc.oneof(
        { weight: 1, arbitrary: timeline },
        { weight: 2, arbitrary: since(bound, opened) },
        { weight: 1, arbitrary: since(working) }
      )
      const policies = fc.oneof(
        { weight: 2, arbitrary: policy() },
        { weight: 2, arbitrary: levels },
        { weight: 2, arbitrary: fc.constant(untilClientsHaveGone) }
      )
      await fc.assert(
        fc.asyncProperty(policies, guests, fc.nat(), async (one, whole, place) => {
          const { events } = whole
          const at = events[place % Math.max(1, events.length)]?.atNanos ?? 0
          const before = events.filter(({ atNanos }) => atNanos < at)
          const beginning = { ...activityAfter(noActivity, before), atNanos: at }
          const rest: Trigger.ReplayedTimeline = {
            ...whole,
            events: events.slice(before.length),
            header: { beginning }
          }
          const expected = decisionJson(Trigger.replay(one, whole, { originNanos: at }))
          assert.deepEqual(decisionJson(Trigger.replay(one, rest)), expected)
          const { decision, signals } = await Effect.runPromise(decideLive(one, rest))
          assert.deepEqual(decisionJson(decision), decisionJson(Trigger.replay(one, { ...rest, signals })))
          if (beginning.isIdle) seen.idle += 1
          if (beginning.devicesInFlight.length > 0) seen.inFlight += 1
          if (beginning.openListeners.length > 0) seen.listening += 1
          if (beginning.connectionsOpen > 0 && one === untilClientsHaveGone) seen.clientsOfBefore += 1
          if (Result.isSuccess(decision)) {
            seen.fired += 1
            const { cause } = decision.success
            const isOneOfBefore = ({ seq }: { readonly seq: number }) =>
              beginning.openListeners.some((listener) => listener.seq === seq)
            if (cause._tag === "Event" && isOneOfBefore(cause.event)) seen.onOneOfBefore += 1
          }
        }),
        { numRuns: 500 }
      )
      for (const count of Object.values(seen)) assert.isAbove(count, 5)
    })
  )

  it.live("a-probe-that-starts-itself-again-and-again-does-not-keep-the-guest-from-going-on", () =>
    Effect.gen(function* () {
      for (const probe of [Effect.void, Effect.sleep(0), Effect.sleep(Duration.nanos(1n))]) {
        const policy = firstOf([filter(fromEffect("at-once", probe), "no", () => false), onListener()])
        const { decision, signals } = yield* decideLive(policy, boot)
        const firing = Result.getOrThrow(decision)
        assert.deepInclude(firing, { trigger: "onListener", atNanos: millis(110) })
        assert.deepStrictEqual(decisionJson(Trigger.replay(policy, { ...boot, signals })), decisionJson(decision))
      }
    })
  )

  it.live("a-probe-that-never-ends-at-one-instant-does-not-either", () =>
    Effect.gen(function* () {
      for (const nap of [Effect.sleep(0), Effect.sleep(Duration.nanos(1n)), Effect.yieldNow]) {
        const spinning = fromEffect("spins", Effect.forever(nap))
        const { decision } = yield* decideLive(firstOf([spinning, onListener()]), boot)
        assert.strictEqual(Result.getOrThrow(decision).atNanos, millis(110))
        const alone = yield* decideLive(spinning, boot)
        assert.strictEqual(Result.isFailure(alone.decision) ? alone.decision.failure.reason._tag : "", "GuestEnded")
      }
    })
  )

  const resting = timelineOf([[millis(1), { _tag: "GuestIdle" }]], { atNanos: millis(2), reason: "idle" })
  const silent = timelineOf([[millis(1), { _tag: "GuestIdle" }]], { atNanos: millis(30_000), reason: "time" })

  it.live("a-probe-that-starts-again-and-again-at-a-guest-that-rests-for-ever-ends-with-it", () =>
    Effect.gen(function* () {
      const again = (probe: Effect.Effect<unknown>) => filter(fromEffect("again", probe), "no", () => false)
      const forEver = (nap: Effect.Effect<unknown>) => fromEffect("for ever", Effect.forever(nap))
      for (const policy of [
        again(Effect.void),
        again(Effect.sleep("1 second")),
        again(Effect.sleep(Duration.nanos(1n))),
        forEver(Effect.sleep("1 second")),
        forEver(Effect.sleep(0)),
        forEver(Effect.yieldNow),
        fromEffect("late", Effect.sleep("9000 days")),
        fromEffect("never", Effect.sleep("Infinity")),
        firstOf([again(Effect.sleep("10 millis")), filter(afterGuestTime("10 millis"), "no", () => false)])
      ]) {
        const { decision, signals } = yield* decideLive(policy, resting)
        assert.deepInclude(Result.isFailure(decision) ? decision.failure.reason : {}, {
          _tag: "GuestEnded",
          how: "idle"
        })
        assert.strictEqual(replayedTag(policy, { ...resting, signals }), "GuestEnded")
      }
      // Once its probes are over, its timers still decide, and the firings that they caused.
      const calm = debounce(fromEffect("again", Effect.sleep("10 millis")), "50 millis")
      assert.strictEqual(Result.getOrThrow((yield* decideLive(calm, resting)).decision).trigger, "fromEffect(again)")
      const late = firstOf([again(Effect.sleep("10 millis")), afterGuestTime("1 hour")])
      const { decision } = yield* decideLive(late, resting)
      assert.deepInclude(Result.getOrThrow(decision), { trigger: "afterGuestTime(3600 s)", atNanos: millis(3_600_000) })
    })
  )

  it.live("a-probe-may-poll-a-silent-guest-for-as-long-as-it-likes", () =>
    Effect.gen(function* () {
      for (const polls of [1000, 1999]) {
        const polling = fromEffect("polls", Effect.repeat(Effect.sleep("10 millis"), { times: polls - 1 }))
        const { decision } = yield* decideLive(polling, silent)
        assert.strictEqual(Result.getOrThrow(decision).atNanos, millis(10 * polls))
      }
    })
  )

  it.live("that-polls-by-itself-through-a-long-silence-decides-live-as-in-a-replay", () =>
    Effect.gen(function* () {
      const polls = (count: number) =>
        defineTrigger({
          name: "acme/polls",
          config: Schema.Struct({ count: Schema.Natural }),
          interest: () => [],
          waitedFor: ({ count }) => `${count} polls`,
          start: (_, atNanos) => ({ state: 0, wakeAtNanos: atNanos + millis(10) }),
          step: (seen, input, { count: last }) =>
            seen + 1 === last || input._tag !== "Time"
              ? { state: seen, fires: true }
              : { state: seen + 1, wakeAtNanos: input.atNanos + millis(10) }
        })({ count })
      // Silent and alive, and at rest for ever: for longer than a probe may poll.
      for (const line of [silent, resting]) {
        const { decision } = yield* decideLive(polls(2500), line)
        assert.strictEqual(Result.getOrThrow(decision).atNanos, millis(25_000))
        assert.deepStrictEqual(decisionJson(Trigger.replay(polls(2500), line)), decisionJson(decision))
      }
    })
  )

  it.live("debounced-around-a-probe-that-is-stopped-decides-live-what-its-record-replays", () =>
    Effect.gen(function* () {
      for (const [nap, wait] of [
        ["100 millis", "1 second"],
        ["2 seconds", "1 second"]
      ] as const) {
        const policy = debounce(fromEffect("again", Effect.sleep(nap)), wait)
        const { decision, signals } = yield* decideLive(policy, resting)
        assert.isAbove(signals.length, 0)
        assert.deepStrictEqual(decisionJson(Trigger.replay(policy, { ...resting, signals })), decisionJson(decision))
        // Between what it debounced and its firing is exactly what was asked for.
        const last = signals.at(-1)?.atNanos ?? 0
        if (Result.isSuccess(decision)) {
          assert.strictEqual(decision.success.atNanos - last, Duration.toMillis(wait) * 1e6)
        }
      }
    })
  )

  it.live("that-wakes-itself-every-nanosecond-decides-as-soon-as-any-live-and-in-a-replay", () =>
    Effect.gen(function* () {
      for (const inner of [never, onIdle("1 second"), onListener(), afterGuestTime("1 hour")]) {
        const driven = debounce(atLatest(inner, 1n), "5 millis")
        const twice = filter(atLatest(driven, "3 millis"), "no", () => false)
        for (const [policy, atNanos] of [
          [atLatest(driven, "10 seconds"), millis(10_000)],
          [atLatest(twice, "1 second"), millis(1000)]
        ] as const) {
          for (const line of [resting, silent]) {
            const { decision } = yield* decideLive(policy, line)
            assert.deepStrictEqual(decisionJson(decision), decisionJson(Trigger.replay(policy, line)))
            assert.strictEqual(Result.getOrThrow(decision).atNanos, atNanos)
          }
        }
      }
    })
  )

  const sleeping = fc
    .record({
      nanos: duration,
      outcome: fc.constantFrom("succeeds", "fails", "fails-all"),
      naps: fc.integer({ min: 1, max: 3 })
    })
    .map(({ naps, nanos, outcome }) => {
      const sleep = Effect.repeat(Effect.sleep(Duration.nanos(nanos)), { times: naps - 1 })
      return fromEffect(
        `${outcome}-after-${naps}-times-${nanos}`,
        outcome === "succeeds" ? sleep : Effect.andThen(sleep, Effect.fail("refused")),
        outcome === "fails-all" ? { onFailure: "fail" } : {}
      )
    })

  it.live(
    "whatever-probes-a-policy-has-it-decides-live-what-its-record-replays",
    () =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(
            policy({ leaves: fc.oneof(sleeping, builtin), maxDepth: 2 }),
            timeline,
            async (one, line) => {
              const { decision, signals } = await Effect.runPromise(decideLive(one, line))
              assert.deepStrictEqual(decisionJson(decision), decisionJson(Trigger.replay(one, { ...line, signals })))
            }
          ),
          { numRuns: defaultRuns() }
        )
      ),
    longestLawMillis()
  )
})
