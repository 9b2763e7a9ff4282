/**
 * Shows the decision that a policy would have made.
 *
 * @module
 */
import {
  decodeTimeline,
  explain,
  guestTimeInWords,
  type RecordedTimeline,
  Snapshots,
  SnapshotStore
} from "@stillpoint/core"
import { decodePolicy, type Policy, Trigger } from "@stillpoint/triggers"
import { Effect, Result } from "effect"
import { Argument, Command } from "effect/cli"
import { causeOf } from "../../sandbox/bake.ts"
import { readMoment } from "../../sandbox/readMoment.ts"
import { answer } from "../Output.ts"
import { json } from "../arguments.ts"
import { at } from "../imageArguments.ts"
import { recordingIn } from "../inputFile.ts"
import { momentOf } from "../policyFile.ts"
import { encryptionKey } from "../keys.ts"
import { sandboxesWith } from "../layers.ts"

/** The recording in a file, or the one published with a snapshot. */
const recordingOf = Effect.fnUntraced(function* (from: string) {
  if (!from.includes("/") && !from.endsWith(".jsonl")) {
    const snapshot = yield* Snapshots.use(({ get }) => get(from, { allowUnvalidated: true }))
    const bytes = yield* SnapshotStore.use((store) => store.timeline(snapshot))
    return yield* Effect.fromResult(decodeTimeline(bytes))
  }
  return yield* recordingIn(from)
})

/** Whether a description is that of a `quiesce` that asks the agent to freeze the workload. */
const asksAgent = (value: unknown): value is { readonly agent: string } =>
  typeof value === "object" &&
  value !== null &&
  Reflect.get(value, "trigger") === "quiesce" &&
  Reflect.get(value, "agent") !== "none"

/**
 * The policy as it can be replayed on a recording. In a boot that no policy watched, nobody asked the agent to freeze the workload, so
 * it never answers there: a policy that would ask is replayed as with `agent none`.
 */
const replayable = (
  policy: Policy,
  { events }: RecordedTimeline
): { readonly policy: Policy; readonly asked: boolean } => {
  const asIs = { policy, asked: true }
  if (events.some(({ _tag }) => _tag === "AgentFrozen")) return asIs
  const description = JSON.stringify(policy.description)
  const changed = JSON.stringify(JSON.parse(description), (_, value: unknown) =>
    asksAgent(value) ? { ...value, agent: "none" } : value
  )
  if (changed === description) return asIs
  // A plug-in's policy cannot be read back; it is replayed as it is.
  const read = decodePolicy(JSON.parse(changed))
  return Result.isSuccess(read) ? { policy: read.success, asked: false } : asIs
}

const notAsked =
  "The recording has no freeze, since no policy watched it: the calm was counted without one (agent none). A capture comes later by the freeze."

export const replayCommand = Command.make(
  "replay",
  {
    from: Argument.String("recording").pipe(
      Argument.withDescription(
        "A snapshot, or a file written by stillpoint record (a path with a slash, or ending in .jsonl)"
      )
    ),
    at,
    encryptionKey,
    json
  },
  ({ at, encryptionKey, from, json }) =>
    Effect.gen(function* () {
      const given = yield* readMoment(yield* momentOf(at))
      const timeline = yield* recordingOf(from)
      const { asked, policy } = replayable(given, timeline)
      const firing = yield* Effect.fromResult(Trigger.replay(policy, timeline))
      const why = explain(firing).text
      yield* answer(
        json,
        { cause: causeOf(firing), guestNanos: firing.atNanos, why, agent: asked ? "asked" : "none" },
        [`${causeOf(firing)}, ${guestTimeInWords(firing.atNanos)} of guest time`, why, ...(asked ? [] : [notAsked])]
      )
    }).pipe(sandboxesWith({ encryptionKey }))
).pipe(
  Command.withDescription("Show when a policy would have captured a recorded guest, without booting one"),
  Command.withExamples([
    { command: "stillpoint replay web --at 'serial \"ready\" | after 2s'" },
    { command: "stillpoint replay ./boot.jsonl --at 'listener & calm 200ms'" }
  ])
)
