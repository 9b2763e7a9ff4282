/**
 * Captures a small machine to a directory on a full disk, and tells what it is refused with and what is left.
 *
 * `node captureToFullDisk.ts DIRECTORY`
 *
 * @module
 */
import { readdirSync } from "node:fs"
import { Vmm } from "@stillpoint/core"
import { Effect } from "effect"
import { layer, payload, waiting } from "./guests.ts"

const directory = process.argv[2] ?? ""

const program = Effect.gen(function* () {
  const machine = yield* (yield* Vmm).boot(yield* payload(waiting))
  const error = yield* Effect.flip(machine.capture(directory))
  const left = readdirSync(directory)
  process.stdout.write(`${error._tag}.${error.reason._tag}: ${left.length === 0 ? "nothing left" : left.join(" ")}\n`)
})

await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(layer)))
