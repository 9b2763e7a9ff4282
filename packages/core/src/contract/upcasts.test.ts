import { readdirSync, readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import { describe } from "vitest"
import { decodeTimeline } from "../timeline/RecordedTimeline.ts"
import { upcastFiring } from "./upcasts.ts"
import { timelineVersion } from "../timeline/TimelineHeader.ts"

const header = {
  format: "stillpoint-timeline",
  version: timelineVersion,
  engine: "soft",
  kernelDigest: null,
  initrdDigest: null,
  configuration: {},
  seed: 7,
  firstSeq: 0
}

describe("events of before", () => {
  it("a-recording-of-an-older-contract-is-brought-up-to-this-one", () => {
    const lines = [
      JSON.stringify({ ...header, version: 1 }),
      '{"_tag":"WorkloadPreExec","seq":0,"atNanos":5,"argv":["serve"]}',
      '{"_tag":"AgentRejected","seq":1,"atNanos":6,"frame":133,"message":"the workload does not freeze"}',
      '{"_tag":"AgentRejected","seq":2,"atNanos":7,"frame":3,"message":"not one of the host\'s"}',
      '{"_tag":"AgentRejected","seq":3,"atNanos":8,"frame":99,"message":"no frame"}'
    ]
    const rejected = (seq: number, request: string, message: string) => ({
      _tag: "AgentRejected",
      seq,
      atNanos: 5 + seq,
      request,
      id: null,
      reason: "Unspecified",
      message
    })
    const read = Result.getOrThrow(decodeTimeline(new TextEncoder().encode(`${lines.join("\n")}\n`)))
    assert.strictEqual(read.header.version, timelineVersion)
    assert.deepStrictEqual(read.events as ReadonlyArray<unknown>, [
      { _tag: "WorkloadPreExec", seq: 0, atNanos: 5, argv: ["serve"], holdNanos: 100_000_000 },
      rejected(1, "Freeze", "the workload does not freeze"),
      rejected(2, "WorkloadPreExec", "not one of the host's"),
      rejected(3, "Unknown", "no frame")
    ])
    // A recording of this contract is not interpreted: it has the fields or is refused.
    const present = [JSON.stringify(header), lines[2]].join("\n").replace('"seq":1', '"seq":0')
    assert.isTrue(Result.isFailure(decodeTimeline(new TextEncoder().encode(`${present}\n`))))
  })

  it("names-of-before-are-read-as-those-of-now", () => {
    const lines = [
      JSON.stringify({ ...header, version: 2 }),
      '{"_tag":"AgentQuiesced","seq":0,"atNanos":5,"token":3}',
      '{"_tag":"AgentRejected","seq":1,"atNanos":6,"request":"Quiesce","id":4,"reason":"FreezeFailed","message":"no"}',
      '{"_tag":"AgentRejected","seq":2,"atNanos":7,"request":"AgentQuiesced","id":null,"reason":"OverLimit","message":""}',
      '{"_tag":"EventsDropped","seq":3,"atNanos":8,"kind":"AgentQuiesced","count":1}',
      '{"_tag":"EventsDropped","seq":4,"atNanos":9,"kind":"SerialLine","count":2}'
    ]
    const read = Result.getOrThrow(decodeTimeline(new TextEncoder().encode(`${lines.join("\n")}\n`)))
    assert.deepStrictEqual(read.events as ReadonlyArray<unknown>, [
      { _tag: "AgentFrozen", seq: 0, atNanos: 5, token: 3 },
      { _tag: "AgentRejected", seq: 1, atNanos: 6, request: "Freeze", id: 4, reason: "FreezeFailed", message: "no" },
      { _tag: "AgentRejected", seq: 2, atNanos: 7, request: "AgentFrozen", id: null, reason: "OverLimit", message: "" },
      { _tag: "EventsDropped", seq: 3, atNanos: 8, kind: "AgentFrozen", count: 1 },
      { _tag: "EventsDropped", seq: 4, atNanos: 9, kind: "SerialLine", count: 2 }
    ])
    for (const line of lines.slice(1, 5)) {
      const present = [JSON.stringify(header), line.replace(/"seq":\d/, '"seq":0')].join("\n")
      assert.isTrue(Result.isFailure(decodeTimeline(new TextEncoder().encode(`${present}\n`))), line)
    }
  })

  it("the-step-of-a-failed-start-was-once-called-its-stage", () => {
    const lines = [
      JSON.stringify({ ...header, version: 3 }),
      '{"_tag":"WorkloadFailed","seq":0,"atNanos":5,"stage":"exec","errno":2,"message":"not found"}',
      '{"_tag":"ExecFailed","seq":1,"atNanos":6,"id":7,"stage":"cwd","errno":20,"message":"no directory"}'
    ]
    const read = Result.getOrThrow(decodeTimeline(new TextEncoder().encode(`${lines.join("\n")}\n`)))
    const expected: ReadonlyArray<unknown> = [
      { _tag: "WorkloadFailed", seq: 0, atNanos: 5, step: "exec", errno: 2, message: "not found" },
      { _tag: "ExecFailed", seq: 1, atNanos: 6, id: 7, step: "cwd", errno: 20, message: "no directory" }
    ]
    assert.deepStrictEqual(read.events as ReadonlyArray<unknown>, expected)
    for (const [index, event] of expected.entries()) {
      const cause = (of: unknown) => ({ cause: { _tag: "Event", event: of } })
      assert.deepStrictEqual(upcastFiring(cause(JSON.parse(lines[index + 1] ?? ""))), cause(event))
      assert.deepStrictEqual(upcastFiring(cause(event)), cause(event))
    }
  })

  it("every-recording-that-was-ever-kept-is-read", () => {
    const corpus = new URL("../../../../fixtures/timelines/", import.meta.url)
    const names = readdirSync(corpus, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ndjson"))
    const versions = names.map((name) => {
      const read = decodeTimeline(readFileSync(new URL(name, corpus)))
      return Result.isSuccess(read)
        ? Number(/^v([0-9]+)\//.exec(name)?.[1] ?? 1)
        : assert.fail(`${name}: ${read.failure.message}`)
    })
    for (let version = 1; version <= timelineVersion; version++) assert.include(versions, version)
  })
})
