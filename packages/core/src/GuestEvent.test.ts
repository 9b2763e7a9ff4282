import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { GuestEvent, GuestEventJson } from "./GuestEvent.ts"

it.effect("a-guest-event-survives-json", () =>
  Effect.gen(function* () {
    const event = GuestEvent.cases.ExecOutput.make({
      seq: 1,
      atNanos: 2,
      id: 3,
      stream: "stdout",
      data: new Uint8Array([0, 255])
    })
    const json = yield* Schema.encodeEffect(GuestEventJson)(event)
    assert.deepStrictEqual(yield* Schema.decodeUnknownEffect(GuestEventJson)(JSON.parse(JSON.stringify(json))), event)
  })
)
