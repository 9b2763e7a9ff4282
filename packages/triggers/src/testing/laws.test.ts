import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { describe } from "vitest"
import { lawsOfTheAlgebra } from "./builtinLaws.ts"
import { defaultRuns, longestLawMillis } from "./TriggerLaw.ts"

describe("laws of the algebra, over generated timelines", () => {
  for (const law of lawsOfTheAlgebra()) {
    it.effect(
      law.name,
      () =>
        Effect.gen(function* () {
          // No policy that is made of built-in triggers wakes so often that a law is left off early.
          assert.strictEqual((yield* law.check).timelines, defaultRuns())
        }),
      longestLawMillis()
    )
  }
})
