/**
 * One boot, captured before its workload runs and again once it listens; clones of both answer a request.
 *
 * @module
 */
import { join } from "node:path"
import { type BootSpec, explain, type Firing, Gate, Pipeline, ProgressListener } from "@stillpoint/core"
import { SnapshotResources } from "@stillpoint/triggers"
import { Effect } from "effect"
import type { Machine } from "@stillpoint/core"
import { request } from "./guest.ts"

/** The figures of a capture. */
export interface Capture {
  readonly cause: "pre-exec" | "listener"
  readonly guestNanos: number
  readonly pauseMs: number
  readonly bytes: number
  readonly why: string
}

/** One clone: what its page said, and how long it took from the call of restore to the answer. */
export interface Restore {
  readonly cause: Capture["cause"]
  readonly id: string
  readonly restoreToExecMs: number
}

/** Everything that the example shows. */
export interface Report {
  readonly boot: { readonly guestNanos: number; readonly hostMs: number; readonly events: number }
  readonly captures: ReadonlyArray<Capture>
  readonly restores: ReadonlyArray<Restore>
}

const causes = ["pre-exec", "listener"] as const

const policies = {
  "pre-exec": new SnapshotResources({ onPreExec: true }).toPolicy(),
  listener: new SnapshotResources({ onListener: true, quiesceMs: 5 }).toPolicy()
}

const milliseconds = (begun: number): number => performance.now() - begun

/** Boots once and publishes both snapshots into `directory`; `observe` sees the machine before it runs. */
export const captureBoth = Effect.fn("captureBoth")(function* (
  spec: BootSpec,
  directory: string,
  observe: (machine: Machine) => Effect.Effect<void>
) {
  let watchedMs = 0
  const results = yield* Pipeline.sideBySide(
    spec,
    causes.map((cause) => ({ name: cause, policy: policies[cause], target: join(directory, cause) })),
    { observe }
  ).pipe(
    Effect.provideService(ProgressListener, ({ hostNanos, stage, status }) =>
      Effect.sync(() => {
        // The first policy that fires ends the boot.
        if (stage === "watch" && status === "finished" && watchedMs === 0) watchedMs = hostNanos / 1e6
      })
    )
  )
  const taken = yield* Effect.forEach(results, Effect.fromResult)
  const captures = taken.map(
    ({ value: { firing, pauseNanos, snapshot, storedBytes } }, index): Capture & { readonly firing: Firing } => ({
      cause: causes[index] ?? "pre-exec",
      guestNanos: snapshot.manifest.capture.atNanos,
      pauseMs: pauseNanos / 1e6,
      bytes: storedBytes,
      why: explain(firing).text,
      firing
    })
  )
  const first = captures[0]
  return {
    captures,
    boot: { guestNanos: first?.firing.atNanos ?? 0, hostMs: watchedMs, events: (first?.firing.afterSeq ?? -1) + 1 }
  }
})

/** Restores a snapshot and asks its web server for the page. */
export const askAClone = (cause: Capture["cause"], snapshot: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const begun = performance.now()
      const { machine } = yield* Gate.restore(snapshot)
      // A clone from before the workload's first instruction has yet to run it.
      if (cause === "pre-exec") yield* machine.run({ kinds: ["ListenerBound"] })
      const { stdout } = yield* machine.exec(request)
      return {
        cause,
        id: new TextDecoder().decode(stdout).trim(),
        restoreToExecMs: milliseconds(begun)
      } satisfies Restore
    })
  )
