import { assert, it } from "@effect/vitest"
import { takeCase } from "./caseLines.ts"
import { Outcome } from "./Outcome.ts"

it("a-program's-cases-are-counted-and-its-own-count-is-not-shown", () => {
  const outcome = new Outcome()
  const lines = [
    "ok one (1.2 s)",
    "not ok two: expected 1, found 2",
    "  more of two",
    "skipped: no QEMU",
    "1 passed, 1 failed, 4 skipped"
  ]
  assert.deepStrictEqual(
    lines.map((line) => takeCase(outcome, line)),
    [true, true, true, true, false]
  )
  assert.strictEqual(outcome.passed, 1)
  assert.deepStrictEqual(outcome.failures, [{ test: "two", said: ["expected 1, found 2"] }])
  assert.deepStrictEqual(outcome.skips, ["no QEMU"])
  assert.strictEqual(outcome.skipped, 4)
})
