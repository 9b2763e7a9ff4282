import { assert, it } from "@effect/vitest"
import { Effect, Result, Schema, Stream } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import { frameNames, guestEventKinds, rejectReasons } from "../contract/contract.ts"
import { type GuestEvent, GuestEventJson, type GuestEventKind } from "../GuestEvent.ts"
import { decodeEventLine, encodeEventLine } from "./eventLine.ts"
import {
  assembleTimeline,
  decodeTimeline,
  decodeTimelineStream,
  encodeTimeline,
  encodeTimelineStream,
  type RecordedTimeline,
  TimelineDecoder,
  type TimelinePart
} from "./RecordedTimeline.ts"
import { type TimelineHeader, timelineVersion } from "./TimelineHeader.ts"

const runs = Number(process.env["STILLPOINT_RUNS"] ?? 1000)

const natural = fc.maxSafeNat()
const int = fc.integer()
const text = fc.string({ unit: "binary", maxLength: 12 })
const status = fc.oneof(
  fc.record({ code: int, signal: fc.constant(null) }),
  fc.record({ code: fc.constant(null), signal: int })
)
const bytes = fc.uint8Array({ maxLength: 12 })
const json = fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.parse(JSON.stringify(value)) as Schema.Json)

const anyPort = fc.integer({ min: 0, max: 65_535 })
const places = { guestPort: anyPort, peerAddress: text, peerPort: anyPort }
const connection = { direction: fc.constantFrom("inward", "outward"), ...places }

const bodies: Readonly<Record<GuestEventKind, fc.Arbitrary<object>>> = {
  SerialLine: fc.record({ port: natural, text }),
  HeartbeatTick: fc.record({ count: natural }),
  WorkloadPreExec: fc.record({ argv: fc.array(text, { maxLength: 3 }), holdNanos: fc.option(natural) }),
  ListenerBound: fc.record({ protocol: fc.constantFrom("tcp", "udp"), address: text, port: natural }),
  WorkloadParked: fc.record({}),
  WorkloadExited: status,
  WorkloadFailed: fc.record({ step: text, errno: int, message: text }),
  GuestIdle: fc.record({}),
  GuestBusy: fc.record({}),
  IoStarted: fc.record({ device: text }),
  IoSettled: fc.record({ device: text }),
  PagesDirtied: fc.record({ count: natural }),
  AgentReady: fc.record({ protocolVersion: natural, kernelRelease: text }),
  AgentFrozen: fc.record({ token: natural }),
  AgentThawed: fc.record({ token: natural }),
  IdentityApplied: fc.record({ token: natural }),
  AgentRejected: fc.record({
    request: fc.constantFrom(...frameNames),
    id: fc.option(natural),
    reason: fc.constantFrom(...rejectReasons),
    message: text
  }),
  ExecStarted: fc.record({ id: natural, pid: natural }),
  ExecOutput: fc.record({ id: natural, stream: fc.constantFrom("stdout", "stderr"), data: bytes }),
  ExecExited: fc.tuple(natural, status).map(([id, ended]) => ({ id, ...ended })),
  ExecFailed: fc.record({ id: natural, step: text, errno: int, message: text }),
  HostInput: fc.record({
    kind: fc.constantFrom("control", "serial", "renewal", "network"),
    port: natural,
    data: bytes
  }),
  GuestPanicked: fc.record({ message: text }),
  GuestHalted: fc.record({ reason: natural }),
  GuestReset: fc.record({ reason: natural }),
  EngineFault: fc.record({ message: text }),
  Custom: fc.record({ name: text, payload: json }),
  ListenerClosed: fc.record({ protocol: fc.constantFrom("tcp", "udp"), address: text, port: natural }),
  UnixListenerBound: fc.record({ path: text }),
  UnixListenerClosed: fc.record({ path: text }),
  ExecInputTaken: fc.record({ id: natural, bytes: natural }),
  ExecOutputHeld: fc.record({ id: natural }),
  EventsDropped: fc.record({ kind: fc.constantFrom(...guestEventKinds), count: natural }),
  SerialText: fc.record({ port: natural, text }),
  NetworkRefused: fc.record({
    protocol: fc.constantFrom("tcp", "udp", "icmp", "other"),
    address: text,
    port: fc.integer({ min: 0, max: 65_535 }),
    reason: fc.constantFrom("NotAllowed", "TooMany", "Unreachable"),
    count: natural
  }),
  DiskFailed: fc.record({
    disk: text,
    operation: fc.constantFrom("read", "write", "flush", "zero"),
    offset: natural,
    bytes: natural,
    reason: fc.constantFrom("Refused", "Shortened", "Changed", "NoMemory", "Broken", "Unverified"),
    errno: fc.option(natural),
    message: text
  }),
  DiskAttached: fc.record({
    disk: text,
    slot: natural,
    access: fc.constantFrom("read", "copyOnWrite", "scratch", "volume"),
    sizeBytes: natural,
    source: text
  }),
  ConnectionOpened: fc.record({ ...connection, open: natural }),
  RequestServed: fc.record({ ...places, requestBytes: natural, answerBytes: natural }),
  ConnectionClosed: fc.record({
    ...connection,
    bytesIn: natural,
    bytesOut: natural,
    end: fc.constantFrom("closed", "reset"),
    open: natural
  }),
  AgentChannelOpened: fc.constant({}),
  EngineChosen: fc.record({ engine: text, requested: text, reason: text }),
  TrafficPassed: fc.record({ bytesIn: natural, bytesOut: natural, overNanos: natural })
}

const body = fc
  .constantFrom(...(Object.keys(bodies) as Array<GuestEventKind>))
  .chain((kind) => bodies[kind].map((fields) => ({ _tag: kind, ...fields })))

const header: TimelineHeader = {
  format: "stillpoint-timeline",
  version: timelineVersion,
  engine: "soft",
  kernelDigest: "0".repeat(64),
  initrdDigest: null,
  configuration: { memoryMib: 128 },
  seed: 7,
  firstSeq: 0
}

const recording: fc.Arbitrary<RecordedTimeline> = fc
  .record({
    items: fc.array(fc.tuple(fc.nat(1_000_000), body), { maxLength: 20 }),
    isEnded: fc.boolean(),
    firstSeq: fc.nat(5)
  })
  .map(({ firstSeq, isEnded, items }) => {
    let atNanos = 0
    const events = items.map(([gap, fields], index) => {
      atNanos += gap
      return { seq: firstSeq + index, atNanos, ...fields } as GuestEvent
    })
    return {
      header: { ...header, firstSeq },
      events,
      end: isEnded ? { _tag: "TimelineEnd", atNanos: atNanos + 5, reason: "time", events: events.length } : null,
      torn: null
    }
  })

const chunksOf = (whole: Uint8Array, sizes: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  let from = 0
  for (const size of sizes) {
    chunks.push(whole.subarray(from, from + size))
    from += size
  }
  return [...chunks, whole.subarray(from)]
}

describe("recorded timelines", () => {
  it("a-recording-survives-the-disk", () => {
    fc.assert(
      fc.property(recording, (timeline) => {
        assert.deepStrictEqual(Result.getOrThrow(decodeTimeline(encodeTimeline(timeline))), timeline)
      }),
      { numRuns: runs }
    )
  })

  it("a-line-is-read-directly-exactly-where-the-schema-reads-it", () => {
    const decode = Schema.decodeUnknownResult(GuestEventJson, { onExcessProperty: "error" })
    fc.assert(
      fc.property(
        recording,
        fc.nat(),
        fc.constantFrom("drop", "null", "negative", "excess", "text", "none"),
        (timeline, at, damage) => {
          const event = timeline.events[at % Math.max(1, timeline.events.length)]
          if (event === undefined) return
          const value = JSON.parse(encodeEventLine(event)) as Record<string, unknown>
          const keys = Object.keys(value)
          const key = keys[at % keys.length] ?? "seq"
          if (damage === "drop") delete value[key]
          else if (damage === "null") value[key] = null
          else if (damage === "negative") value[key] = -1
          else if (damage === "text") value[key] = "text"
          else if (damage === "excess") value["surplus"] = 1
          const ours = decodeEventLine(JSON.stringify(value))
          const theirs = decode(value)
          assert.strictEqual(Result.isSuccess(ours), Result.isSuccess(theirs))
          if (Result.isSuccess(ours)) assert.deepStrictEqual(ours.success, Result.getOrThrow(theirs))
        }
      ),
      { numRuns: runs }
    )
  })

  it("an-event-written-by-hand-in-another-order-of-keys-gives-the-same-line", () => {
    fc.assert(
      fc.property(recording, (timeline) => {
        for (const event of timeline.events) {
          const reversed = Object.fromEntries(Object.entries(event).reverse()) as unknown as GuestEvent
          assert.strictEqual(encodeEventLine(reversed), encodeEventLine(event))
        }
      }),
      { numRuns: runs }
    )
  })

  it.effect("streams-cut-anywhere-read-and-write-the-same", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(recording, fc.array(fc.nat(40), { maxLength: 30 }), async (timeline, sizes) => {
          const encoded = encodeTimeline(timeline)
          const parts = await Effect.runPromise(
            Stream.fromIterable(chunksOf(encoded, sizes)).pipe(decodeTimelineStream, Stream.runCollect)
          )
          assert.deepStrictEqual(
            parts.flatMap((part) => (part._tag === "Events" ? part.events : [])),
            timeline.events
          )
          assert.strictEqual(parts[0]?._tag, "Header")
          assert.strictEqual(
            parts.some((part) => part._tag === "End"),
            timeline.end !== null
          )
          const written = await Effect.runPromise(
            encodeTimelineStream(
              timeline.header,
              Stream.fromIterable(timeline.events),
              Effect.succeed(timeline.end)
            ).pipe(Stream.runCollect)
          )
          assert.deepStrictEqual(Buffer.concat(written), Buffer.from(encoded))
        }),
        { numRuns: runs }
      )
    )
  )

  it("a-torn-last-line-is-left-out-and-reported", () => {
    fc.assert(
      fc.property(recording, fc.nat(), (timeline, cut) => {
        const whole = encodeTimeline(timeline)
        const headerBytes = whole.indexOf(0x0a) + 1
        const size = headerBytes + (cut % (whole.length - headerBytes + 1))
        const read = Result.getOrThrow(decodeTimeline(whole.subarray(0, size)))
        // Complete events are there; truncated ones are not, and are reported.
        assert.deepStrictEqual(read.events, timeline.events.slice(0, read.events.length))
        const rest = whole.subarray(0, size)
        const lastNewline = rest.lastIndexOf(0x0a)
        const tail = rest.subarray(lastNewline + 1)
        if (tail.length === 0) assert.isNull(read.torn)
        else if (read.torn !== null) {
          assert.strictEqual(read.torn.sizeBytes, tail.length)
          assert.strictEqual(read.torn.line, rest.filter((byte) => byte === 0x0a).length + 1)
        }
      }),
      { numRuns: runs }
    )
  })

  it("garbage-is-refused-with-its-line-number", () => {
    fc.assert(
      fc.property(
        recording,
        fc.nat(),
        fc.constantFrom(
          "not json",
          "{}",
          "[]",
          "null",
          "",
          '{"_tag":"Nonsense"}',
          '{"_tag":"GuestIdle","seq":-1,"atNanos":0}'
        ),
        (timeline, at, garbage) => {
          const lines = new TextDecoder().decode(encodeTimeline({ ...timeline, end: null })).split("\n")
          const line = 1 + (at % (lines.length - 1))
          lines.splice(line, 0, garbage)
          const read = decodeTimeline(new TextEncoder().encode(lines.join("\n") + "\n"))
          assert.isTrue(Result.isFailure(read))
          if (Result.isFailure(read)) {
            const { reason } = read.failure
            assert.strictEqual(reason._tag, "Garbage")
            if (reason._tag === "Garbage") assert.strictEqual(reason.line, line + 1)
          }
        }
      ),
      { numRuns: runs }
    )
  })

  it("a-damaged-recording-is-read-or-refused-alike-however-it-is-cut", () => {
    let invalid = 0
    let refused = 0
    fc.assert(
      fc.property(
        recording,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }),
        fc.array(fc.nat(40), { maxLength: 30 }),
        (timeline, damages, sizes) => {
          const damaged = encodeTimeline(timeline).slice()
          for (const [at, byte] of damages) damaged[at % damaged.length] = byte
          const inPieces = () => {
            const decoder = new TimelineDecoder()
            const parts: Array<TimelinePart> = []
            for (const chunk of [...chunksOf(damaged, sizes), null]) {
              const read = chunk === null ? decoder.finish() : decoder.push(chunk)
              if (Result.isFailure(read)) return read
              parts.push(...read.success)
            }
            return Result.succeed(assembleTimeline(parts))
          }
          const whole = decodeTimeline(damaged)
          assert.deepStrictEqual<unknown>(inPieces(), whole)
          refused += Result.isFailure(whole) ? 1 : 0
          invalid += Result.isFailure(whole) && whole.failure.message.includes("utf-8") ? 1 : 0
        }
      ),
      { numRuns: runs }
    )
    // Most damage is found, and some of it is bytes that are no text.
    assert.isAbove(refused, runs / 2)
    assert.isAbove(invalid, runs / 20)
  })

  it("missing-repeated-and-swapped-lines-are-refused-by-name", () => {
    fc.assert(
      fc.property(
        recording.filter(({ events }) => events.length >= 3),
        fc.nat(),
        fc.constantFrom("drop", "repeat", "swap"),
        (timeline, at, damage) => {
          const lines = new TextDecoder()
            .decode(encodeTimeline({ ...timeline, end: null }))
            .trimEnd()
            .split("\n")
          const line = 1 + (at % (timeline.events.length - 1))
          const current = lines[line] ?? ""
          if (damage === "drop") lines.splice(line, 1)
          else if (damage === "repeat") lines.splice(line, 0, current)
          else lines.splice(line, 2, lines[line + 1] ?? "", current)
          const read = decodeTimeline(new TextEncoder().encode(lines.join("\n") + "\n"))
          assert.strictEqual(Result.isFailure(read) ? read.failure.reason._tag : "read", "OutOfOrder")
        }
      ),
      { numRuns: runs }
    )
  })

  it("an-end-that-does-not-agree-and-lines-after-it-are-refused", () => {
    const timeline = fc.sample(
      recording.filter(({ end, events }) => end !== null && events.length > 1),
      { numRuns: 1, seed: 4 }
    )[0]
    if (timeline === undefined || timeline.end === null) return assert.fail("no sample")
    const reasonOf = (bytes: Uint8Array): string => {
      const read = decodeTimeline(bytes)
      return Result.isFailure(read) ? read.failure.reason._tag : "read"
    }
    assert.strictEqual(reasonOf(encodeTimeline({ ...timeline, end: { ...timeline.end, events: 0 } })), "WrongEnd")
    assert.strictEqual(reasonOf(encodeTimeline({ ...timeline, end: { ...timeline.end, atNanos: 0 } })), "WrongEnd")
    assert.strictEqual(reasonOf(Buffer.concat([encodeTimeline(timeline), Buffer.from("{}\n")])), "WrongEnd")
  })

  it("nothing-another-file-and-another-version-are-refused-by-name", () => {
    const reasonOf = (text: string): string => {
      const read = decodeTimeline(new TextEncoder().encode(text))
      return Result.isFailure(read) ? read.failure.reason._tag : "read"
    }
    assert.strictEqual(reasonOf(""), "Empty")
    assert.strictEqual(reasonOf("hello\n"), "NotATimeline")
    assert.strictEqual(reasonOf('{"format":"other"}\n'), "NotATimeline")
    assert.strictEqual(
      reasonOf(`{"format":"stillpoint-timeline","version":${timelineVersion + 1}}\n`),
      "UnknownVersion"
    )
    assert.strictEqual(reasonOf('{"format":"stillpoint-timeline","version":0}\n'), "UnknownVersion")
    assert.strictEqual(reasonOf('{"format":"stillpoint-timeline","version":1}\n'), "NotATimeline")
  })
})
