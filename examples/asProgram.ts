/**
 * The code around every example.
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Layer, type Scope } from "effect"
import { Stillpoint } from "stillpoint"

/** Writes a line of the result. */
export const say = (line = ""): void => void process.stdout.write(`${line}\n`)

/** A directory that goes with the scope. */
export const temporaryDirectory = (name: string) =>
  Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), `stillpoint-${name}-`))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )

/** Uses sandboxes in a store of its own, which is removed afterwards. */
export const inStoreOfItsOwn = <A, E>(
  name: string,
  work: Effect.Effect<A, E, Layer.Success<ReturnType<typeof Stillpoint.layer>> | Scope.Scope>
) =>
  Effect.scoped(
    Effect.flatMap(temporaryDirectory(name), (home) => Effect.provide(Effect.scoped(work), Stillpoint.layer({ home })))
  )

/** Runs an effect as this process: prints its error, and fails with it. */
export const asProgram = (effect: Effect.Effect<void, unknown>): Promise<void> =>
  Effect.runPromise(effect).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  })
