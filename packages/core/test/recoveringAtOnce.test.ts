import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, relative, sep } from "node:path"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Journal } from "../src/journal/Journal.ts"
import { bundled } from "../../../scripts/testing/bundled.ts"
import { SnapshotStore } from "../src/snapshot/SnapshotStore.ts"
import type { Recovered } from "../src/testing/publisherProcess.ts"
import { recoverRuns } from "../src/run/recoverRuns.ts"

const program = await bundled(fileURLToPath(new URL("../src/testing/publisherProcess.ts", import.meta.url)))

const options = ["--no-warnings"]

/** Everything that a process says, once it has ended well. */
const output = async (child: ChildProcess): Promise<string> => {
  let text = ""
  child.stdout?.on("data", (chunk) => (text += String(chunk)))
  const [code] = (await once(child, "close")) as [number | null]
  assert.strictEqual(code, 0, text)
  return text
}

const node = (...args: ReadonlyArray<string>): ChildProcess =>
  spawn(process.execPath, [...options, program, ...args], { stdio: ["ignore", "pipe", "inherit"] })

/** Begins a run and a snapshot in a process of its own, and kills it there; answers with what it has left. */
const leave = async (folder: string, name: string): Promise<string> => {
  const child = node("stage", folder, name)
  try {
    const [line] = (await once(child.stdout ?? child, "data")) as [Buffer]
    const { ready } = JSON.parse(line.toString()) as { ready: string }
    return join(folder, relative(folder, ready).split(sep)[0] ?? "")
  } finally {
    child.kill("SIGKILL")
    await once(child, "close")
  }
}

/** Four recoveries at once, each with a journal and a store of its own. */
const fourAtOnce: Readonly<Record<string, (folder: string) => Promise<ReadonlyArray<Recovered>>>> = {
  "in-one-process": (folder) =>
    Effect.runPromise(
      Effect.all(
        Array.from({ length: 4 }, () =>
          recoverRuns.pipe(
            Effect.map(({ ended, failed, swept }) => ({
              ended: ended.map(({ runId }) => runId),
              removed: swept.flatMap(({ removed }) => removed),
              failures: failed.map(({ error }) => error.message),
              left: swept.flatMap(({ failed }) => failed.map(({ fault, path }) => ({ path, why: fault.message })))
            })),
            Effect.provide(
              Layer.merge(SnapshotStore.layerHost, Journal.layerSqlite({ path: join(folder, "journal") })),
              { local: true }
            )
          )
        ),
        { concurrency: "unbounded" }
      )
    ),
  "in-four-threads": (folder) =>
    Promise.all(
      Array.from({ length: 4 }, async () => {
        const worker = new Worker(program, { workerData: ["recover", folder], execArgv: options })
        const [line] = (await once(worker, "message")) as [string]
        return JSON.parse(line) as Recovered
      })
    ),
  "in-four-processes": (folder) =>
    Promise.all(Array.from({ length: 4 }, async () => JSON.parse(await output(node("recover", folder))) as Recovered))
}

/** Sees to it that a directory that holds files cannot be removed, be it by root; answers how that is undone, or `null` where it cannot be done. */
const makeUndeletable = async (directory: string): Promise<(() => Promise<unknown>) | null> => {
  if (process.getuid?.() !== 0) {
    await chmod(directory, 0o500)
    return () => chmod(directory, 0o700)
  }
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const file = entries.filter((entry) => entry.isFile()).map(({ name, parentPath }) => join(parentPath, name))[0] ?? ""
  if (spawnSync("chattr", ["+i", file]).status !== 0) return null
  return async () => spawnSync("chattr", ["-i", file])
}

const leftIn = async (folder: string): Promise<ReadonlyArray<string>> =>
  (await readdir(folder)).filter((name) => name.startsWith(".stillpoint-")).map((name) => join(folder, name))

describe("four recoveries at once", () => {
  for (const [where, recover] of Object.entries(fourAtOnce)) {
    it.live(`${where}-all-succeed-and-do-the-work-once-around-what-cannot-be-deleted`, (context) =>
      Effect.promise(async () => {
        const folder = await mkdtemp(join(tmpdir(), "stillpoint-recovering-"))
        let undo: (() => Promise<unknown>) | null = null
        try {
          const [first = "", stuck = "", third = ""] = await Promise.all(
            ["a", "b", "c"].map((name) => leave(folder, name))
          )
          assert.sameMembers([...(await leftIn(folder))], [first, stuck, third])
          undo = await makeUndeletable(join(stuck, "snapshot"))
          if (undo === null) return context.skip("needs chattr, or a user who is not root")
          const reports = await recover(folder)
          assert.sameMembers(
            reports.flatMap(({ ended }) => ended),
            ["a", "b", "c"]
          )
          assert.sameMembers(
            reports.flatMap(({ removed }) => removed),
            [first, third]
          )
          for (const { failures, left } of reports) {
            assert.deepStrictEqual([failures, left.map(({ path }) => path)], [[], [stuck]])
            for (const { why } of left) assert.match(why, /EPERM|EACCES/)
          }
          await undo()
          const later = await recover(folder)
          assert.deepStrictEqual(
            later.flatMap(({ ended }) => ended),
            []
          )
          assert.deepStrictEqual(
            later.flatMap(({ removed }) => removed),
            [stuck]
          )
          assert.deepStrictEqual(await leftIn(folder), [])
        } finally {
          await undo?.()
          await rm(folder, { recursive: true, force: true })
        }
      })
    )
  }
})
