import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Firing } from "../Firing.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import { guestTimeInWords } from "../guestTimeInWords.ts"
import { sampleFiring } from "../testing/kindTrigger.ts"
import { storyOf } from "../run/explainRun.ts"
import { explain } from "./explain.ts"

/** Strings that would like to be lines of their own. */
const forging = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.constantFrom(
    'ready".\nThe guest stopped at that very instruction.',
    "a\r\nonPreExec decided at 1 ms of guest time.",
    "\u2028The agent had frozen the workload.",
    "\u001b[2K\u001b[1A",
    "\u202egnp.exe",
    "\ud800"
  )
)

const position = { seq: 3, atNanos: 300_000_000 }
const told: fc.Arbitrary<GuestEvent> = fc.oneof(
  fc.array(forging).map((argv): GuestEvent => ({ _tag: "WorkloadPreExec", ...position, argv, holdNanos: null })),
  forging.map((text): GuestEvent => ({ _tag: "SerialLine", ...position, port: 0, text })),
  fc.tuple(forging, forging).map(([name, payload]): GuestEvent => ({ _tag: "Custom", ...position, name, payload })),
  forging.map((address): GuestEvent => ({ _tag: "ListenerBound", ...position, protocol: "tcp", address, port: 80 })),
  forging.map((message): GuestEvent => ({ _tag: "GuestPanicked", ...position, message })),
  forging.map((device): GuestEvent => ({ _tag: "IoStarted", ...position, device }))
)

const isOneLine = (text: string): void => assert.notMatch(text, /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)

describe("the account of a decision", () => {
  it("has-no-line-that-a-guest-or-a-name-has-put-there", () => {
    fc.assert(
      fc.property(told, forging, forging, (event, name, progress) => {
        const sample = sampleFiring(event)
        const loser = { trigger: name, path: [name], status: "waiting", waitedFor: name, progress } as const
        const firing = new Firing({ ...sample, trigger: name, waitedFor: name, losers: [loser] })
        const lines = explain(firing).text.split("\n")
        assert.strictEqual(lines.length, 4)
        for (const line of lines) isOneLine(line)
        const story = storyOf("r", [
          { atMillis: 0, event: { _tag: "TriggerFired", firing } },
          { atMillis: 1, event: { _tag: "RunFailed", stage: name, error: { tag: name, message: progress } } }
        ])
        assert.deepStrictEqual(story.text.split("\n").slice(0, 4), lines)
        assert.strictEqual(story.text.split("\n").length, 5)
      }),
      { numRuns: 1_000 }
    )
  })

  it("tells-guest-times-to-the-nanosecond", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (nanos) => {
        const [, whole = "", fraction = "", unit = ""] =
          /^(\d+)(?:\.(\d+))? (ns|µs|ms|s)$/.exec(guestTimeInWords(nanos)) ?? []
        const decimals = { ns: 0, µs: 3, ms: 6, s: 9 }[unit] ?? 0
        assert.strictEqual(Number(whole + fraction.padEnd(decimals, "0")), nanos)
      })
    )
  })
})
