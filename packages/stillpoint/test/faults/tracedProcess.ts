/** Processes that do one thing to a store, for which a call of the operating system fails or is the last. */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { bundled } from "../../../../scripts/testing/bundled.ts"

const program = await bundled(fileURLToPath(new URL("verbProcess.ts", import.meta.url)))

/** The calls that change a file system; what is read and written by Node itself is not among them. */
const calls = ["fsync", "rename", "mkdir", "pwrite64", "unlink", "rmdir", "ftruncate", "fchmod"] as const

/** The injected errors and signals. */
export const systemFaults = ["error=EIO", "error=ENOSPC", "error=EINTR", "signal=KILL"] as const

/** Why there are none here, as the end of a test's name; empty if there are. */
export const whyNotTraced = !existsSync("/usr/bin/strace")
  ? " (skipped: no strace)"
  : spawnSync("strace", ["-qq", "-o", "/dev/null", "true"]).status === 0
    ? ""
    : " (skipped: strace may not trace here)"

const traced = (options: ReadonlyArray<string>, verb: string, folder: string, base: string): boolean => {
  const node = [process.execPath, "--no-warnings", program, verb, folder, base]
  // All that is asked of the disk is asked by one thread, one after the other, and nothing by the engine for itself.
  const env = { ...process.env, UV_THREADPOOL_SIZE: "1", NODE_DISABLE_COMPILE_CACHE: "1" }
  const { status, signal, stderr } = spawnSync("strace", ["-f", "--seccomp-bpf", "-qq", ...options, ...node], {
    env,
    encoding: "utf8"
  })
  if (status !== 0 && status !== 3 && signal === null && status !== 137)
    throw new Error(`${verb} ended with ${status}: ${stderr}`)
  return status === 0
}

/** How many calls of each kind a process makes that does something to the store of a folder. */
export const countCalls = (verb: string, folder: string, base: string): ReadonlyMap<string, number> => {
  const log = `${folder}.strace`
  traced(["-e", `trace=${calls.join(",")}`, "-o", log], verb, folder, base)
  const lines = readFileSync(log, "utf8").split("\n")
  rmSync(log)
  const count = (call: string) => lines.filter((line) => line.includes(`${call}(`)).length
  return new Map(calls.map((call) => [call, count(call)] as const).filter(([, found]) => found > 0))
}

/** Does something to the store of a folder while a call fails; whether the process said that it is done. */
export const injected = (verb: string, folder: string, base: string, fault: string): boolean =>
  traced(["-o", "/dev/null", "-e", `inject=${fault}`], verb, folder, base)
