/**
 * A process that captures a guest at its listener and validates the snapshot, telling each step, until it is done or killed. In the
 * mode `replace` it replaces what stands at the target, and does not validate. Once it has told the line that it is to stay at, it
 * does nothing more: however late the kill comes, it comes there.
 *
 * `node runUntilKilled.ts JOURNAL TARGET MODE [LINE]`
 *
 * @module
 */
import { writeSync } from "node:fs"
import { Journal, Pipeline, ProgressListener, SnapshotStore } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Effect, Layer } from "effect"
import { layer as machines, linux } from "../guests.ts"

const [path = "", target = "", mode = "", staysAt] = process.argv.slice(2)

const tell = (line: string): Effect.Effect<void> =>
  Effect.sync(() => {
    writeSync(1, `${line}\n`)
    if (line === staysAt) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  })

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
