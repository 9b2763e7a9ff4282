/** Processes that set and move one name at once: one succeeds, and the others get an error. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline/promises"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { DurableFiles } from "../src/files/DurableFiles.ts"
import type { Named } from "../src/testing/namingProcess.ts"
import { handle, keepSample } from "../src/testing/sampleStore.ts"
import { Snapshots } from "../src/names/Snapshots.ts"
import { bundled } from "../../../scripts/testing/bundled.ts"

const program = await bundled(fileURLToPath(new URL("../src/testing/namingProcess.ts", import.meta.url)))
const rounds = 8

/** A process that waits for its start, and its output afterwards. */
const begun = async (home: string, own: string, ring: ReadonlyArray<string>) => {
  const node = ["--no-warnings", program, home, own, String(rounds), ...ring]
  const child = spawn(process.execPath, node, { stdio: ["pipe", "pipe", "inherit"] })
  const closed = once(child, "close")
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  assert.strictEqual((await lines.next()).value, "ready")
  return async (): Promise<Named> => {
    child.stdin.end("go\n")
    const { value } = await lines.next()
    await closed
    return JSON.parse(value ?? "null") as Named
  }
}

describe("processes that move one name at once", () => {
  it.live("one-does-and-the-other-is-told-and-no-move-is-lost", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "stillpoint-rivals-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
      )
      const home = join(folder, "home")
      const store = handle(DurableFiles.layer, home)
      const kept = yield* Effect.provide(
        Effect.forEach(["a", "b", "c"], (label) => keepSample(label, label)),
        store
      )
      const ring = kept.map(({ digest }) => digest)
      yield* Effect.provide(
        Snapshots.use(({ tag }) => tag("a", "ring")),
        store
      )
      const own = ring.slice(0, 2)
      const rivals = yield* Effect.promise(() => Promise.all(own.map((digest) => begun(home, digest, ring))))
      const seen = yield* Effect.promise(() => Promise.all(rivals.map((begin) => begin())))
      for (let round = 0; round < rounds; round++) {
        const told = seen.map((one) => one.rounds[round])
        assert.sameMembers(told, ["won", "NameMoved"])
        const { digest } = yield* Effect.provide(
          Snapshots.use(({ inspect }) => inspect(`round-${round}`)),
          store
        )
        assert.strictEqual(digest, own[told.indexOf("won")])
      }
      for (const { refusals } of seen)
        assert.deepStrictEqual(
          refusals.filter((one) => one !== "NameMoved"),
          []
        )
      // As many steps on as there were moves that were said to be done.
      const { digest } = yield* Effect.provide(
        Snapshots.use(({ inspect }) => inspect("ring")),
        store
      )
      assert.strictEqual(digest, ring[(rivals.length * rounds) % ring.length])
      const left = (yield* Effect.promise(() => readdir(home))).toSorted()
      assert.deepStrictEqual(left, ["names.json", "snapshots", "store.lock"])
    }).pipe(Effect.scoped)
  )
})
