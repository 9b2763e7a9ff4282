import { assert, it } from "@effect/vitest"
import { describe } from "vitest"
import { eventKinds, kindNumber, unknownKind } from "./eventKinds.ts"

describe("kinds of events", () => {
  it("every-kind-has-its-place-as-its-number", () => {
    assert.deepStrictEqual(
      eventKinds.map(kindNumber),
      eventKinds.map((_, place) => place)
    )
    assert.strictEqual(kindNumber("NoSuchKind"), unknownKind)
  })
})
