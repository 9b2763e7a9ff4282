import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { bundled } from "../../../scripts/testing/bundled.ts"
import { numberedBatchesTo } from "../src/testing/numberedBatch.ts"
import { makeSqliteJournal } from "../src/journal/sqliteJournal.ts"

const kills = Number(process.env["STILLPOINT_KILLS"] ?? 40)
/** A journal is used for so many kills: each of them reads it from its beginning. */
const killsOfOneJournal = 40

const where = mkdtempSync(join(tmpdir(), "stillpoint-killed-"))
const program = await bundled(fileURLToPath(new URL("../src/testing/appendUntilKilled.ts", import.meta.url)))

/** A process that is loaded, and appends on request: loading takes a hundred times as long as the tested part. */
class Writer {
  readonly #child: ChildProcess
  readonly #ready: Promise<void>
  readonly #closed: Promise<unknown>
  #told = ""
  #complaint = ""
  #listen: () => void = () => {}

  constructor() {
    this.#child = spawn(process.execPath, ["--no-warnings", program, "s"], { stdio: "pipe" })
    this.#closed = once(this.#child, "close")
    this.#child.stderr?.on("data", (chunk: Buffer) => (this.#complaint += chunk.toString()))
    this.#ready = new Promise((resolve) => {
      this.#listen = () => {
        if (this.#told.includes("\n")) resolve()
      }
    })
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.#told += chunk.toString()
      this.#listen()
    })
  }

  /** Lets it append until it has told `lines` versions, kills it `micros` microseconds later, and returns what it told. */
  async killAfter(path: string, lines: number, micros: number): Promise<ReadonlyArray<number>> {
    await Promise.race([this.#ready, this.#closed])
    const enough = new Promise<void>((resolve) => {
      this.#listen = () => {
        if (this.#told.split("\n").length > lines + 1) resolve()
      }
      this.#listen()
    })
    this.#child.stdin?.write(path)
    await Promise.race([enough, this.#closed])
    // Spins, so that the kill falls anywhere in an append, or in the opening of the file.
    const until = performance.now() + micros / 1_000
    while (performance.now() < until);
    const isAlive = this.#child.kill("SIGKILL")
    await this.#closed
    if (!isAlive) throw new Error(`the writer ended by itself: ${this.#complaint}`)
    // A torn last line was not acknowledged.
    return this.#told.split("\n").slice(1, -1).map(Number)
  }

  async end(): Promise<void> {
    this.#child.kill("SIGKILL")
    await this.#closed
  }
}

describe("killed", () => {
  const waiting: Array<Writer> = []
  /** A writer; others are being loaded meanwhile. */
  const nextWriter = (): Writer => {
    while (waiting.length < 3) waiting.push(new Writer())
    return waiting.shift() ?? new Writer()
  }
  afterAll(async () => {
    for (const writer of waiting) await writer.end()
    rmSync(where, { recursive: true, force: true })
  })

  it.live(
    `no-acknowledged-event-is-lost-and-no-torn-append-visible-in-at-least-${kills}-kills-of-writers-alone-and-in-pairs`,
    () =>
      Effect.promise(async () => {
        let killed = 0
        let acknowledged = new Set<number>()
        const moment = fc.tuple(fc.nat({ max: 12 }), fc.nat({ max: 4_000 }))
        await fc.assert(
          fc.asyncProperty(fc.array(moment, { minLength: 1, maxLength: 2 }), async (moments) => {
            const journal = Math.floor(killed / killsOfOneJournal)
            if (killed % killsOfOneJournal === 0) acknowledged = new Set()
            killed += 1
            const path = join(where, `journal-${journal}`)
            const told = await Promise.all(
              moments.map(([lines, micros]) => nextWriter().killAfter(path, lines, micros))
            )
            for (const version of told.flat()) {
              assert.isFalse(acknowledged.has(version), `two appends were told to be version ${version}`)
              acknowledged.add(version)
            }
            const entries = await Effect.runPromise(
              Effect.scoped(Effect.flatMap(makeSqliteJournal({ path }), (journal) => journal.read("s")))
            )
            assert.isAtLeast(entries.length, Math.max(0, ...acknowledged))
            // Every append is there whole: its length and its events follow from where it began.
            assert.deepStrictEqual(
              entries.map(({ json, schemaVersion, type }) => ({ type, schemaVersion, json })),
              numberedBatchesTo(entries.length)
            )
          }),
          { numRuns: kills, endOnFailure: true }
        )
      }),
    { timeout: 600_000 + kills * 5_000 }
  )
})
