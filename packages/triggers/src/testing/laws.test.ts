import { it } from "@effect/vitest"
import { describe } from "vitest"
import { lawsOfTheAlgebra } from "./builtinLaws.ts"
import { longestLawMillis } from "./TriggerLaw.ts"

describe("laws of the algebra, over generated timelines", () => {
  for (const law of lawsOfTheAlgebra()) it.effect(law.name, () => law.check, longestLawMillis())
})
