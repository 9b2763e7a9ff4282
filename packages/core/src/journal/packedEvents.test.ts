import { assert, describe, it } from "vitest"
import * as fc from "fast-check"
import { packEvents, unpackEvents } from "./packedEvents.ts"

const record = fc.record({
  type: fc.oneof(fc.constantFrom("One", "Two"), fc.string({ unit: "binary" })),
  schemaVersion: fc.nat(),
  json: fc.oneof(fc.json(), fc.string({ unit: "binary" }), fc.constant(""))
})

describe("packed events", () => {
  it("come-back-as-they-were", () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 30 }), (records) => {
        const rows = packEvents(records)
        assert.deepStrictEqual(
          rows.flatMap((row) => unpackEvents(row) ?? assert.fail("unpacked")),
          records
        )
        assert.isTrue(rows.every(({ count }) => count > 0))
      })
    )
  })

  it("go-into-several-rows-when-they-are-large", () => {
    const records = Array.from({ length: 100 }, (_, value) => ({
      type: "Large",
      schemaVersion: 1,
      json: JSON.stringify(String(value).repeat(20_000))
    }))
    const rows = packEvents(records)
    assert.isAbove(rows.length, 1)
    assert.deepStrictEqual(
      rows.flatMap((row) => unpackEvents(row) ?? []),
      records
    )
  })

  it("are-refused-where-their-parts-do-not-fit-together", () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), fc.json(), (records, other) => {
        const [row = { count: 0, kinds: "", body: "" }] = packEvents(records)
        assert.isNull(unpackEvents({ ...row, body: `${row.body}x` }))
        assert.isNull(unpackEvents({ ...row, count: row.count + 1 }))
        assert.isNull(unpackEvents({ ...row, kinds: row.kinds.slice(1) }))
        // Whatever else is there, it is events or refused.
        unpackEvents({ ...row, kinds: other })
      })
    )
  })
})
