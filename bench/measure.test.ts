import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { afterEach } from "vitest"
import { inTurns, measure, median } from "./measure.ts"
import { row } from "./row.ts"

describe("measure", () => {
  const wanted = process.env["STILLPOINT_BENCH_ROUNDS"]
  delete process.env["STILLPOINT_BENCH_ROUNDS"]
  afterEach(() => {
    if (wanted === undefined) delete process.env["STILLPOINT_BENCH_ROUNDS"]
    else process.env["STILLPOINT_BENCH_ROUNDS"] = wanted
  })

  it("sides-take-turns-and-warm-ups-do-not-count", async () => {
    const order: Array<string> = []
    const side = (name: string) => () => order.push(name)
    const [ours, theirs] = await inTurns([side("ours"), side("theirs")], { rounds: 2, warmUps: 1 })
    assert.deepStrictEqual(order, ["ours", "theirs", "ours", "theirs", "ours", "theirs"])
    assert.deepStrictEqual(
      [ours, theirs],
      [
        [3, 5],
        [4, 6]
      ]
    )
  })

  it("no-bench-reads-a-clock-of-its-own", () => {
    const benches = globSync("*.bench.ts", { cwd: import.meta.dirname })
    assert.isNotEmpty(benches)
    const clock = /performance\.now|Date\.now|hrtime/
    const reading = benches.filter((bench) => clock.test(readFileSync(join(import.meta.dirname, bench), "utf8")))
    assert.deepStrictEqual(reading, [])
  })

  it("the-environment-says-how-often", async () => {
    process.env["STILLPOINT_BENCH_ROUNDS"] = "3"
    let runs = 0
    await measure([() => ++runs], { rounds: 50, warmUps: 1 })
    assert.strictEqual(runs, 4)
  })

  it("the-median-has-as-many-values-below-as-above", () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const middle = median(values)
        const below = values.filter((value) => value < middle).length
        const above = values.filter((value) => value > middle).length
        return below <= values.length / 2 && above <= values.length / 2
      })
    )
  })

  it("a-ratio-below-one-is-better-for-us-whichever-way-counts", () => {
    assert.strictEqual(row("boot", "ms", 100, { peer: "peer", peerValue: 200 }).ratio, 0.5)
    assert.strictEqual(row("rate", "events/s", 200, { peer: "peer", peerValue: 100, better: "more" }).ratio, 0.5)
    assert.isNull(row("alone", "ms", 1).ratio)
  })
})
