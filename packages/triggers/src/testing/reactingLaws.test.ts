import { it } from "@effect/vitest"
import { describe } from "vitest"
import { longestLawMillis } from "./TriggerLaw.ts"
import { lawsOfReactingGuests } from "./reactingLaws.ts"

describe("laws of the algebra, over guests that react", () => {
  for (const law of lawsOfReactingGuests()) it.effect(law.name, () => law.check, longestLawMillis())
})
