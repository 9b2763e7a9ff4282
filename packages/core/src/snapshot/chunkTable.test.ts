import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { decodeChunkTable, type FilePart, type MemoryPart } from "./chunkTable.ts"

const chunkBytes = 16_384
const chunkPages = 4

interface Chunk {
  /** Bits of its pages that are stored; 0: it is not. */
  readonly pages: number
  readonly object: number
  readonly slot: number
}

const name = (object: number): string => object.toString(16).padStart(64, "0")

/** A table, as the core writes it. */
const encoded = (chunks: ReadonlyArray<Chunk>, version = 3): Uint8Array => {
  const u32 = (value: number) => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value)
    return bytes
  }
  const runs: Array<{ readonly object: number; readonly slot: number; readonly count: number }> = []
  for (const { object, pages, slot } of chunks) {
    if (pages === 0) continue
    const last = runs.at(-1)
    if (last !== undefined && last.object === object && last.slot + last.count === slot) {
      runs[runs.length - 1] = { ...last, count: last.count + 1 }
    } else runs.push({ object, slot, count: 1 })
  }
  const bits = Buffer.alloc(Math.ceil(chunks.length / 2))
  for (const [at, { pages }] of chunks.entries()) {
    bits[at >> 1] = (bits[at >> 1] ?? 0) | (pages << (4 * (at & 1)))
  }
  const count = Buffer.alloc(8)
  count.writeBigUInt64LE(BigInt(chunks.length * chunkPages))
  const places =
    version < 3
      ? []
      : [
          u32(3),
          ...[0, 1, 2].flatMap((object) => [Buffer.from(name(object), "hex"), u32(1024)]),
          u32(runs.length),
          ...runs.flatMap(({ count, object, slot }) => [u32(object), u32(slot), u32(count)])
        ]
  return Buffer.concat([Buffer.from("STILLDIG"), u32(version), u32(chunkBytes), count, ...places, bits])
}

const chunk: fc.Arbitrary<Chunk> = fc.record({
  pages: fc.nat(15),
  object: fc.nat(2),
  // Few, so that some follow each other.
  slot: fc.nat(3)
})

describe("a table of chunks", () => {
  it("says-for-every-range-which-bytes-have-its-chunks", () =>
    fc.assert(
      fc.property(
        fc.array(chunk, { minLength: 1, maxLength: 40 }),
        fc.uniqueArray(fc.nat(159), { maxLength: 20 }),
        (chunks, pages) => {
          const parts: ReadonlyArray<MemoryPart> = pages
            .filter((page) => page < chunks.length * chunkPages)
            .toSorted((one, other) => one - other)
            .map((page) => ({ from: page * 4096, to: (page + 1) * 4096 }))
          const table = Result.getOrThrow(decodeChunkTable(encoded(chunks)))
          assert.isNotNull(table)
          const bytes = (found: ReadonlyArray<FilePart>) =>
            found.flatMap(({ file, from, to }) =>
              Array.from({ length: (to - from) / chunkBytes }, (_, at) => `${file} ${from / chunkBytes + at}`)
            )
          const touched = [...new Set(parts.map(({ from }) => Math.floor(from / chunkBytes)))]
          const expected = touched.flatMap((at) => {
            const { object = 0, pages = 0, slot = 0 } = chunks[at] ?? {}
            return pages === 0 ? [] : [`${name(object)} ${slot}`]
          })
          assert.deepStrictEqual(bytes(table?.(parts) ?? []), expected)
        }
      )
    ))

  it("of-an-earlier-version-has-no-objects-and-anything-else-is-refused", () => {
    assert.isNull(Result.getOrThrow(decodeChunkTable(encoded([], 2))))
    for (const bytes of [new Uint8Array(0), new Uint8Array(100), encoded([]).subarray(0, 20)]) {
      assert.isTrue(Result.isFailure(decodeChunkTable(bytes)))
    }
  })
})
