/**
 * A policy is tested without booting anything: by laws, by properties over generated boots, by examples, by recorded boots.
 *
 * @module
 */
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Trigger } from "@stillpoint/triggers"
import { givenPolicy, lawsOf, realisticTimeline } from "@stillpoint/triggers/testing"
import { Result } from "effect"
import * as fc from "fast-check"
import { decisions } from "./decisions.ts"
import { serverIsReady } from "./policy.ts"

const millis = (count: number): number => count * 1e6
const preExec = { _tag: "WorkloadPreExec", argv: ["serve"], holdNanos: 1e8 } as const
const listening = { _tag: "ListenerBound", protocol: "tcp", address: "0.0.0.0", port: 8080 } as const

describe("the moment of a web server", () => {
  // The laws of every trigger: live equals replay, decided by the past alone, at most one firing, …
  for (const law of lawsOf(serverIsReady, { runs: 200 })) it.effect(law.name, () => law.check)

  it("is-never-before-the-server-listens-unless-two-seconds-have-passed-since-it-started", () => {
    fc.assert(
      fc.property(realisticTimeline, (timeline) => {
        const decision = Trigger.replay(serverIsReady, timeline)
        if (Result.isFailure(decision)) return
        const { atNanos } = decision.success
        const before = timeline.events.filter((event) => event.atNanos <= atNanos)
        const started = before.find((event) => event._tag === "WorkloadPreExec")
        const listens = before.some((event) => event._tag === "ListenerBound" && event.port === 8080)
        assert.isTrue(listens || (started !== undefined && atNanos >= started.atNanos + millis(2000)))
      }),
      { numRuns: 500 }
    )
  })

  it("is-5-ms-after-the-listener-of-a-calm-guest", () => {
    givenPolicy(serverIsReady)
      .when(
        [
          [millis(100), preExec],
          [millis(130), listening],
          [millis(131), { _tag: "GuestIdle" }]
        ],
        millis(500)
      )
      .thenFires({ atNanos: millis(136) })
  })

  it("is-two-seconds-after-the-start-of-a-server-that-never-listens", () => {
    givenPolicy(serverIsReady)
      .when([[millis(100), preExec]], millis(5000))
      .thenFires({ atNanos: millis(2100) })
  })

  it("is-what-it-was-on-every-recorded-boot", () => {
    const decided = decisions(fileURLToPath(new URL("../../fixtures/timelines", import.meta.url)))
    const fired = decided.filter(({ firing }) => firing !== null).map(({ recording }) => recording)
    assert.includeMembers(fired, ["quick-service", "ipv6-listener", "slow-service", "floods-its-console"])
    for (const recording of ["kernel-panic", "exits-at-once", "parks"]) assert.notInclude(fired, recording)
    for (const { explanation, recording } of decided) assert.isNotEmpty(explanation, recording)
  })
})
