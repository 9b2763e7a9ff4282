/**
 * A process that takes a clone of a snapshot through the gate, runs a command of a shell in it, and says what that says.
 *
 * `node askClone.ts SNAPSHOT COMMAND`
 *
 * @module
 */
import { writeSync } from "node:fs"
import { Gate } from "@stillpoint/core"
import { Effect } from "effect"
import { layer } from "./witness.ts"

const [snapshot = "", command = ""] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const { machine } = yield* Gate.restore(snapshot)
  const { stdout } = yield* machine.exec({ argv: ["sh", "-c", command] })
  writeSync(1, stdout)
})

await Effect.runPromise(Effect.provide(Effect.scoped(program), layer))
