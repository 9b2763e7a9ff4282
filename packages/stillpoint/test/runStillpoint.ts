/** The command line as people run it: a process of its own, in a store of its own. */
import { type ChildProcess, spawn, spawnSync, type StdioOptions } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import type { Socket } from "node:net"
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

const ran = (
  folder: string,
  [command = "", ...args]: ReadonlyArray<string>,
  begun: (child: ChildProcess) => void,
  stdio: StdioOptions
): Promise<Ran> =>
  new Promise((done, failed) => {
    const child = spawn(command, args, {
      cwd: folder,
      stdio,
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

/**
 * Runs `stillpoint` with arguments; `begun` has the process while it runs. `output`: a descriptor, in place of what is returned;
 * `input`: whether it has a pipe as its input, none, a descriptor, or a socket.
 */
export const runStillpoint = async (
  folder: string,
  args: ReadonlyArray<string>,
  begun: (child: ChildProcess) => void = () => {},
  output: number | "pipe" = "pipe",
  input: "pipe" | "ignore" | number | Socket = "ignore"
): Promise<Ran> => {
  const path = await (program ??= bundled(main))
  return ran(folder, [process.execPath, path, ...args], begun, [input, output, "pipe"])
}

/** Why there is no pseudo-terminal here; empty where there is one. */
export const noTerminal = spawnSync("script", ["--version"]).status === 0 ? "" : " (skipped: script is not installed)"

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** Runs `stillpoint` in a pseudo-terminal; types each key when the text before it is shown. */
export const runInTerminal = async (
  folder: string,
  args: ReadonlyArray<string>,
  ...types: ReadonlyArray<readonly [shown: string, keys: string]>
): Promise<Ran> => {
  const path = await (program ??= bundled(main))
  const line = [process.execPath, path, ...args].map(quoted).join(" ")
  const left = [...types]
  return ran(
    folder,
    ["script", "-qefc", line, "/dev/null"],
    (child) => {
      let shown = ""
      child.stdout?.on("data", (text: string) => {
        shown += text
        const [next] = left
        if (next === undefined || !shown.includes(next[0])) return
        shown = shown.slice(shown.indexOf(next[0]) + next[0].length)
        left.shift()
        child.stdin?.write(next[1])
      })
    },
    ["pipe", "pipe", "pipe"]
  )
}
