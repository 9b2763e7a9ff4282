/** The command line as people run it: a process of its own, in a store of its own. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { bundled } from "../../../scripts/testing/bundled.ts"

let program: Promise<string> | null = null
const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url))

/** How a run ended, and what it wrote. */
export interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A folder with a store in it, that goes with the process. */
export const makeFolder = (): { readonly folder: string; readonly home: string } => {
  const folder = mkdtempSync(join(tmpdir(), "stillpoint-command-"))
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
  const home = join(folder, "home")
  mkdirSync(home, { mode: 0o700 })
  return { folder, home }
}

/** Runs `stillpoint` with arguments; `begun` has the process while it runs. `output`: a descriptor, in place of what is returned. */
export const runStillpoint = async (
  folder: string,
  args: ReadonlyArray<string>,
  begun: (child: ChildProcess) => void = () => {},
  output: number | "pipe" = "pipe"
): Promise<Ran> => {
  const path = await (program ??= bundled(main))
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [path, ...args], {
      cwd: folder,
      stdio: ["ignore", output, "pipe"],
      env: { ...process.env, STILLPOINT_HOME: join(folder, "home"), STILLPOINT_IMAGES_DIR: join(folder, "images") }
    })
    const written = { stdout: "", stderr: "" }
    for (const name of ["stdout", "stderr"] as const) {
      child[name]?.setEncoding("utf8").on("data", (text: string) => void (written[name] += text))
    }
    child.once("error", failed)
    child.once("close", (status) => done({ status, ...written }))
    begun(child)
  })
}
