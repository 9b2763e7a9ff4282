import * as fc from "fast-check"
import { assert, describe, it } from "vitest"
import { binned, counted, timeInWords } from "./binned.js"

const shapes = fc.constantFrom("count", "sum", "level", "share")
const lanes = fc.record({
  shape: shapes,
  steps: fc.array(fc.tuple(fc.nat(200), fc.nat(1)), { minLength: 10, maxLength: 60 }),
  view: fc.tuple(fc.nat(1000), fc.integer({ min: 1, max: 20_000 })),
  columns: fc.integer({ min: 1, max: 40 })
})

describe("what the columns of a drawing show", () => {
  it("is-all-of-what-is-in-view-and-nothing-else-however-many-columns-there-are", () => {
    let seen = 0
    fc.assert(
      fc.property(lanes, ({ columns, shape, steps, view: [from, size] }) => {
        let now = 0
        const at = Float64Array.from(steps, ([step]) => (now += step))
        const values = Float64Array.from(steps, ([, value]) => value)
        const to = from + size
        const drawn = binned({ shape, at, values: shape === "count" ? null : values }, from, to, columns)
        const inView = [...at.keys()].filter((index) => (at[index] ?? 0) >= from && (at[index] ?? 0) <= to)
        seen += inView.length
        assert.lengthOf(drawn.ys, columns)
        assert.strictEqual(drawn.points, inView.length)
        const sum = drawn.ys.reduce<number>((all, y) => all + (y ?? 0), 0)
        if (shape === "count") assert.strictEqual(sum, inView.length)
        if (shape === "sum") {
          assert.strictEqual(
            sum,
            inView.reduce((all, index) => all + (values[index] ?? 0), 0)
          )
        }
        if (shape === "level" || shape === "share") {
          // The level at an instant, from the last point up to it.
          const levelAt = (time: number): number => {
            const last = at.findLastIndex((then) => then <= time)
            return last < 0 ? (shape === "share" ? 1 : 0) : (values[last] ?? 0)
          }
          const width = size / columns
          for (const [column, y] of drawn.ys.entries()) {
            const level = levelAt(from + (column + 0.5) * width)
            if (shape === "level") assert.isAtLeast(y ?? 0, level)
            else assert.isTrue((y ?? 0) >= 0 && (y ?? 0) <= 1)
          }
          if (shape === "share") assert.closeTo(drawn.total, sum / columns, 1e-6)
        }
      }),
      { numRuns: 500 }
    )
    assert.isAbove(seen, 1000)
  })

  it("is-nothing-after-the-end-of-what-was-recorded", () => {
    const { total, ys } = binned({ shape: "share", at: Float64Array.of(5), values: Float64Array.of(0) }, 0, 20, 4, 10)
    assert.deepStrictEqual(ys, [1, 0, null, null])
    assert.strictEqual(total, 0.5)
  })

  it("is-told-in-the-words-of-people", () => {
    assert.deepStrictEqual(
      [counted(1, "events"), counted(1200, "lines"), timeInWords(702_088_991, 1e9), timeInWords(5e9, 5e9)],
      ["1 event", "1,200 lines", "702 ms", "5 s"]
    )
  })
})
