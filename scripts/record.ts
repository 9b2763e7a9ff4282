/**
 * Records the timelines that are kept of this version of the contract: `make record`, or `make record ARGS="parks crashes"` for
 * others of the scenarios.
 *
 * Recordings of version 1 are in `fixtures/timelines/` and never change. Those of a later version are in a folder of that
 * version beside them: only the ones that a test compares with a boot.
 *
 * Each boot is named for what it proves; equal kernel, agent and engine give equal bytes. `--check` records nothing and lists
 * recordings that a boot no longer reproduces.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { encodeTimeline, timelineVersion } from "@stillpoint/core"
import { NativeAgent, NativeVmm } from "@stillpoint/native"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Layer } from "effect"
import { recordScenario } from "./recording/recordScenario.ts"
import { keptScenarios, scenarios } from "./recording/scenarios.ts"

const directory = fileURLToPath(new URL(`../fixtures/timelines/v${timelineVersion}`, import.meta.url))
const names = process.argv.slice(2).filter((argument) => !argument.startsWith("--"))
const isCheck = process.argv.includes("--check")

const unknown = names.filter((name) => !scenarios.some((scenario) => scenario.name === name))
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(", ")}; known are ${scenarios.map(({ name }) => name).join(", ")}`)
  process.exit(2)
}

const chosen = scenarios.filter(({ name }) => (names.length === 0 ? keptScenarios : names).includes(name))

const program = Effect.gen(function* () {
  yield* Effect.promise(() => mkdir(directory, { recursive: true }))
  let differing = 0
  for (const [index, scenario] of chosen.entries()) {
    const path = join(directory, `${scenario.name}.ndjson`)
    const started = performance.now()
    const timeline = yield* recordScenario(scenario)
    const bytes = encodeTimeline(timeline)
    const before = yield* Effect.promise(() => readFile(path).catch(() => undefined))
    const isSame = before !== undefined && Buffer.compare(before, bytes) === 0
    if (!isSame) differing += 1
    if (!isSame && !isCheck) yield* Effect.promise(() => writeFile(path, bytes))
    const took = ((performance.now() - started) / 1000).toFixed(1)
    console.log(
      `${index + 1}/${chosen.length} ${scenario.name}: ${timeline.events.length} events, ` +
        `${(timeline.end?.atNanos ?? 0) / 1e9} s of guest time (${timeline.end?.reason}), ${isSame ? "as recorded" : "differs"}, ${took} s`
    )
  }
  if (isCheck && differing > 0) process.exitCode = 1
})

await Effect.runPromise(
  program.pipe(Effect.provide(Layer.mergeAll(NativeVmm.layer, Layer.provide(GuestKit.layer, NativeAgent.layer))))
)
