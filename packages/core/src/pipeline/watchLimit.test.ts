import { assert, it } from "vitest"
import { WatchLimitReached } from "./PipelineErrors.ts"

it("a-limit-that-is-reached-is-said-as-it-was-given-with-what-to-do", () => {
  const said = (limitMillis: number, kinds: ReadonlyArray<string> = ["ListenerBound"]): string =>
    new WatchLimitReached({ policy: "onListener", limitMillis, kinds }).message
  assert.strictEqual(
    said(600_000),
    "policy onListener did not fire within 10 minutes of guest time; it waits for ListenerBound: give it a deadline, such as | after 1m " +
      "in an expression, or in a program a longer watchLimit"
  )
  assert.include(said(60_000), "within 1 minute of")
  assert.include(said(1500, []), "within 1.5 s of guest time; it waits for no event")
})
