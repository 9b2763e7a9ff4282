import type { GuestEvent } from "@stillpoint/core"
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { bootPicture } from "./bootPicture.ts"

describe("the picture of a boot", () => {
  it("has-one-line-a-moment-in-the-order-of-time-whatever-the-guest-calls-itself", () => {
    const event = fc.record({ atNanos: fc.nat(1e10), word: fc.string({ unit: "binary" }) })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 10 }), (moments) => {
        const events = moments.map(({ atNanos, word }, seq): GuestEvent =>
          seq % 2 === 0
            ? { _tag: "WorkloadPreExec", seq, atNanos, argv: [word], holdNanos: null }
            : { _tag: "ListenerBound", seq, atNanos, protocol: "tcp", address: word, port: 80 }
        )
        const lines = bootPicture(events)
        assert.strictEqual(lines.length, moments.length + 1)
        const columns = lines.map((line) => /^-*/.exec(line)?.[0].length ?? 0)
        assert.deepStrictEqual(
          columns,
          columns.toSorted((a, b) => a - b)
        )
        for (const line of lines) assert.notMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      })
    )
  })

  it("leaves-out-what-only-ticks", () => {
    assert.strictEqual(bootPicture([{ _tag: "HeartbeatTick", seq: 0, atNanos: 5, count: 1 }]).length, 1)
  })
})
