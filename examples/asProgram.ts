/**
 * What every example does around what it shows.
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

/** Does something with sandboxes whose snapshots nobody else has, and which go with it. */
export const inStoreOfItsOwn = <A, E>(
  name: string,
  work: Effect.Effect<A, E, Layer.Success<ReturnType<typeof Stillpoint.layer>> | Scope.Scope>
) =>
  Effect.scoped(
    Effect.flatMap(temporaryDirectory(name), (home) => Effect.provide(Effect.scoped(work), Stillpoint.layer({ home })))
  )

/** Runs an effect as this process: what it fails with is said, and is the process's failure. */
export const asProgram = (effect: Effect.Effect<void, unknown>): Promise<void> =>
  Effect.runPromise(effect).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  })
