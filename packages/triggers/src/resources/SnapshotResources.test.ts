import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import { Equal, Hash, Result, Schema } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import { defaultRuns, longestLawMillis, givenPolicy, timelineOf } from "../testing/index.ts"
import { PolicyError } from "../PolicyError.ts"
import * as Trigger from "../Trigger.ts"
import { SnapshotResources, type ToPolicyOptions } from "./SnapshotResources.ts"

const record = fc.record({
  after_ms: fc.option(fc.nat(100_000)),
  at_heartbeat: fc.option(fc.integer({ min: 1, max: 1000 })),
  on_listener: fc.boolean(),
  on_pre_exec: fc.boolean(),
  quiesce_ms: fc.nat(99),
  out_path: fc.option(fc.constantFrom("/tmp/snapshot", "/tmp/a/b/c"))
})

const problemsOf = (json: unknown): ReadonlyArray<string> => {
  const read = SnapshotResources.fromJson(json)
  return Result.isSuccess(read) ? [] : read.failure.problems.map(({ path }) => path.join("."))
}

describe("SnapshotResources", () => {
  it(
    "the-record-decodes-and-encodes-back-to-itself",
    () => {
      fc.assert(
        fc.property(record, (json) => {
          const resources = Result.getOrThrow(SnapshotResources.fromJson(json))
          assert.deepStrictEqual(resources.toJson(), json)
          assert.deepStrictEqual(Schema.encodeSync(SnapshotResources)(resources), json)
          assert.isTrue(Equal.equals(Schema.decodeUnknownSync(SnapshotResources)(json), resources))
        }),
        { numRuns: defaultRuns() }
      )
    },
    longestLawMillis()
  )

  it(
    "equal-records-are-equal-and-hash-alike",
    () => {
      fc.assert(
        fc.property(record, record, (one, other) => {
          const [a, b, c] = [one, one, other].map((json) => Result.getOrThrow(SnapshotResources.fromJson(json)))
          assert.isTrue(Equal.equals(a, b))
          assert.strictEqual(Hash.hash(a), Hash.hash(b))
          assert.strictEqual(Equal.equals(a, c), JSON.stringify(one) === JSON.stringify(other))
        }),
        { numRuns: defaultRuns() }
      )
    },
    longestLawMillis()
  )

  it("nothing-set-never-captures-and-says-so", () => {
    const nothing = new SnapshotResources({})
    assert.deepStrictEqual(nothing.toJson(), {
      after_ms: null,
      at_heartbeat: null,
      on_listener: false,
      on_pre_exec: false,
      quiesce_ms: 0,
      out_path: null
    })
    assert.deepStrictEqual(
      nothing.warnings.map(({ field }) => field),
      [null]
    )
    givenPolicy(nothing.toPolicy())
      .when([[1, { _tag: "WorkloadPreExec", argv: [], holdNanos: 1e8 }]])
      .thenDoesNotFire("NothingArmed")
  })

  it("all-problems-are-told-at-once-with-their-fields", () => {
    const found = problemsOf({
      after_ms: -1,
      at_heartbeat: Number.NaN,
      on_pre_exec: true,
      quiesce_ms: -100,
      out_path: "relative",
      surplus: 1
    })
    for (const field of ["after_ms", "at_heartbeat", "quiesce_ms", "out_path", "surplus"]) assert.include(found, field)
    assert.include(problemsOf({ at_heartbeat: 2 ** 53 }), "at_heartbeat")
    assert.include(problemsOf({ after_ms: 1.5 }), "after_ms")
    assert.include(problemsOf({ out_path: "/dev/null/snapshot" }), "out_path")
    assert.include(problemsOf({ out_path: fileURLToPath(import.meta.url) }), "out_path")
    assert.isAbove(problemsOf(null).length + problemsOf([]).length, 0)
  })

  it("the-constructor-too-tells-all-problems-at-once-and-what-it-makes-cannot-be-changed", () => {
    const input = { afterMs: -1, atHeartbeat: Number.NaN, quiesceMs: 2 ** 53, outPath: "relative", surplus: 1 }
    try {
      assert.fail(String(new SnapshotResources(input)))
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error
      const found = error.problems.map(({ path }) => path.join("."))
      for (const field of Object.keys(input)) assert.include(found, field)
    }
    const resources = new SnapshotResources({ onPreExec: true })
    assert.throws(() => Object.assign(resources, { onPreExec: false }), TypeError)
    assert.isTrue(resources.onPreExec)
  })

  it(
    "any-json-is-a-record-or-refused-and-nothing-throws",
    () => {
      const values = fc.oneof(fc.jsonValue(), fc.constantFrom(-1, 0.5, 2 ** 53, Number.NaN, Infinity, "/", "\0", "a/b"))
      const keys = fc.constantFrom("after_ms", "at_heartbeat", "on_pre_exec", "quiesce_ms", "out_path", "surplus")
      fc.assert(
        fc.property(record, keys, values, fc.jsonValue(), (json, key, value, other) => {
          for (const changed of [{ ...json, [key]: value }, other]) {
            const read = SnapshotResources.fromJson(changed)
            if (Result.isFailure(read)) assert.isAbove(read.failure.problems.length, 0)
            else
              assert.deepStrictEqual(
                read.success.toJson(),
                Result.getOrThrow(SnapshotResources.fromJson(read.success.toJson())).toJson()
              )
          }
        }),
        { numRuns: defaultRuns() }
      )
    },
    longestLawMillis()
  )

  it("a-calm-fits-where-the-hold-that-the-guest-announces-is-longer", () => {
    const policy = Result.getOrThrow(SnapshotResources.fromJson({ on_pre_exec: true, quiesce_ms: 500 })).toPolicy()
    const decided = (holdNanos: number | null) =>
      Trigger.replay(
        policy,
        timelineOf(
          [
            [0, { _tag: "GuestIdle" }],
            [5, { _tag: "WorkloadPreExec", argv: [], holdNanos }]
          ],
          { atNanos: 1e9, reason: "time" }
        )
      )
    assert.strictEqual(Result.getOrThrow(decided(null)).atNanos, 5e8 + 5)
    const short = decided(1e8)
    assert.strictEqual(Result.isFailure(short) ? short.failure.reason._tag : "fired", "HoldTooShort")
  })

  it("as-a-schema-it-refuses-what-it-does-not-know-whatever-the-caller-asks-for", () => {
    const read = Schema.decodeUnknownResult(Schema.Struct({ when: SnapshotResources }))({
      when: { onPreExec: true, on_listener: 1, quiesce_ms: 5 }
    })
    const message = Result.isFailure(read) ? String(read.failure) : "read"
    assert.include(message, `["when"]["onPreExec"]`)
    assert.include(message, `["when"]["on_listener"]`)
    const mistyped = SnapshotResources.fromJson({ on_listner: true })
    assert.strictEqual(
      Result.isFailure(mistyped) ? mistyped.failure.message : "read",
      "on_listner: unknown field on_listner; did you mean on_listener"
    )
  })

  it(
    "what-is-read-from-json-is-exactly-what-a-policy-can-be-made-of",
    () => {
      const options: fc.Arbitrary<ToPolicyOptions> = fc.record(
        {
          preExec: fc.constantFrom({ console: true }, { consoleHold: 5 }, { consoleHold: -1 }),
          deadline: fc.constantFrom<Array<NonNullable<ToPolicyOptions["deadline"]>>>("none", 0, 10, "1 second", -1),
          agent: fc.constantFrom("auto" as const, "none" as const),
          onDeadline: fc.constantFrom("fail" as const, "abandon" as const)
        },
        { requiredKeys: [] }
      )
      const large = record.map((json) => ({ ...json, after_ms: 9_007_199_254, quiesce_ms: 1 }))
      fc.assert(
        fc.property(fc.oneof(record, large), options, (json, how) => {
          const read = SnapshotResources.fromJson(json, how)
          const decoded = Result.getOrThrow(SnapshotResources.fromJson(json))
          let refused: unknown = null
          try {
            decoded.toPolicy(how)
          } catch (cause) {
            if (!(cause instanceof PolicyError)) throw cause
            refused = cause
          }
          assert.strictEqual(Result.isSuccess(read), refused === null)
        }),
        { numRuns: defaultRuns() }
      )
    },
    longestLawMillis()
  )

  it("pointless-records-warn", () => {
    const fields = (resources: SnapshotResources) => resources.warnings.map(({ field }) => field)
    assert.deepStrictEqual(fields(new SnapshotResources({ onPreExec: true, onListener: true })), ["on_listener"])
    assert.deepStrictEqual(fields(new SnapshotResources({ onPreExec: true })), [])
  })

  it("the-highest-that-is-ready-wins-and-each-is-told-by-its-name", () => {
    const all = new SnapshotResources({
      atHeartbeat: 2,
      onPreExec: true,
      onListener: true,
      onParked: true,
      afterMs: 1000
    }).toPolicy()
    givenPolicy(all)
      .when([[5, { _tag: "WorkloadPreExec", argv: [], holdNanos: 1e8 }]])
      .thenFires({ trigger: "pre-exec", atNanos: 5 })
    givenPolicy(all)
      .when([[5, { _tag: "HeartbeatTick", count: 2 }]])
      .thenFires({ trigger: "heartbeat" })
    givenPolicy(all)
      .when([[5, { _tag: "WorkloadParked" }]])
      .thenFires({ trigger: "parked" })
    givenPolicy(all).when([], 2e9).thenFires({ trigger: "after", atNanos: 1e9 })
  })

  it("a-higher-trigger-takes-over-while-a-lower-one-waits-for-calm", () => {
    const policy = new SnapshotResources({ atHeartbeat: 1, onListener: true, quiesceMs: 20 }).toPolicy({
      agent: "none",
      activity: []
    })
    const fired = givenPolicy(policy)
      .when(
        [
          [1e6, { _tag: "ListenerBound", protocol: "tcp", address: "::", port: 80 }],
          [10e6, { _tag: "HeartbeatTick", count: 1 }]
        ],
        1e9
      )
      .thenFires({ trigger: "heartbeat", atNanos: 30e6 })
    assert.include(
      fired.losers.map(({ status }) => status),
      "overtaken"
    )
  })
})
