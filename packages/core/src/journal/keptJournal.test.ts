import { copyFile, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { listRuns, loadRun, readRun } from "../run/runStream.ts"
import { factsOf, factsOfReadyRun } from "../testing/toldFacts.ts"
import { readGuest } from "./guestStream.ts"
import { Journal } from "./Journal.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-kept-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/** Uses a copy of a journal that an earlier build has written. */
const withKept = <A, E>(name: string, use: Effect.Effect<A, E, Journal>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const path = join(yield* directory, "journal")
      const kept = fileURLToPath(new URL(`../../../../fixtures/journals/${name}`, import.meta.url))
      yield* Effect.promise(() => copyFile(kept, path))
      return yield* Effect.provide(use, Journal.layerSqlite({ path }))
    })
  )

describe("a journal of before", () => {
  it.live("of-contract-2-tells-the-same-run-and-the-same-guest-by-the-names-of-now", () =>
    withKept(
      "contract-2.sqlite",
      Effect.gen(function* () {
        const [runId] = yield* listRuns
        assert.isDefined(runId)
        const events = (yield* readRun(runId ?? "")).map(({ event }) => event)
        assert.deepStrictEqual(factsOf(events), factsOfReadyRun)
        const { state } = yield* loadRun(runId ?? "")
        assert(state.phase === "ready" && state.firing.cause._tag === "Event")
        assert.strictEqual(state.firing.cause.event._tag, "AgentFrozen")
        const booted = events.find((event) => event._tag === "MachineBooted")
        const guest = yield* readGuest(booted?.guestStream ?? "")
        assert.deepStrictEqual(
          guest.filter((event) => event._tag === "AgentFrozen").map(({ seq, token }) => [seq, token]),
          [
            [9, 1],
            [12, 2]
          ]
        )
      })
    )
  )
})
