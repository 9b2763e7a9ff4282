/** Programs of the host's that know nothing of machines. */
import { spawn, spawnSync } from "node:child_process"
import { Effect } from "effect"

/** Runs a program of the host's: what it said, and how it ended. */
export const hostProgram = (name: string, ...args: ReadonlyArray<string>) =>
  Effect.promise(
    () =>
      new Promise<{ code: number | null; stdout: string }>((resolve, reject) => {
        const child = spawn(name, args)
        let stdout = ""
        child.stdout.on("data", (part: Buffer) => (stdout += part.toString("latin1")))
        child.on("error", reject)
        child.on("close", (code) => resolve({ code, stdout }))
      })
  )

/** The note in a test's name if a program is missing; `undefined` if it is there. */
export const missingProgram = (name: string, argument = "--version"): string | undefined =>
  spawnSync(name, [argument]).error === undefined ? undefined : ` (skipped: no ${name})`
