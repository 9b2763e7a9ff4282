import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, isEnded, Journal, listRuns, loadRun, recoverRuns, SnapshotStore } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { bundled } from "../../../../scripts/testing/bundled.ts"
import { folder, layer as machines } from "../guests.ts"

const program = await bundled(fileURLToPath(new URL("./runUntilKilled.ts", import.meta.url)))

/** Kills at random moments, besides those at every boundary of a stage. */
const randomKills = Number(process.env["STILLPOINT_GUEST_RUNS"] ?? 6)

const longestMillis = 600_000 + randomKills * 60_000

/** When a process is killed: at a line that it tells, where it stays, or some time after it. */
interface Kill {
  readonly line: string
  readonly afterMillis: number
}

/** Runs the program until it is killed, or done; answers with what it told and how long it took. */
const runUntil = (journal: string, target: string, kill: Kill | null, mode: "validate" | "replace" = "validate") =>
  Effect.callback<{ readonly told: ReadonlyArray<string>; readonly millis: number }>((resume) => {
    const child = spawn(
      process.execPath,
      [program, journal, target, mode, ...(kill?.afterMillis === 0 ? [kill.line] : [])],
      {
        stdio: ["ignore", "pipe", "inherit"]
      }
    )
    let text = ""
    let begunAt = performance.now()
    let timer: NodeJS.Timeout | undefined
    child.stdout.on("data", (chunk: Buffer) => {
      if (text === "") begunAt = performance.now()
      text += chunk.toString()
      if (kill === null || timer !== undefined || !text.split("\n").includes(kill.line)) return
      if (kill.afterMillis === 0) child.kill("SIGKILL")
      else timer = setTimeout(() => child.kill("SIGKILL"), kill.afterMillis)
    })
    child.once("close", () => {
      clearTimeout(timer)
      resume(Effect.succeed({ told: text.trim().split("\n"), millis: performance.now() - begunAt }))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** The findings and results of a later process. */
const recover = Effect.fn("recover")(function* (directory: string, target: string) {
  const report = yield* recoverRuns
  const again = yield* recoverRuns
  assert.deepStrictEqual([again.ended, again.swept.flatMap(({ removed }) => removed)], [[], []])
  const runs = yield* Effect.forEach(yield* listRuns, (runId) => Effect.map(loadRun(runId), ({ state }) => state))
  for (const state of runs) assert.isTrue(isEnded(state), state.phase)
  assert.deepStrictEqual(
    readdirSync(directory).filter((name) => name.startsWith(".stillpoint-")),
    []
  )
  const opened = yield* Effect.result((yield* SnapshotStore).open(target))
  const phase = runs[0]?.phase ?? "not-started"
  assert.strictEqual(opened._tag === "Success", phase === "ready", phase)
  if (opened._tag === "Failure") {
    const reason = opened.failure.reason._tag
    assert.strictEqual(reason, existsSync(target) ? "SnapshotNotReady" : "SnapshotMissing")
    assert.isTrue(phase === "failed" || phase === "not-started", phase)
  } else {
    yield* Effect.scoped(
      Effect.gen(function* () {
        const { machine } = yield* Gate.restore(target)
        const { code, stdout } = yield* machine.exec({ argv: ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"] })
        assert.deepStrictEqual([code, new TextDecoder().decode(stdout).trim().length], [0, 32])
      })
    )
  }
  return { phase, ended: report.ended.length }
})

const stages = ["boot", "watch", "freeze", "capture", "publish", "validate"]

const boundaries = [...stages.map((stage) => `${stage} started`), "validate finished"]

describe("a process that is killed", () => {
  withLayer(machines, { excludeTestServices: true, timeout: longestMillis })((it) => {
    /** Kills one process, recovers, and says what came of it. */
    const story = (root: string, name: string, kill: Kill | null) =>
      Effect.gen(function* () {
        const directory = join(root, name)
        mkdirSync(directory, { recursive: true })
        const journal = join(directory, "runs.journal")
        const target = join(directory, "snapshot")
        const { millis, told } = yield* runUntil(journal, target, kill)
        const found = yield* recover(directory, target).pipe(
          Effect.provide(Layer.merge(SnapshotStore.layerHost, Journal.layerSqlite({ path: journal })), { local: true })
        )
        return { ...found, told, millis }
      })

    it.effect(
      "leaves-a-snapshot-that-is-ready-or-clearly-not-and-works-if-it-is",
      () =>
        Effect.gen(function* () {
          const root = yield* folder
          const whole = yield* story(root, "whole", null)
          assert.strictEqual(whole.phase, "ready")
          const told = stages.flatMap((stage) => [`${stage} started`, `${stage} finished`])
          assert.deepStrictEqual(whole.told, ["begun", ...told, "done"])

          const atBoundaries = yield* Effect.forEach(
            boundaries,
            (line, index) =>
              Effect.map(story(root, `boundary-${index}`, { line, afterMillis: 0 }), (found) => ({ line, ...found })),
            { concurrency: 2 }
          )
          for (const { line, phase, told } of atBoundaries) {
            assert.include(told, line)
            // Nothing is published before the stage that publishes; and after it, only what was validated is ready.
            if (boundaries.indexOf(line) < boundaries.indexOf("publish started"))
              assert.strictEqual(phase, "failed", line)
          }
          const last = atBoundaries.find(({ line }) => line === "validate finished")
          assert.strictEqual(last?.phase, "ready")

          // At any moment of the whole, which is the boot mostly, and at any moment of the short stages after it.
          const moments = Array.from({ length: randomKills }, (_, index): Kill => {
            const stage = stages[2 + (index % 4)] ?? ""
            return index % 3 === 0
              ? { line: "begun", afterMillis: 1 + Math.random() * whole.millis }
              : { line: `${stage} started`, afterMillis: 1 + Math.random() * 60 }
          })
          const atRandom = yield* Effect.forEach(moments, (kill, index) => story(root, `random-${index}`, kill), {
            concurrency: 2
          })
          const phases = [...atBoundaries, ...atRandom].map(({ phase, told }) => `${told.at(-1)}: ${phase}`)
          yield* Effect.logInfo(`killed after ${phases.join(", after ")}`)
        }),
      longestMillis
    )

    it.effect(
      "while-it-replaces-a-snapshot-leaves-the-old-one-or-the-new-one",
      () =>
        Effect.gen(function* () {
          const directory = yield* folder
          const journal = join(directory, "runs.journal")
          const target = join(directory, "snapshot")
          yield* runUntil(journal, target, null)
          const kills: ReadonlyArray<Kill> = [
            ...["capture", "publish"].map((stage) => ({ line: `${stage} started`, afterMillis: 0 })),
            { line: "publish finished", afterMillis: 0 },
            ...Array.from({ length: Math.ceil(randomKills / 2) }, () => ({
              line: "publish started",
              afterMillis: 1 + Math.random() * 30
            }))
          ]
          const found: Array<string> = []
          let before = ""
          for (const kill of kills) {
            yield* runUntil(journal, target, kill, "replace")
            const runs = yield* Effect.gen(function* () {
              yield* recoverRuns
              const ids = yield* listRuns
              const states = yield* Effect.forEach(ids, (id) => Effect.map(loadRun(id), ({ state }) => state))
              const { manifest } = yield* (yield* SnapshotStore).open(target)
              // The run's record matches the snapshot that can be opened.
              const newest = ids.at(-1) ?? ""
              assert.strictEqual(manifest.runId === newest, states.at(-1)?.phase === "ready")
              if (manifest.runId !== newest && before !== "") assert.strictEqual(manifest.runId, before)
              before = manifest.runId
              return manifest.runId === newest ? "new" : "old"
            }).pipe(
              Effect.provide(Layer.merge(SnapshotStore.layerHost, Journal.layerSqlite({ path: journal })), {
                local: true
              })
            )
            found.push(runs)
            assert.deepStrictEqual(
              readdirSync(directory).filter((name) => name.startsWith(".stillpoint-")),
              []
            )
          }
          assert.deepStrictEqual([found[0], found[2]], ["old", "new"])
          yield* Effect.logInfo(`found ${found.join(", ")}`)
        }),
      longestMillis
    )
  })
})
