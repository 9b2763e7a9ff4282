import { copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { imageDiskName } from "@stillpoint/kit"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { CaptureOutcome } from "./capturesAVolume.ts"
import type { Outcome } from "./capturesOneGuest.ts"
import type { Flushed } from "./flushesAVolume.ts"
import { isThere } from "./guests.ts"
import { failing, programOf, ran, whyNotInjected } from "./injected.ts"
import type { Reading, ReadOutcome } from "./readsFailingDisks.ts"

const capturesOneGuest = await programOf("./capturesOneGuest.ts")
const capturesAVolume = await programOf("./capturesAVolume.ts")
const flushesAVolume = await programOf("./flushesAVolume.ts")
const readsFailingDisks = await programOf("./readsFailingDisks.ts")

/** The files of the guest's captures besides objects: for memory, and for three disks of which the image has no pages. */
const files = ["memory.digests", "disk-0.blocks", "disk-1.digests", "disk-2.digests", "machine.bin"]

/** The name of an object while it is written. */
const partial = "object.partial"

const isObject = (name: string): boolean => /^[0-9a-f]{64}$/.test(name)

const base = mkdtempSync(join(tmpdir(), "stillpoint-faults-"))
afterAll(() => rmSync(base, { recursive: true, force: true }))
const kit = join(base, "kit")

/** The results of captures into a folder for each name. */
const captures = (before: ReadonlyArray<string>, folder: string, names: ReadonlyArray<string>) => {
  const told = ran(before, capturesOneGuest, folder, kit, ...names)
  return JSON.parse(told.slice(told.indexOf("[{"))) as ReadonlyArray<Outcome>
}

const whyNoLimit = isThere("/usr/bin/prlimit") ? "" : " (skipped: no prlimit)"

/** Guests boot in these processes, and every one of their calls about such a file is looked at. */
const longestMillis = 900_000

describe("a capture of memory and disks", () => {
  let all: ReadonlyArray<string> = []
  beforeAll(() => {
    const [whole] = captures([], mkdtempSync(join(base, "case-")), ["whole"])
    assert.isNull(whole?.refused)
    all = whole?.files ?? []
    assert.sameMembers(
      all.filter((name) => !isObject(name)),
      files
    )
    assert.isTrue(all.some(isObject))
  }, longestMillis)

  for (const [call, error, words] of [
    ["pwrite64", "ENOSPC", "No space"],
    ["fsync", "EIO", "Input/output error"]
  ] as const) {
    it(
      `fails-by-name-and-leaves-nothing-where-${call}-says-${error}${whyNotInjected}`,
      () => {
        if (whyNotInjected !== "") return
        const folder = mkdtempSync(join(base, "case-"))
        // The guest is the same each time, and so are its objects.
        const failed = call === "fsync" ? all : [...files, partial]
        const paths = failed.map((file) => join(folder, `failing-${file}`, file))
        const names = failed.map((file) => `failing-${file}`)
        const outcomes = captures(failing(call, error, paths), folder, [...names, "good"])
        assert.deepStrictEqual(
          outcomes.map(({ name }) => name),
          [...names, "good"]
        )
        for (const { files: left, isSame, name, refused } of outcomes) {
          if (name === "good") {
            assert.isNull(refused)
            assert.isTrue(isSame, "a capture that failed changes nothing")
            assert.sameMembers([...left], [...all])
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
      // As much as the chunks of an object, without its index.
      const [outcome] = captures(["prlimit", `--fsize=${16 << 20}`], folder, ["limited"])
      assert.deepStrictEqual(outcome?.files, [])
      assert.include(outcome?.refused?.message, partial)
    },
    longestMillis
  )
})

/** Each way in which the host does not take what a guest has written, and what the guest's disk is then said to have failed at. */
const refusing: ReadonlyArray<{
  readonly name: string
  readonly why: string
  readonly before: (failing: string) => ReadonlyArray<string>
  readonly fails: string
  readonly refused: string
  readonly operation: string
  readonly errno: number
}> = [
  {
    name: "pwrite64-says-EIO",
    why: whyNotInjected,
    before: (file) => failing("pwrite64", "EIO", [file]),
    fails: "renamed",
    refused: "GuestDiskFailed",
    operation: "write",
    errno: 5
  },
  {
    name: "fdatasync-says-EIO",
    why: whyNotInjected,
    before: (file) => failing("fdatasync", "EIO", [file]),
    fails: "renamed",
    refused: "GuestDiskFailed",
    operation: "flush",
    errno: 5
  },
  {
    // A write across the limit is taken in part, and the rest of it refused; so is the first file of the snapshot.
    name: "files-may-not-grow-so-far",
    why: whyNoLimit,
    before: () => [],
    fails: `${(1 << 20) + 1000}`,
    refused: "CaptureError",
    operation: "write",
    errno: 27
  }
]

describe("a capture of a guest whose volume", () => {
  const formatted = join(base, "formatted")
  const outcomeOf = (before: (failing: string) => ReadonlyArray<string>, fails: string): CaptureOutcome => {
    const folder = mkdtempSync(join(base, "volume-"))
    copyFileSync(formatted, join(folder, "volume"))
    const told = ran(before(join(folder, "failing")), capturesAVolume, folder, kit, fails)
    return JSON.parse(told.slice(told.indexOf('{"refused')))
  }

  beforeAll(() => void ran([], flushesAVolume, formatted, kit), longestMillis)

  for (const { before, errno, fails, name, operation, refused, why } of refusing) {
    it(
      `fails-because-${name}-is-not-published-and-the-guest-is-told${why}`,
      () => {
        if (why !== "") return
        const { failures, ...outcome } = outcomeOf(before, fails)
        assert.deepStrictEqual(outcome, { refused, isPublished: false, isGuestTold: true })
        assert.deepStrictEqual(failures[0], { operation, reason: "Refused", errno })
      },
      longestMillis
    )
  }

  it(
    "does-not-fail-is-published",
    () => {
      assert.deepStrictEqual(
        outcomeOf(() => [], ""),
        { refused: null, isPublished: true, failures: [], isGuestTold: false }
      )
    },
    longestMillis
  )
})

describe("a disk that cannot be read for a while", () => {
  for (const [file, disk] of [
    ["image", imageDiskName],
    ["volume", "data"]
  ] as const) {
    it(
      `gives-no-wrong-byte-and-no-snapshot-and-is-well-afterwards-if-it-is-the-${file}${whyNotInjected}`,
      () => {
        if (whyNotInjected !== "") return
        const folder = mkdtempSync(join(base, "reads-"))
        const before = failing("pread64", "EIO", [join(folder, "one", "failing")])
        const told = ran(before, readsFailingDisks, folder, kit, file)
        const { after, captured, clone, during }: ReadOutcome = JSON.parse(told.slice(told.indexOf('{"during')))
        const whole: Reading = { code: 0, bytes: 1 << 20, isTrue: true, failures: [] }
        const failed: Reading = { code: 1, bytes: 0, isTrue: true, failures: [`${disk} read Refused 5`] }
        // A fork reads the same file; a sibling has another one, and is not disturbed.
        assert.deepStrictEqual(during, { guest: failed, fork: failed, sibling: whole })
        assert.deepStrictEqual([captured.reason, captured.files], ["DiskUnreadable", []])
        assert.include(captured.message, "Input/output error")
        assert.deepStrictEqual({ ...after, clone }, { guest: whole, fork: whole, sibling: whole, clone: whole })
      },
      longestMillis
    )
  }
})

describe("a volume", () => {
  it(
    `is-durable-only-if-the-operating-system-says-so${whyNotInjected}`,
    () => {
      if (whyNotInjected !== "") return
      const flushed = (before: ReadonlyArray<string>, volume: string) => {
        const told = ran(before, flushesAVolume, volume, kit)
        return JSON.parse(told.slice(told.indexOf('{"lines'))) as Flushed
      }
      const durable = ({ lines }: Flushed) => lines.filter((line) => line === "durable").length
      const well = flushed([], join(base, "well"))
      assert.deepStrictEqual([durable(well), well.failures.length], [2, 0])
      const volume = join(base, "ill")
      const ill = flushed(failing("fdatasync", "EIO", [volume]), volume)
      assert.strictEqual(durable(ill), 0)
      const [first, ...others] = ill.failures
      assert.deepStrictEqual(first, { disk: "data", errno: 5, operation: "flush", reason: "Refused" })
      for (const { operation, reason } of others) assert.deepStrictEqual([operation, reason], ["flush", "Broken"])
    },
    longestMillis
  )
})
