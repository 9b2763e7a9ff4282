/**
 * Boots one guest and records its timeline.
 *
 * @module
 */
import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import {
  type GuestEvent,
  type RecordedTimeline,
  type MachineStop,
  timelineFormat,
  timelineVersion,
  Vmm
} from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect, type Schema } from "effect"
import type { Scenario } from "./scenarios.ts"

/** Guest time after which a guest whose agent never came up is given up. */
const bootLimitNanos = 30e9
const memoryMib = 128
const seed = 20_26

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** The timeline of a scenario's boot: a function of the scenario, the kernel, the agent and the engine alone. */
export const recordScenario = Effect.fn("recordScenario")(function* (scenario: Scenario) {
  const kit = yield* GuestKit
  const { busyboxVersion, kernelPath, kernelVersion } = yield* kit.files
  const initramfs = yield* kit.initramfs(scenario.guest)
  const kernel = yield* Effect.promise(() => readFile(kernelPath))
  const vmm = yield* Vmm
  const machine = yield* vmm.boot({ kernelPath, initramfs, memoryMib, seed, ...scenario.boot })

  const ready = yield* machine.run({ kinds: ["AgentReady"], atNanos: bootLimitNanos })
  if (ready.reason !== "event")
    return yield* Effect.fail(new Error(`${scenario.name}: the agent was not ready: ${ready.reason}`))
  const startedAt = ready.atNanos
  let stop: MachineStop = ready
  if (scenario.quiesceAtMillis !== undefined) {
    stop = yield* machine.run({ atNanos: startedAt + scenario.quiesceAtMillis * 1e6 })
    yield* machine.agent.requestFreeze
  }
  if (scenario.thawAtMillis !== undefined) {
    stop = yield* machine.run({ atNanos: startedAt + scenario.thawAtMillis * 1e6 })
    yield* machine.agent.requestThaw
  }
  stop = yield* machine.run({ atNanos: startedAt + scenario.forMillis * 1e6 })
  const events: ReadonlyArray<GuestEvent> = yield* machine.eventsSoFar()

  return {
    header: {
      format: timelineFormat,
      version: timelineVersion,
      engine: machine.engine,
      kernelDigest: sha256(kernel),
      initrdDigest: sha256(initramfs),
      configuration: {
        name: scenario.name,
        proves: scenario.proves,
        memoryMib,
        kernelVersion,
        busyboxVersion,
        // Only the JSON form is written.
        guest: JSON.parse(JSON.stringify(scenario.guest)) as Schema.Json,
        forMillis: scenario.forMillis,
        quiesceAtMillis: scenario.quiesceAtMillis ?? null,
        ...(scenario.thawAtMillis === undefined ? {} : { thawAtMillis: scenario.thawAtMillis })
      },
      seed,
      firstSeq: events[0]?.seq ?? 0
    },
    events,
    end: { _tag: "TimelineEnd", atNanos: stop.atNanos, reason: stop.reason, events: events.length },
    torn: null
  } satisfies RecordedTimeline as RecordedTimeline
}, Effect.scoped)
