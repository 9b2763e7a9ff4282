/** A store with something in it to send elsewhere, made without booting a guest. */
import { keepSample } from "@stillpoint/core/testing"
import { Effect } from "effect"

/** A delta with a verdict, called `web`, and what it was taken against; signed if the store signs. */
export const keepLineage = Effect.flatMap(keepSample("full"), ({ digest }) =>
  keepSample("delta", "web", { parent: digest, verdict: "passed" })
)
