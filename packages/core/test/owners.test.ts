import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmod, lstat, mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { DurableFiles } from "../src/files/DurableFiles.ts"
import { Journal } from "../src/journal/Journal.ts"
import { recoverRuns } from "../src/run/recoverRuns.ts"
import type { Published } from "../src/testing/publisherProcess.ts"
import { SnapshotStore } from "../src/snapshot/SnapshotStore.ts"
import { bundled } from "../../../scripts/testing/bundled.ts"

const program = await bundled(fileURLToPath(new URL("../src/testing/publisherProcess.ts", import.meta.url)))

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-owners-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const store = Layer.provideMerge(SnapshotStore.layer, DurableFiles.layer)

const node = [process.execPath, "--no-warnings", program]

/** Ways to have a process id space of one's own, as a container has: as root, or in a user's namespace. */
const namespaces = [
  ["unshare", "--pid", "--fork", "--kill-child"],
  ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]
].find(([command = "", ...args]) => spawnSync(command, [...args, "true"]).status === 0)

const begin = (prefix: ReadonlyArray<string>, ...args: ReadonlyArray<string>): ChildProcess => {
  const [command = "", ...rest] = [...prefix, ...node, ...args]
  return spawn(command, rest, { stdio: ["ignore", "pipe", "inherit"] })
}

/** The first line that a process says. */
const firstLine = async (child: ChildProcess): Promise<string> => {
  let text = ""
  for await (const chunk of child.stdout ?? []) {
    text += String(chunk)
    if (text.includes("\n")) break
  }
  return text.split("\n")[0] ?? ""
}

const leftIn = async (directory: string): Promise<ReadonlyArray<string>> =>
  (await readdir(directory, { recursive: true })).filter((name) => /\.stillpoint-[0-9a-f]{32}$/.test(name))

describe("owners", () => {
  it.live(
    "in-process-id-spaces-of-their-own-publish-to-one-folder-at-once-and-none-touches-what-is-anothers",
    (context) =>
      Effect.gen(function* () {
        if (namespaces === undefined)
          return context.skip("this system lets nobody have a process id space of their own")
        const where = yield* folder
        const [publishers, rounds] = [3, 60]
        const seen = yield* Effect.promise(() =>
          Promise.all(
            Array.from({ length: publishers }, async (_, index) => {
              const line = await firstLine(begin(namespaces, "publish", where, `p${index}`, String(rounds)))
              return JSON.parse(line) as Published
            })
          )
        )
        // Only superseded contents are removed: no process that still needs them fails.
        for (const { failures, published } of seen) {
          assert.deepStrictEqual(failures, [])
          assert.strictEqual(published, rounds * 2)
        }
        const snapshots = yield* SnapshotStore
        const names = (yield* Effect.promise(() => readdir(where))).filter((name) => !name.startsWith("journal"))
        assert.strictEqual(names.length, publishers * 4 + 1)
        for (const name of names) {
          const { manifest } = yield* snapshots.open(join(where, name))
          const inside = yield* Effect.promise(() => readdir(join(where, name)))
          assert.deepStrictEqual(
            inside.filter((each) => each.startsWith("contents-")),
            [manifest.contents]
          )
        }
      }).pipe(Effect.scoped, Effect.provide(store))
  )

  it.live("that-are-killed-leave-what-the-next-one-clears-and-living-ones-keep-theirs", () =>
    Effect.gen(function* () {
      const where = yield* folder
      const children = ["dead", "alive"].map((name) => begin(namespaces ?? [], "stage", where, name))
      yield* Effect.addFinalizer(() => Effect.sync(() => children.forEach((child) => child.kill("SIGKILL"))))
      const [dead = "", alive = ""] = yield* Effect.promise(() =>
        Promise.all(children.map(async (child) => (JSON.parse(await firstLine(child)) as { ready: string }).ready))
      )
      const [victim] = children
      const exists = (path: string) =>
        Effect.promise(() =>
          lstat(path).then(
            () => true,
            () => false
          )
        )
      const recovered = recoverRuns.pipe(
        Effect.provide(Layer.merge(store, Journal.layerSqlite({ path: join(where, "journal") })), { local: true })
      )
      assert.deepStrictEqual((yield* recovered).ended, [])
      assert.deepStrictEqual([yield* exists(dead), yield* exists(alive)], [true, true])
      victim?.kill("SIGKILL")
      if (victim !== undefined) yield* Effect.promise(() => once(victim, "close"))
      const reports = yield* Effect.all(
        Array.from({ length: 4 }, () => recovered),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        reports.flatMap(({ ended }) => ended.map(({ runId }) => runId)),
        ["dead"]
      )
      assert.deepStrictEqual(
        reports.flatMap(({ failed }) => failed),
        []
      )
      assert.deepStrictEqual([yield* exists(dead), yield* exists(alive)], [false, true])
      assert.strictEqual((yield* Effect.promise(() => leftIn(where))).length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("in-another-thread-of-the-process-are-left-alone-and-leave-others-alone", () =>
    Effect.gen(function* () {
      const where = yield* folder
      const begun = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const worker = new Worker(program, {
            workerData: ["stage", where, "threaded"],
            execArgv: ["--no-warnings"]
          })
          const [line] = (await once(worker, "message")) as [string]
          return { worker, staged: (JSON.parse(line) as { ready: string }).ready }
        }),
        ({ worker }) => Effect.promise(() => worker.terminate())
      )
      const recovered = recoverRuns.pipe(
        Effect.provide(Layer.merge(store, Journal.layerSqlite({ path: join(where, "journal") })), { local: true })
      )
      assert.deepStrictEqual((yield* recovered).ended, [])
      yield* Effect.promise(() => lstat(begun.staged))
      yield* Effect.promise(() => begun.worker.terminate())
      const { ended, swept } = yield* recovered
      assert.deepStrictEqual(
        ended.map(({ runId }) => runId),
        ["threaded"]
      )
      assert.strictEqual(swept.flatMap(({ removed }) => removed).length, 1)
      assert.deepStrictEqual(yield* Effect.promise(() => leftIn(where)), [])
    }).pipe(Effect.scoped)
  )
})

describe("what is kept", () => {
  it.live("is-its-owners-alone-with-a-umask-of-0-too", (context) =>
    Effect.gen(function* () {
      const where = yield* folder
      const child = begin([], "once", where, "private")
      yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
      yield* Effect.promise(() => firstLine(child))
      yield* Effect.promise(async () => {
        const names = await readdir(where, { recursive: true })
        for (const expected of ["journal-wal", "journal-shm", "owner.json", "owner.lock", "validation.json"]) {
          assert.isTrue(
            names.some((name) => name.endsWith(expected)),
            expected
          )
        }
        for (const name of names) {
          const found = await lstat(join(where, name))
          assert.strictEqual((found.mode & 0o777).toString(8), found.isDirectory() ? "700" : "600", name)
        }
      })
      // And so another user reads none of it.
      if (process.getuid?.() !== 0) return context.skip("only the superuser can try as another user")
      yield* Effect.promise(() => chmod(where, 0o755))
      const nobody = { uid: 65_534, gid: 65_534 }
      const found = spawnSync("find", [where, "-type", "f", "-readable"], { ...nobody, encoding: "utf8" })
      assert.strictEqual(found.stdout, "")
      assert.include(found.stderr, "Permission denied")
      assert.notStrictEqual(spawnSync("cat", [join(where, "journal")], nobody).status, 0)
    }).pipe(Effect.scoped)
  )
})
