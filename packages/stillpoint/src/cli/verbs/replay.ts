/**
 * Shows the decision that a policy would have made.
 *
 * @module
 */
import { decodeTimeline, explain, guestTimeInWords, Snapshots, SnapshotStore } from "@stillpoint/core"
import { Trigger } from "@stillpoint/triggers"
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { causeOf } from "../../sandbox/bake.ts"
import { readMoment } from "../../sandbox/readMoment.ts"
import { answer } from "../Output.ts"
import { json } from "../arguments.ts"
import { at } from "../imageArguments.ts"
import { recordingIn } from "../inputFile.ts"
import { momentOf } from "../policyFile.ts"
import { sandboxes } from "../layers.ts"

/** The recording in a file, or the one published with a snapshot. */
const recordingOf = Effect.fnUntraced(function* (from: string) {
  if (!from.includes("/") && !from.endsWith(".jsonl")) {
    const snapshot = yield* Snapshots.use(({ get }) => get(from, { allowUnvalidated: true }))
    const bytes = yield* SnapshotStore.use((store) => store.timeline(snapshot))
    return yield* Effect.fromResult(decodeTimeline(bytes))
  }
  return yield* recordingIn(from)
})

export const replayCommand = Command.make(
  "replay",
  {
    from: Argument.String("recording").pipe(
      Argument.withDescription(
        "A snapshot, or a file written by stillpoint record (a path with a slash, or ending in .jsonl)"
      )
    ),
    at,
    json
  },
  ({ at, from, json }) =>
    Effect.gen(function* () {
      const policy = yield* readMoment(yield* momentOf(at))
      const timeline = yield* recordingOf(from)
      const firing = yield* Effect.fromResult(Trigger.replay(policy, timeline))
      const why = explain(firing).text
      yield* answer(json, { cause: causeOf(firing), guestNanos: firing.atNanos, why }, [
        `${causeOf(firing)}, ${guestTimeInWords(firing.atNanos)} of guest time`,
        why
      ])
    }).pipe(sandboxes)
).pipe(
  Command.withDescription("Show when a policy would have captured a recorded guest, without booting one"),
  Command.withExamples([
    { command: "stillpoint replay web --at 'serial \"ready\" | after 2s'" },
    { command: "stillpoint replay ./boot.jsonl --at 'listener & calm 200ms'" }
  ])
)
