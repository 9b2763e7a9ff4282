/**
 * What every example does around what it shows.
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"

/** Writes a line of the result. */
export const say = (line = ""): void => void process.stdout.write(`${line}\n`)

/** A directory that goes with the scope. */
export const temporaryDirectory = (name: string) =>
  Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), `stillpoint-${name}-`))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )

/** Runs an effect as this process: what it fails with is said, and is the process's failure. */
export const asProgram = (effect: Effect.Effect<void, unknown>): Promise<void> =>
  Effect.runPromise(effect).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  })
