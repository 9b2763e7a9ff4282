/**
 * Runs a program of this host to its end and returns its output.
 *
 * @module
 */
import { Effect } from "effect"
import { spawn } from "node:child_process"

/** The end of a program. `code` is `null` if a signal ended it. */
export interface ProgramEnd {
  readonly code: number | null
  readonly stderr: string
}

/** Ends with `"absent"` when there is no such program. Interruption kills it. */
export const runProgram = (name: string, args: ReadonlyArray<string>): Effect.Effect<ProgramEnd | "absent"> =>
  Effect.callback<ProgramEnd | "absent">((resume) => {
    const child = spawn(name, args, { stdio: ["ignore", "ignore", "pipe"] })
    const said: Array<Buffer> = []
    child.stderr.on("data", (chunk: Buffer) => said.push(chunk))
    child.on("error", () => resume(Effect.succeed("absent")))
    child.on("close", (code) => resume(Effect.succeed({ code, stderr: Buffer.concat(said).toString("utf8") })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })
