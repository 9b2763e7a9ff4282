/**
 * A process that captures a real guest and kills itself when its run comes to a boundary of a stage, or after some time.
 *
 * `node killedRun.ts JOURNAL TARGET STAGE STATUS [MILLISECONDS]`
 *
 * @module
 */
import { journalSqlite, Pipeline, ProgressListener, SnapshotStore } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Effect, Layer } from "effect"
import { layer, linux } from "./guests.ts"

const [path = "", target = "", stage = "", status = "", delay = "0"] = process.argv.slice(2)

const die = (): void => process.kill(process.pid, "SIGKILL") as unknown as void

const program = Effect.gen(function* () {
  const spec = yield* linux()
  return yield* Effect.scoped(
    Pipeline.run(spec, {
      policy: kindTrigger("ListenerBound"),
      target,
      validate: Pipeline.execProbe({ argv: ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"] })
    })
  )
}).pipe(
  Effect.provideService(ProgressListener, (progress) =>
    Effect.sync(() => {
      if (progress.stage !== stage || progress.status !== status) return
      if (delay === "0") die()
      else setTimeout(die, Number(delay))
    })
  ),
  Effect.provide(Layer.mergeAll(layer, SnapshotStore.layerHost, journalSqlite({ path })))
)

await Effect.runPromise(program)
