import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import { encodeTimeline, GuestTimeline, lockstepTimeline, timelineVersion, Vmm } from "@stillpoint/core"
import { NativeAgent, NativeVmm } from "@stillpoint/native"
import { defaultDirectory, GuestKit } from "@stillpoint/kit"
import { onPreExec, Trigger } from "@stillpoint/triggers"
import { Effect, Layer, Result } from "effect"
import { describe } from "vitest"
import { recordScenario } from "./recordScenario.ts"
import { keptScenarios, scenarios } from "./scenarios.ts"

const addon = fileURLToPath(new URL("../../packages/native/stillpoint.node", import.meta.url))
const missing = [addon, NativeAgent.path, `${defaultDirectory()}/packages`].filter((path) => !existsSync(path))
const isMissing = missing.length > 0
const why = isMissing ? ` (skipped: ${missing.join(", ")} missing; make setup)` : ""

const live = Layer.mergeAll(NativeVmm.layer, Layer.provide(GuestKit.layer, NativeAgent.layer))
const recordingOf = (name: string) =>
  fileURLToPath(new URL(`../../fixtures/timelines/v${timelineVersion}/${name}.ndjson`, import.meta.url))

describe(`the corpus, from real boots${why}`, () => {
  for (const name of keptScenarios) {
    it.live.skipIf(isMissing)(`${name}-records-the-same-bytes-again`, () =>
      Effect.gen(function* () {
        const scenario = scenarios.find((one) => one.name === name)
        if (scenario === undefined) return assert.fail(`no scenario ${name}`)
        const recorded = yield* recordScenario(scenario)
        const before = JSON.parse(readFileSync(recordingOf(name), "utf8").split("\n", 1)[0] ?? "") as Record<
          string,
          unknown
        >
        // Another kernel or agent gives another boot: then the corpus must be recorded again, not compared.
        for (const digest of ["kernelDigest", "initrdDigest"] as const) {
          assert.strictEqual(
            recorded.header[digest],
            before[digest],
            `${digest}: record the corpus anew with make record`
          )
        }
        assert.isTrue(
          Buffer.compare(readFileSync(recordingOf(name)), encodeTimeline(recorded)) === 0,
          `${name} differs`
        )
      }).pipe(Effect.provide(live))
    )
  }

  it.live.skipIf(isMissing)("in-lockstep-the-guest-executes-nothing-between-the-event-and-the-decision", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const kit = yield* GuestKit
        const { kernelPath } = yield* kit.files
        const initramfs = yield* kit.initramfs({ workload: { argv: ["true"] } })
        const spec = { kernelPath, initramfs, seed: 7 }
        const vmm = yield* Vmm
        const watched = yield* vmm.boot(spec)
        const timeline = yield* lockstepTimeline(watched)
        const firing = yield* Trigger.await(onPreExec()).pipe(Effect.provideService(GuestTimeline, timeline))
        const decided = yield* watched.digest

        // The same guest, stopped by the machine itself right after the instruction of that event.
        const stopped = yield* vmm.boot(spec)
        const stop = yield* stopped.run({ kinds: ["WorkloadPreExec"] })
        assert.strictEqual(stop.atNanos, firing.atNanos)
        assert.strictEqual(firing.slippageNanos, 0)
        assert.strictEqual(decided, yield* stopped.digest)
        const replayed = Trigger.replay(onPreExec(), { events: yield* watched.eventsSoFar() })
        assert.strictEqual(Result.getOrThrow(replayed).afterSeq, firing.afterSeq)
      })
    ).pipe(Effect.provide(live))
  )
})
