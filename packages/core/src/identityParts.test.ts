import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import * as fc from "fast-check"
import { checkedIdentity } from "./agent/checkedRequest.ts"
import { gateProblems } from "./gate/gateProblems.ts"
import { workloadSpecSchema } from "./WorkloadSpec.ts"

const letters = [..."azAZ09"]

/** Said another way than by the pattern: what RFC 1123 has for labels, and Linux for the whole. */
const isHostName = (text: string): boolean =>
  text.length <= 64 &&
  text.split(".").every((label) => {
    const all = [...label]
    const [first] = all
    const last = all.at(-1)
    return (
      first !== undefined &&
      last !== undefined &&
      first !== "-" &&
      last !== "-" &&
      all.length <= 63 &&
      all.every((character) => /[A-Za-z0-9-]/.test(character))
    )
  })

const label = fc.string({ unit: fc.constantFrom(...letters, ...letters, "-"), maxLength: 6 })
const almost = fc.oneof(
  fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join(".")),
  fc.string({ unit: fc.constantFrom(...letters, "-", ".", "_", "\n", "é", "\0"), maxLength: 4 }),
  fc.tuple(fc.integer({ min: 60, max: 66 }), fc.nat(66)).map(([length, dot]) => {
    const text = "a".repeat(length)
    return dot < length ? `${text.slice(0, dot)}.${text.slice(dot + 1)}` : text
  }),
  fc.constantFrom("web-", "-web", "a..b", ".", "", "a.", "web\n", "a-.b")
)

const right = {
  entropy: new Uint8Array(32),
  realtimeNanos: null,
  hostname: null,
  machineId: null,
  env: {},
  thaw: false
}

const takes = {
  "an agent": (part: object) => Exit.isSuccess(Effect.runSyncExit(checkedIdentity({ ...right, ...part }))),
  "a gate": (part: object) => gateProblems("gate", { identity: part }).length === 0
}

describe("what a part of an identity may be is the same wherever it is chosen", () => {
  it("a-host-name", () =>
    fc.assert(
      fc.property(almost, (hostname) => {
        const isOne = isHostName(hostname)
        for (const [who, isTaken] of Object.entries(takes)) assert.strictEqual(isTaken({ hostname }), isOne, who)
        const isOfWorkload = Schema.is(workloadSpecSchema)({ argv: ["true"], hostname })
        assert.strictEqual(isOfWorkload, isOne, "a workload")
      }),
      { numRuns: 1_000, examples: [["web-"], ["a".repeat(63)], ["a".repeat(64)], ["a.b-"]] }
    ))

  it("a-machine-id-entropy-and-an-environment", () => {
    const digits = fc.string({ unit: fc.constantFrom(..."0123456789abcdefAg"), minLength: 31, maxLength: 33 })
    const sizes = fc.constantFrom(0, 31, 32, 64, 4_096, 4_097)
    const name = fc.string({ unit: fc.constantFrom("a", "=", "\0", " "), maxLength: 2 })
    fc.assert(
      fc.property(fc.oneof(digits, fc.constant("0".repeat(32))), sizes, name, name, (machineId, size, key, value) => {
        const parts: ReadonlyArray<readonly [object, boolean]> = [
          [{ machineId }, /^[0-9a-f]{32}$/.test(machineId)],
          [{ entropy: new Uint8Array(size) }, size >= 32 && size <= 4_096],
          [{ env: { [key]: value } }, key !== "" && !/[=\0]/.test(key) && !value.includes("\0")]
        ]
        for (const [part, isOne] of parts)
          for (const [who, isTaken] of Object.entries(takes)) assert.strictEqual(isTaken(part), isOne, who)
      })
    )
  })
})
