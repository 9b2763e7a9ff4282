import { assert, it } from "vitest"
import { hasRegistry, startRegistry } from "../../scripts/testing/registryOf.ts"
import { runExample } from "../runExample.ts"

const why = hasRegistry ? "" : " (skipped: no docker-registry)"

it.skipIf(why !== "")(`what-one-store-pushed-another-one-pulls-and-serves${why}`, async () => {
  const registry = await startRegistry()
  try {
    assert.deepStrictEqual(await runExample(import.meta, registry.host), [
      "pushed: all of it, then 0 bytes more",
      "pulled: the same snapshot",
      "served: Stillpoint"
    ])
  } finally {
    await registry.stop()
  }
})
