import { it } from "@effect/vitest"
import { describe } from "vitest"
import { longestLawMillis } from "./TriggerLaw.ts"
import { lawsOfReactingGuests } from "./reactingLaws.ts"

/** What policies do not keep yet. `STILLPOINT_ALL_LAWS=1` checks these as well. */
const notYetKept: ReadonlySet<string> = new Set(
  process.env["STILLPOINT_ALL_LAWS"] === "1"
    ? []
    : [
        "equal-policies-do-the-same-to-a-reacting-guest",
        "what-is-said-of-the-agent-is-so",
        "a-freeze-without-a-capture-is-given-back",
        "a-decision-on-pre-exec-is-before-the-workload",
        "a-settled-wait-after-a-listener-finds-it-still-there",
        "a-quiesce-takes-no-time-of-the-workload",
        "beside-policies-that-freeze-nothing-is-missed"
      ]
)

describe("laws of the algebra, over guests that react", () => {
  for (const law of lawsOfReactingGuests()) {
    it.effect.skipIf(notYetKept.has(law.name))(law.name, () => law.check, longestLawMillis())
  }
})
