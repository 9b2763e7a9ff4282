import { assert, it } from "@effect/vitest"
import { describe } from "vitest"
import { eventKinds, kindNumber, kindSet, kindsOf, unknownKind } from "./eventKinds.ts"

describe("kinds of events", () => {
  it("every-kind-has-its-place-as-its-number-and-a-set-of-them-holds-any", () => {
    assert.deepStrictEqual(
      eventKinds.map(kindNumber),
      eventKinds.map((_, place) => place)
    )
    assert.strictEqual(kindNumber("NoSuchKind"), unknownKind)
    assert.deepStrictEqual(kindsOf(kindSet([])), [])
    assert.deepStrictEqual(kindsOf(kindSet(eventKinds)), eventKinds)
  })
})
