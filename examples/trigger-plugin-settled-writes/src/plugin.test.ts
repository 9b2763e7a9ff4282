import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { explain } from "@stillpoint/core"
import { decodePolicy, firstOf, onListener, precedence, quiesce, Trigger, within } from "@stillpoint/triggers"
import { decideLive, givenPolicy, lawsOf, timelineOf } from "@stillpoint/triggers/testing"
import { Effect, Result } from "effect"
import { describe } from "vitest"
import { onFileExists, onWritesSettled, registry } from "./index.ts"

const settled = onWritesSettled({ table: "orders", forMillis: 50 })
const write = (table: string, pending: number) => ({
  _tag: "Custom" as const,
  name: "write",
  payload: { table, pending }
})
const millis = (count: number): number => count * 1e6

describe("onWritesSettled", () => {
  for (const law of lawsOf(settled, { registry })) it.effect(law.name, () => law.check)

  it("fires-once-nothing-is-pending-for-long-enough", () => {
    const fired = givenPolicy(settled)
      .when(
        [
          [millis(1), write("orders", 2)],
          [millis(5), write("orders", 0)]
        ],
        millis(100)
      )
      .thenFires({ atNanos: millis(55), trigger: "settled-writes/on-writes-settled" })
    assert.include(explain(fired).text, "the writes of orders to be settled for 50 ms")
  })

  it("a-report-in-between-starts-the-wait-again", () => {
    givenPolicy(settled)
      .when(
        [
          [millis(5), write("orders", 0)],
          [millis(30), write("orders", 1)],
          [millis(40), write("orders", 0)]
        ],
        millis(200)
      )
      .thenFires({ atNanos: millis(90) })
  })

  it("other-tables-and-payloads-that-are-none-do-not-count", () => {
    givenPolicy(settled)
      .when(
        [
          [millis(5), write("users", 0)],
          [millis(6), { _tag: "Custom", name: "write", payload: "nonsense" }]
        ],
        millis(200)
      )
      .thenDoesNotFire("GuestEnded")
  })

  it("composes-like-a-built-in-one", () => {
    givenPolicy(precedence([quiesce(settled, { calmFor: "10 millis", agent: "none", activity: [] }), onListener()]))
      .when([[millis(5), write("orders", 0)]], millis(200))
      .thenFires({ atNanos: millis(65) })
    givenPolicy(within(settled, "50 millis"))
      .when([[millis(5), write("orders", 0)]], millis(200))
      .thenDoesNotFire("NothingArmed")
  })
})

describe("onFileExists", () => {
  const withDirectory = <A>(use: (directory: string) => Effect.Effect<A, unknown>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "settled-writes-"))),
      use,
      (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
    )
  const idle = timelineOf([[0, { _tag: "GuestBusy" }]], { atNanos: millis(1000), reason: "time" })

  it.live("fires-when-the-file-is-there-and-its-signal-replays", () =>
    withDirectory((directory) =>
      Effect.gen(function* () {
        const path = join(directory, "ready")
        writeFileSync(path, "")
        const policy = firstOf([onListener(), onFileExists({ path })])
        const { decision, signals } = yield* decideLive(policy, idle)
        const firing = Result.getOrThrow(decision)
        assert.strictEqual(firing.trigger, "settled-writes/on-file-exists")
        assert.strictEqual(firing.slippageNanos, 0)
        assert.strictEqual(signals.length, 1)
        const again = Result.getOrThrow(Trigger.replay(policy, { ...idle, signals }))
        assert.deepStrictEqual(again.cause, firing.cause)
        assert.strictEqual(again.atNanos, firing.atNanos)
      })
    )
  )

  it.live("a-file-that-never-comes-is-waited-for-until-the-guest-ends", () =>
    withDirectory((directory) =>
      Effect.gen(function* () {
        const { decision } = yield* decideLive(onFileExists({ path: join(directory, "never") }), idle)
        assert.strictEqual(Result.isFailure(decision) ? decision.failure.reason._tag : "fired", "GuestEnded")
      })
    )
  )
})

describe("as JSON", () => {
  it("a-policy-with-these-parts-reads-back-through-the-registry", () => {
    const policy = precedence([settled, onFileExists({ path: "/run/ready" })])
    const read = decodePolicy(JSON.parse(JSON.stringify(policy.description)), registry)
    assert.strictEqual(Result.getOrThrow(read).name, policy.name)
  })

  it("without-it-the-unknown-plug-in-is-named", () => {
    const read = decodePolicy(firstOf([onListener(), settled]).description)
    assert.isTrue(Result.isFailure(read))
    if (Result.isFailure(read)) {
      assert.strictEqual(read.failure.problems[0]?.unknownPart?.kind, "triggers")
      assert.include(read.failure.message, "settled-writes/on-writes-settled")
    }
  })

  it("a-wrong-configuration-is-refused", () => {
    const read = decodePolicy(
      { trigger: "plugin", name: "settled-writes/on-writes-settled", config: { table: 5 } },
      registry
    )
    assert.strictEqual(Result.isFailure(read) ? read.failure._tag : "read", "PolicyError")
  })
})
