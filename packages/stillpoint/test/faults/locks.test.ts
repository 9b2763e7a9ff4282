/**
 * A lock that could not be taken because the disk failed is free: the next attempt gets it, also in the same process.
 */
import { existsSync, rmSync } from "node:fs"
import { join } from "node:path"
import { DurableFiles } from "@stillpoint/core"
import { Effect, type Scope } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { faults, interpose, withFault } from "./interposedFiles.ts"
import { newFolder } from "./storeVerbs.ts"

const scoped = <A, E>(work: Effect.Effect<A, E, DurableFiles | Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(Effect.provide(work, DurableFiles.layer)))

describe("a lock", () => {
  const folder = newFolder()
  beforeAll(interpose)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  for (const isThere of [false, true]) {
    it(`on-a-file-that-${isThere ? "is-there" : "is-made"}-is-let-go-of-at-whatever-call-the-disk-fails`, async () => {
      const path = join(folder, `${isThere}.lock`)
      const hold = DurableFiles.use((files) => files.hold(path, { create: true }))
      const begin = async (): Promise<void> => {
        rmSync(path, { force: true })
        if (isThere) await scoped(hold)
      }
      await begin()
      const { calls } = await withFault(folder, null, () => scoped(hold))
      assert.isAbove(calls, 1)
      for (let at = 0; at < calls; at++) {
        for (const kind of faults) {
          await begin()
          const { result } = await withFault(folder, { at, kind }, () => scoped(Effect.flip(hold)))
          assert.strictEqual(result._tag, "FileFault")
          assert.strictEqual(await scoped(hold), "held", `${kind} at call ${at} of ${calls}`)
          assert.isTrue(existsSync(path))
        }
      }
    })
  }
})
