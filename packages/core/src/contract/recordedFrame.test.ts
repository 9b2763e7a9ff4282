import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { frameNameOf } from "./contract.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import { mayHaveStarted } from "../pipeline/stages/freeze.ts"
import { recordedFrame } from "./recordedFrame.ts"

type Input = Extract<GuestEvent, { readonly _tag: "HostInput" }>

/** The host's bytes on the agent's port: length, the frame's number, its fields. */
const sent = (number: number, fields: ReadonlyArray<number> = []): Input => {
  const data = Uint8Array.of(fields.length + 1, 0, 0, 0, number, ...fields)
  return { _tag: "HostInput", seq: 1, atNanos: 5, kind: "control", port: 1, data }
}

const held: GuestEvent = { _tag: "WorkloadPreExec", seq: 0, atNanos: 1, argv: ["/bin/true"], holdNanos: null }
const go = 0x81

describe("what the host said to the agent", () => {
  it("is-told-by-the-number-behind-its-length", () => {
    const byte = fc.nat(255)
    fc.assert(
      fc.property(byte, fc.array(byte, { maxLength: 9 }), (number, fields) => {
        assert.strictEqual(recordedFrame(sent(number, fields)), frameNameOf(number))
      })
    )
    assert.strictEqual(recordedFrame(sent(go)), "Go")
  })

  it("is-nothing-where-nothing-was-said-or-its-bytes-are-not-there", () => {
    for (const kind of ["serial", "renewal", "withheld", "network"] as const) {
      assert.isNull(recordedFrame({ ...sent(go), kind }))
    }
    assert.isNull(recordedFrame({ ...sent(go), data: new Uint8Array(4) }))
    assert.isFalse(mayHaveStarted([held], 9e9))
  })

  it("a-held-workload-may-have-started-once-it-was-told-to-go-and-by-nothing-else", () => {
    assert.isFalse(mayHaveStarted([held], 9e9))
    for (let number = 0; number < 256; number++) {
      assert.strictEqual(mayHaveStarted([held, sent(number)], 9e9), number === go, `${number}`)
    }
    assert.isTrue(mayHaveStarted([held, sent(go)], 9e9))
  })
})
