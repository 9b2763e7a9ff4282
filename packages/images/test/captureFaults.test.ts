import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Outcome } from "./capturesOneGuest.ts"
import { isThere } from "./guests.ts"

const program = fileURLToPath(new URL("./capturesOneGuest.ts", import.meta.url))

/** The files of the guest's captures: memory, three disks of which the image has no pages, and what names them. */
const files = [
  "memory.bin",
  "memory.digests",
  "disk-0.blocks",
  "disk-1.bin",
  "disk-1.digests",
  "disk-2.bin",
  "disk-2.digests",
  "machine.bin"
]

const base = mkdtempSync(join(tmpdir(), "stillpoint-faults-"))
afterAll(() => rmSync(base, { recursive: true, force: true }))
const kit = join(base, "kit")

/** What came of captures into a folder for each name. */
const captures = (before: ReadonlyArray<string>, folder: string, names: ReadonlyArray<string>) => {
  const arguments_ = ["--conditions=stillpoint-source", "--no-warnings", program, folder, kit, ...names]
  const [command = "", ...rest] = [...before, process.execPath, ...arguments_]
  const { status, stderr, stdout } = spawnSync(command, rest, { encoding: "utf8", maxBuffer: 1 << 24 })
  assert.strictEqual(status, 0, stderr)
  return JSON.parse(stdout.slice(stdout.indexOf("[{"))) as ReadonlyArray<Outcome>
}

/** Has the operating system fail for those of a program's calls that are about one of these files. */
const failing = (call: string, error: string, paths: ReadonlyArray<string>): ReadonlyArray<string> => {
  const about = paths.flatMap((path) => ["-P", path])
  return ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", ...about, "-e", `inject=${call}:error=${error}`]
}

const whyNot = isThere("/usr/bin/strace")
  ? spawnSync("strace", ["-qq", "-o", "/dev/null", "true"]).status === 0
    ? ""
    : " (skipped: strace may not trace here)"
  : " (skipped: no strace)"

const whyNoLimit = isThere("/usr/bin/prlimit") ? "" : " (skipped: no prlimit)"

/** Guests boot in these processes, and every one of their calls about such a file is looked at. */
const longestMillis = 900_000

describe("a capture of memory and disks", () => {
  beforeAll(() => {
    const [whole] = captures([], mkdtempSync(join(base, "case-")), ["whole"])
    assert.isNull(whole?.refused)
    assert.sameMembers([...(whole?.files ?? [])], files)
  }, longestMillis)

  for (const [call, error, words] of [
    ["pwrite64", "ENOSPC", "No space"],
    ["fsync", "EIO", "Input/output error"]
  ] as const) {
    it(
      `fails-by-name-and-leaves-nothing-where-${call}-says-${error}${whyNot}`,
      () => {
        if (whyNot !== "") return
        const folder = mkdtempSync(join(base, "case-"))
        const paths = files.map((file) => join(folder, `failing-${file}`, file))
        const names = files.map((file) => `failing-${file}`)
        const outcomes = captures(failing(call, error, paths), folder, [...names, "good"])
        assert.deepStrictEqual(
          outcomes.map(({ name }) => name),
          [...names, "good"]
        )
        for (const { files: left, isSame, name, refused } of outcomes) {
          if (name === "good") {
            assert.isNull(refused)
            assert.isTrue(isSame, "a capture that failed changes nothing")
            assert.sameMembers([...left], files)
            continue
          }
          assert.deepStrictEqual(left, [], name)
          assert.include(refused?.message, words)
          assert.include(refused?.message, name.slice("failing-".length))
          assert.strictEqual(refused?.reason, error === "ENOSPC" ? "DiskFull" : "WriteFailed")
        }
      },
      longestMillis
    )
  }

  it(
    `fails-by-name-where-files-may-not-grow-so-far${whyNoLimit}`,
    () => {
      if (whyNoLimit !== "") return
      const folder = mkdtempSync(join(base, "case-"))
      const [outcome] = captures(["prlimit", `--fsize=${20 << 20}`], folder, ["limited"])
      assert.deepStrictEqual(outcome?.files, [])
      assert.include(outcome?.refused?.message, "memory.bin")
    },
    longestMillis
  )
})
