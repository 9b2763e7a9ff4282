import {
  contractHash,
  type GuestEvent,
  GuestEvent as GuestEventSchema,
  guestEventKinds as eventKinds,
  machineReasons
} from "@stillpoint/core"
import { Effect, Schema } from "effect"
import { describe, expect, it } from "vitest"
import { decodeEvents } from "../src/binding/decodeEvents.ts"
import { checkContract, loadAddon } from "../src/binding/loadAddon.ts"
import { MachineEvents } from "../src/machine/MachineEvents.ts"

type OperationError = keyof typeof machineReasons

const addon = await Effect.runPromise(loadAddon)

describe("what crosses the bridge", () => {
  it("every-kind-of-event-arrives-as-it-was", () => {
    expect(addon.eventKinds()).toEqual(eventKinds)
    const batch = addon.everyEvent()
    const events: Array<GuestEvent> = []
    decodeEvents(batch.bytes, batch.firstSeq, batch.count, (event) => events.push(event))
    expect(events.map((event) => event._tag)).toEqual(eventKinds)
    for (const event of events) expect(Schema.is(GuestEventSchema)(event)).toBe(true)
    expect(events).toMatchSnapshot()
  })

  it("a-part-of-another-contract-is-named", () => {
    const own = addon.contractHash()
    expect(own).toBe(contractHash)
    expect(checkContract({ addon: own, "@stillpoint/core": own })).toBe(null)
    const other = checkContract({ addon: "none", "@stillpoint/core": own })
    expect([other?._tag, other?.part]).toEqual(["ContractMismatch", "addon"])
    expect(other?.message).toContain("make setup")
    expect(checkContract({ addon: own, "@stillpoint/core": "f".repeat(64) })?.part).toBe("@stillpoint/core")
  })

  it("every-error-arrives-under-its-name", () => {
    const failures = addon.everyFailure()
    for (const failure of failures) {
      expect(Object.keys(machineReasons)).toContain(failure.failed)
      expect(Object.keys(machineReasons[failure.failed as OperationError].cases)).toContain(failure.name)
      expect(failure.message).not.toBe("")
    }
    const names = (failed: OperationError) =>
      new Set(failures.filter((failure) => failure.failed === failed).map((failure) => failure.name))
    // Names that TypeScript knows and Rust never sends would be dead; the others come from validation and from the
    // agent.
    const here = new Set([
      "InvalidConfiguration",
      "InvalidRun",
      "InvalidIdentity",
      "InvalidWorkload",
      "Closed",
      "AlreadyRunning",
      "NotInARecording",
      "RecordingEnded"
    ])
    for (const failed of [
      "BootError",
      "MachineError",
      "CaptureError",
      "RestoreError",
      "ForkError",
      "AttachError"
    ] as const) {
      const known = Object.keys(machineReasons[failed].cases).filter(
        (name) => !here.has(name) && !names("MachineError").has(name)
      )
      for (const name of known) expect([...names(failed)]).toContain(name)
    }
  })

  it("a-hundred-thousand-events-arrive-in-order-whoever-listens-when", async () => {
    const log = new addon.SyntheticLog()
    const count = 100_000
    const events = new MachineEvents({
      readEvents: (from, max) => log.read(from, max),
      onEvents: (wake) => log.start(count, wake),
      nextSeq: () => log.nextSeq(),
      oldestSeq: () => 0,
      follow: () => 0,
      followed: () => {},
      unfollow: () => {}
    })
    const seen = (from: number) =>
      new Promise<number>((resolve, reject) => {
        let next = from
        events.from(from).subscribe({
          next: (event) => {
            if (event.seq !== next) reject(new Error(`expected ${next}, found ${event.seq}`))
            next += 1
          },
          error: reject,
          complete: () => resolve(next)
        })
      })
    const keepAlive = setInterval(() => {}, 1000)
    const first = seen(0)
    await new Promise((resolve) => setImmediate(resolve))
    const late = seen(0)
    await new Promise((resolve) => setImmediate(resolve))
    const later = seen(5000)
    expect(await Promise.all([first, late, later])).toEqual([count, count, count])
    expect(await seen(0)).toBe(count)
    clearInterval(keepAlive)
  })
})
