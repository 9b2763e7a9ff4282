import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as fc from "fast-check"
import { afterAll } from "vitest"
import { Journal } from "../journal/Journal.ts"
import { makeMemoryClaims, makeMemoryJournal } from "../journal/memoryJournal.ts"
import { recoverRuns } from "../run/recoverRuns.ts"
import { isEnded } from "../run/RunState.ts"
import { listRuns, loadRun } from "../run/runStream.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { scriptedMachines, ScriptedVmm } from "../testing/ScriptedVmm.ts"
import * as Pipeline from "./Pipeline.ts"

const spec = { kernelPath: "/kernel" }

/** A journal that dies with its process: after some appends, nothing gets through any more. */
const dyingJournal = (journal: Journal["Service"], appendsLeft: number): Journal["Service"] => {
  let left = appendsLeft
  return {
    ...journal,
    append: (...args) => Effect.suspend(() => (left-- > 0 ? journal.append(...args) : Effect.never))
  }
}

const hostProcess = (files: MemoryFiles, journal: Journal["Service"]) =>
  Layer.provideMerge(
    Layer.mergeAll(ScriptedVmm.layer(), SnapshotStore.layer, Layer.succeed(Journal, journal)),
    files.layer
  )

const options = (isValidated: boolean) => ({
  policy: kindTrigger("ListenerBound"),
  target: "/s/target",
  ...(isValidated ? { validate: Pipeline.execProbe({ argv: ["echo", "alive"] }) } : {})
})

describe("recovery", () => {
  // The machines of a process that stops are never closed; the next file in this process must not count them.
  afterAll(() => {
    scriptedMachines.open = 0
  })

  it.live("a-process-killed-anywhere-leaves-a-snapshot-that-is-ready-or-clearly-not", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.nat({ max: 24 }),
          fc.option(fc.nat({ max: 24 })),
          fc.array(fc.nat({ max: 10_000 }), { minLength: 1, maxLength: 12 }),
          fc.boolean(),
          async (appends, crashAt, choices, isValidated) => {
            const files = new MemoryFiles(crashAt === null ? null : { atOperation: crashAt, code: "crash" })
            const journal = makeMemoryJournal()
            // The process stops at an append, or at a file operation; its fibres are gone with it, finalizers and all.
            const first = Effect.runFork(
              Effect.scoped(Pipeline.run(spec, options(isValidated))).pipe(
                Effect.exit,
                Effect.provide(hostProcess(files, dyingJournal(journal, appends)), { local: true })
              )
            )
            await new Promise((done) => {
              setImmediate(function look() {
                if (first.pollUnsafe() !== undefined || idle++ > 60) done(undefined)
                else setImmediate(look)
              })
              let idle = 0
            })
            let next = 0
            files.reboot((outcomes) => (choices[next++ % choices.length] ?? 0) % outcomes)
            const seen = await Effect.runPromise(
              Effect.gen(function* () {
                const report = yield* recoverRuns
                const again = yield* recoverRuns
                assert.deepStrictEqual(again.ended, [])
                const ids = yield* listRuns
                const states = yield* Effect.forEach(ids, (runId) => Effect.map(loadRun(runId), ({ state }) => state))
                const opened = yield* Effect.result((yield* SnapshotStore).open("/s/target"))
                return { report, states, opened }
              }).pipe(
                // The claims of the first process ended with it.
                Effect.provide(hostProcess(files, { ...journal, ...makeMemoryClaims() }), { local: true })
              )
            )
            for (const state of seen.states) assert.isTrue(isEnded(state), state.phase)
            const [state] = seen.states
            // The journal and the disk agree.
            if (seen.opened._tag === "Success" && state !== undefined) {
              assert.include(["ready", "failed", "abandoned"], state.phase)
              if (isValidated) assert.strictEqual(seen.opened.success.validation?.verdict, "passed")
            }
            if (state?.phase === "ready") assert.strictEqual(seen.opened._tag, "Success")
            assert.deepStrictEqual(
              files.paths().filter((path) => path.includes("/.stillpoint-")),
              []
            )
          }
        ),
        { numRuns: 500 }
      )
    )
  )

  it.effect("a-run-of-a-living-process-is-left-alone", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const journal = makeMemoryJournal()
      const running = Effect.runFork(
        Effect.scoped(Pipeline.run(spec, options(false))).pipe(
          Effect.provide(hostProcess(files, dyingJournal(journal, 5)), { local: true })
        )
      )
      for (let turn = 0; turn < 200; turn++) yield* Effect.yieldNow
      const report = yield* recoverRuns.pipe(Effect.provide(hostProcess(files, journal), { local: true }))
      assert.deepStrictEqual(report.ended, [])
      running.interruptUnsafe()
    })
  )

  it.live("of-many-recoveries-at-once-all-succeed-and-one-does-the-work", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const journal = makeMemoryJournal()
      for (const appends of [2, 3, 4]) {
        const dead = { ...dyingJournal(journal, appends), ...makeMemoryClaims() }
        Effect.runFork(
          Effect.scoped(Pipeline.run(spec, options(false))).pipe(
            Effect.provide(hostProcess(files, dead), { local: true })
          )
        )
      }
      for (let turn = 0; turn < 300; turn++) yield* Effect.yieldNow
      const reports = yield* Effect.all(
        Array.from({ length: 4 }, () => recoverRuns),
        { concurrency: "unbounded" }
      ).pipe(Effect.provide(hostProcess(files, journal), { local: true }))
      const ended = reports.flatMap((report) => report.ended)
      assert.strictEqual(new Set(ended.map(({ runId }) => runId)).size, 3)
      assert.strictEqual(ended.length, 3)
      assert.deepStrictEqual(
        reports.flatMap((report) => report.failed),
        []
      )
    })
  )
})
