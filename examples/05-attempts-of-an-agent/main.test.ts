import { assert, it } from "vitest"
import { runExample } from "../runExample.ts"

it("the-best-of-three-forks-goes-on-until-the-number-is-found", async () => {
  assert.deepStrictEqual(await runExample(import.meta), [
    "round 1: +20 is best, off by 1364",
    "round 2: +20 is best, off by 164",
    "round 3: +1 is best, off by 83",
    "round 4: +1 is best, off by 0",
    "found 42"
  ])
})
