/** Processes of tests for which the operating system fails. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { bundled } from "../../../scripts/testing/bundled.ts"
import { isThere } from "./guests.ts"

/** Why there are none here, as the end of a test's name; empty if there are. */
export const whyNotInjected = !isThere("/usr/bin/strace")
  ? " (skipped: no strace)"
  : spawnSync("strace", ["-qq", "-o", "/dev/null", "true"]).status === 0
    ? ""
    : " (skipped: strace may not trace here)"

/** Has the operating system fail for those of a program's calls that are about one of these files. */
export const failing = (call: string, error: string, paths: ReadonlyArray<string>): ReadonlyArray<string> => {
  const about = paths.flatMap((path) => ["-P", path])
  // The kernel stops the program for no other calls.
  const only = ["--seccomp-bpf", "-e", `trace=${call}`, "-e", `inject=${call}:error=${error}`]
  return ["strace", "-f", "-qq", "-o", "/dev/null", ...about, ...only]
}

/** A program of this folder, to be run again and again. */
export const programOf = (file: string): Promise<string> => bundled(fileURLToPath(new URL(file, import.meta.url)))

/** Runs such a program, behind a command that makes it fail; what it says, or its end if that was none. */
export const ran = (before: ReadonlyArray<string>, program: string, ...args: ReadonlyArray<string>): string => {
  const [command = "", ...rest] = [...before, process.execPath, program, ...args]
  const { status, stderr, stdout } = spawnSync(command, rest, { encoding: "utf8", maxBuffer: 1 << 24 })
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr}`)
  return stdout
}
