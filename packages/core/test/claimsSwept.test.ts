import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { bundled } from "../../../scripts/testing/bundled.ts"
import { journalClaims } from "../src/journal/journalClaims.ts"

const program = await bundled(fileURLToPath(new URL("../src/testing/claimsProcess.ts", import.meta.url)))

/** Starts processes one after the other; each does so many things and is then killed, wherever it is. */
const killedAgainAndAgain = async (
  path: string,
  lives: ReadonlyArray<{ readonly seed: number; readonly acts: number }>,
  tell: (word: string) => void
): Promise<void> => {
  for (const { acts, seed } of lives) {
    const child: ChildProcess = spawn(process.execPath, ["--no-warnings", program, path, String(seed)], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    const ended = once(child, "close")
    let said = 0
    child.stdout?.on("data", (chunk) => {
      for (const word of String(chunk).split("\n").filter(Boolean)) {
        tell(word)
        said += 1
      }
      if (said >= acts) child.kill("SIGKILL")
    })
    await ended
  }
}

const life = fc.record({ seed: fc.nat(), acts: fc.integer({ min: 1, max: 60 }) })

describe("claims of processes that are killed", () => {
  it.live(
    "are-swept-while-others-claim-and-no-name-has-two-owners-and-none-is-refused-that-nobody-has",
    (context) =>
      Effect.promise(async () => {
        if (process.platform !== "linux") return context.skip("needs /proc")
        const seen = new Map<string, number>()
        await fc.assert(
          fc.asyncProperty(
            fc.array(fc.array(life, { minLength: 3, maxLength: 5 }), { minLength: 3, maxLength: 4 }),
            async (processes) => {
              const folder = await mkdtemp(join(tmpdir(), "stillpoint-claims-"))
              try {
                const path = join(folder, "journal")
                await writeFile(path, "")
                const tell = (word: string) => void seen.set(word, (seen.get(word) ?? 0) + 1)
                await Promise.all(processes.map((lives) => killedAgainAndAgain(path, lives, tell)))
                assert.deepStrictEqual([seen.get("robbed"), seen.get("shared")], [undefined, undefined])
                const left = (await readdir(`${path}-claims`)).filter((name) => name !== "sweep")
                const { sweepClaims } = journalClaims(path)
                assert.strictEqual(await Effect.runPromise(sweepClaims), left.length)
                if (left.length > 0) tell("left at the end")
                assert.deepStrictEqual(await readdir(`${path}-claims`), [])
              } finally {
                await rm(folder, { recursive: true, force: true })
              }
            }
          ),
          // A smaller case would have other processes, which meet elsewhere.
          { numRuns: 5, endOnFailure: true }
        )
        // Each of them happened, and not only once.
        for (const word of ["held", "refused", "alone", "swept"]) {
          assert.isAbove(seen.get(word) ?? 0, 5, `${word} of ${JSON.stringify([...seen])}`)
        }
      }),
    120_000
  )
})
