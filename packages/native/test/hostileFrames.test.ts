import { GuestEvent, decodeEventLine, encodeEventLine, rejectReasons } from "@stillpoint/core"
import { Effect, Result, Schema } from "effect"
import * as fc from "fast-check"
import { assert, describe, it } from "vitest"
import { decodeEvents } from "../src/binding/decodeEvents.ts"
import { loadAddon } from "../src/binding/loadAddon.ts"

const addon = await Effect.runPromise(loadAddon)
const runs = Number(process.env["STILLPOINT_RUNS"] ?? 500)

/** The events that the machine decodes from bytes on its control port, as a host gets them. */
const eventsOf = (bytes: Uint8Array): ReadonlyArray<GuestEvent> => {
  const batch = addon.controlEvents(bytes)
  const events: Array<GuestEvent> = []
  decodeEvents(batch.bytes, batch.firstSeq, batch.count, (event) => events.push(event))
  return events
}

const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer)
const counted = (content: Uint8Array): Uint8Array => Buffer.concat([u32(content.length), content])
const text = (content: string): Uint8Array => counted(Buffer.from(content))
const frame = (type: number, ...payload: ReadonlyArray<Uint8Array>): Uint8Array => {
  const body = Buffer.concat(payload)
  return Buffer.concat([u32(body.length + 1), Buffer.from([type]), body])
}
const custom = (payload: string): Uint8Array => frame(0x0f, text("cache.warm"), text(payload))

/** JSON that is near the limits, over them, or none. */
const payload = fc.oneof(
  fc.jsonValue().map((value) => JSON.stringify(value)),
  fc
    .tuple(fc.nat({ max: 70 }), fc.jsonValue({ maxDepth: 1 }))
    .map(([depth, value]) => `${"[".repeat(depth)}${JSON.stringify(value)}${"]".repeat(depth)}`),
  fc.nat({ max: 20_000 }).map((depth) => `${"[".repeat(depth)}${"]".repeat(depth)}`),
  fc.nat({ max: 5_000 }).map((depth) => `${'{"__proto__":'.repeat(depth)}1${"}".repeat(depth)}`),
  fc.constantFrom("1e999", "-1e999", "[1e400]", "9007199254740993", "1e308", "-0", "[-0.0]", "0.1e-400", "NaN", "[1,]"),
  fc.constantFrom('"\\ud800"', '"\\udc00\\ud800"', '{"__proto__":{"x":1}}', '{"a":1,"a":2}', '"\\u0000"'),
  fc.string({ unit: "binary" })
)

/** A field of a frame, right or wrong for its place. */
const part = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.uint8Array({ maxLength: 200 }).map(counted),
  fc.string({ unit: "binary", maxLength: 5000 }).map(text),
  payload.map(text),
  fc.constantFrom(0, 1, 7, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff).map(u32),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => new Uint8Array(new BigUint64Array([value]).buffer))
)

const hostile = fc.oneof(
  payload.map(custom),
  fc.tuple(fc.nat({ max: 0x20 }), fc.array(part, { maxLength: 5 })).map(([type, parts]) => frame(type, ...parts)),
  fc.uint8Array({ maxLength: 80 })
)

describe("whatever a guest writes to its control port", () => {
  it("is-an-event-that-every-reader-reads-the-same-or-is-refused-by-name", () => {
    let told = 0
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 6 }), (frames) => {
        for (const event of eventsOf(Buffer.concat(frames))) {
          told += 1
          assert.isTrue(Schema.is(GuestEvent)(event), JSON.stringify(event).slice(0, 200))
          const read = Result.getOrThrow(decodeEventLine(encodeEventLine(event)))
          assert.strictEqual(encodeEventLine(read), encodeEventLine(event))
        }
      }),
      { numRuns: runs }
    )
    assert.isAbove(told, runs / 2)
  })

  it("is-refused-where-it-is-over-a-limit", () => {
    const refusalOf = (bytes: Uint8Array) => {
      const [event] = eventsOf(bytes)
      return event?._tag === "AgentRejected" ? [event.request, event.reason] : event?._tag
    }
    assert.deepStrictEqual(refusalOf(custom("1e999")), ["Custom", "OverLimit"])
    assert.deepStrictEqual(refusalOf(custom(`${"[".repeat(16_000)}${"]".repeat(16_000)}`)), ["Custom", "OverLimit"])
    for (const count of [2n ** 53n, 2n ** 64n - 1n]) {
      const bytes = new Uint8Array(new BigUint64Array([count]).buffer)
      assert.deepStrictEqual(refusalOf(frame(0x02, bytes)), ["HeartbeatTick", "OverLimit"])
    }
    assert.deepStrictEqual(refusalOf(frame(0x01, u32(1), text("6.12"))), ["AgentReady", "ContractMismatch"])
    assert.deepStrictEqual(refusalOf(frame(0x7f)), ["Unknown", "FrameUnknown"])
    assert.strictEqual(refusalOf(custom('{"classes":[1,2]}')), "Custom")
    assert.includeMembers([...rejectReasons], ["OverLimit", "ContractMismatch", "FrameUnknown"])
  })
})
