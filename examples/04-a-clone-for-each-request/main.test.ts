import { assert, it } from "vitest"
import { runExample } from "../runExample.ts"

it("each-request-is-the-first-of-its-clone", async () => {
  assert.deepStrictEqual(await runExample(import.meta), [
    ...[1, 2, 3, 4].map((request) => `request ${request}: visit 1 of its clone`),
    "4 requests answered, 0 failed"
  ])
})
