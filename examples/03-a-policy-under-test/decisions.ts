/**
 * The policy's decision on every recorded boot of a folder, with its reasons.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { decodeTimeline, explain, type Firing } from "@stillpoint/core"
import { Trigger } from "@stillpoint/triggers"
import { Result } from "effect"
import { serverIsReady } from "./policy.ts"

/** A recorded boot and the decision on it. */
export interface Decision {
  readonly recording: string
  /** None if the policy did not fire. */
  readonly firing: Firing | null
  /** Why it fired then, or why it did not. */
  readonly explanation: string
}

export const decisions = (directory: string): ReadonlyArray<Decision> =>
  readdirSync(directory)
    .filter((file) => file.endsWith(".ndjson"))
    .toSorted()
    .map((file) => {
      const timeline = Result.getOrThrow(decodeTimeline(readFileSync(join(directory, file))))
      const recording = file.replace(/\.ndjson$/, "")
      return Result.match(Trigger.replay(serverIsReady, timeline), {
        onSuccess: (firing): Decision => ({ recording, firing, explanation: explain(firing).text }),
        onFailure: (error) => ({ recording, firing: null, explanation: error.message })
      })
    })
