import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { EventReader } from "../src/binding/EventReader.ts"

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** Texts around the length at which another way of decoding them begins, of one byte a character, of several, and of both. */
const texts = fc.oneof(
  fc.string({ unit: fc.constantFrom("\0", "a", "~", "\u007f"), maxLength: 16 }),
  fc.string({ unit: "binary", maxLength: 16 }),
  fc.string({ unit: fc.constantFrom("a", "\u0080", "é", "\ufeff", "€", "😀"), maxLength: 16 }),
  fc.string({ maxLength: 200 })
)

describe("EventReader", () => {
  it("texts-of-any-length-and-alphabet-are-read-as-they-were-written", () => {
    const seen = { short: 0, long: 0, manyBytes: 0 }
    fc.assert(
      fc.property(fc.array(fc.tuple(texts, fc.maxSafeNat()), { minLength: 1, maxLength: 8 }), (items) => {
        const parts = items.flatMap(([text, number]) => {
          const bytes = Buffer.from(text)
          // Lone surrogates have no UTF-8.
          const written = bytes.toString("utf8")
          if (bytes.length <= 12) seen.short += 1
          else seen.long += 1
          if (bytes.length > written.length) seen.manyBytes += 1
          const natural = Buffer.alloc(8)
          natural.writeBigUInt64LE(BigInt(number))
          return [u32(bytes.length), bytes, natural]
        })
        // Not at the beginning of its memory, as buffers of a pool are.
        const reader = new EventReader(Buffer.concat([Buffer.from([0xff, 0xff, 0xff]), ...parts]).subarray(3))
        for (const [text, number] of items) {
          expect(reader.text()).toBe(Buffer.from(text).toString("utf8"))
          expect(reader.natural()).toBe(number)
        }
      })
    )
    expect(Math.min(seen.short, seen.long, seen.manyBytes)).toBeGreaterThan(0)
  })
})
