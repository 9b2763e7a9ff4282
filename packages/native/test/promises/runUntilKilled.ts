/**
 * A process that captures a guest at its listener and validates the snapshot, telling each step, until it is done or killed. With
 * `replace` it replaces what stands at the target, and does not validate.
 *
 * `node runUntilKilled.ts JOURNAL TARGET [replace]`
 *
 * @module
 */
import { writeSync } from "node:fs"
import { Journal, Pipeline, ProgressListener, SnapshotStore } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Effect, Layer } from "effect"
import { layer as machines, linux } from "../guests.ts"

const [path = "", target = "", mode = ""] = process.argv.slice(2)

const tell = (line: string): Effect.Effect<void> => Effect.sync(() => void writeSync(1, `${line}\n`))

const program = Effect.gen(function* () {
  const spec = yield* linux()
  yield* tell("begun")
  yield* Pipeline.run(spec, {
    policy: kindTrigger("ListenerBound"),
    target,
    ...(mode === "replace"
      ? { replace: true }
      : { validate: Pipeline.execProbe({ argv: ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"] }) })
  })
  yield* tell("done")
})

await Effect.runPromise(
  Effect.scoped(program).pipe(
    Effect.provideService(ProgressListener, ({ stage, status }) => tell(`${stage} ${status}`)),
    Effect.provide(Layer.mergeAll(machines, SnapshotStore.layerHost, Journal.layerSqlite({ path })))
  )
)
