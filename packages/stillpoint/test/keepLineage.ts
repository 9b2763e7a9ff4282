/** A store with something in it to send elsewhere, made without booting a guest. */
import { Snapshots } from "@stillpoint/core"
import { publishSample } from "@stillpoint/core/testing"
import { Effect } from "effect"

/** A delta with a verdict, called `web`, and what it was taken against; signed if the store signs. */
export const keepLineage = Effect.scoped(
  Effect.gen(function* () {
    const snapshots = yield* Snapshots
    const full = yield* snapshots.draft
    yield* publishSample(full, "full")
    const { digest } = yield* snapshots.keep(full)
    const parent = yield* snapshots.get(digest)
    const delta = yield* snapshots.draft
    yield* publishSample(delta, "delta", { parent, verdict: "passed" })
    return yield* snapshots.keep(delta, "web")
  })
)
