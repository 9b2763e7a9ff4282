import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { spawnSync } from "node:child_process"
import { type CpioEntry, readCpio, writeCpio } from "./cpio.ts"

const path = fc.stringMatching(/^[a-zA-Zé0-9._-]{1,30}(\/[a-z]{1,30}){0,3}$/).filter((name) => name !== "TRAILER!!!")
const mode = fc.integer({ min: 0, max: 0o7777 })
const none = new Uint8Array()
const entry: fc.Arbitrary<CpioEntry> = fc.oneof(
  fc.record({
    path,
    kind: fc.constantFrom("file" as const, "symlink" as const),
    mode,
    content: fc.uint8Array({ maxLength: 300 }),
    device: fc.constant([0, 0] as const)
  }),
  fc.record({
    path,
    kind: fc.constantFrom("file" as const, "fifo" as const, "socket" as const),
    mode,
    content: fc.constant(none),
    device: fc.constant([0, 0] as const),
    owner: fc.tuple(fc.integer({ min: 1, max: 0xffff_fffe }), fc.nat(0xffff_fffe))
  }),
  fc.record({
    path,
    kind: fc.constant("directory" as const),
    mode,
    content: fc.constant(none),
    device: fc.constant([0, 0] as const)
  }),
  fc.record({
    path,
    kind: fc.constantFrom("characterDevice" as const, "blockDevice" as const),
    mode,
    content: fc.constant(none),
    device: fc.tuple(fc.nat(511), fc.nat(1023))
  })
)

it("what-is-written-is-read-back", () => {
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
      assert.deepStrictEqual(Result.getOrThrow(readCpio(writeCpio(entries))), entries)
    }),
    { numRuns: 500 }
  )
})

it("every-header-and-content-is-aligned-to-four", () => {
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
      assert.strictEqual(writeCpio(entries).length % 4, 0)
    })
  )
})

it("a-cut-or-changed-archive-is-refused-or-read-without-harm", () => {
  const archive = writeCpio([
    { path: "a", kind: "directory", mode: 0o755, content: none, device: [0, 0] },
    { path: "a/b", kind: "file", mode: 0o644, content: Buffer.from("content"), device: [0, 0] }
  ])
  for (let length = 0; length < archive.length - 4; length++) {
    assert.isTrue(Result.isFailure(readCpio(archive.subarray(0, length))), `${length}`)
  }
  fc.assert(
    fc.property(fc.nat(archive.length - 1), fc.nat(255), (at, value) => {
      const copy = new Uint8Array(archive)
      copy[at] = value
      readCpio(copy)
    })
  )
})

const readers = [
  ["cpio", ["-t", "--quiet"]],
  ["bsdtar", ["-tf", "-"]],
  ["busybox", ["cpio", "-t"]]
] as const
const reader = readers.find(([name]) => spawnSync(name, ["--help"]).error === undefined)

it.skipIf(reader === undefined)(
  `another-reader-lists-the-same-paths${reader === undefined ? " (skipped: neither cpio, bsdtar nor busybox is installed)" : ""}`,
  () => {
    const [name, args] = reader ?? readers[0]
    const entries: ReadonlyArray<CpioEntry> = [
      { path: "d", kind: "directory", mode: 0o755, content: none, device: [0, 0] },
      { path: "d/file", kind: "file", mode: 0o644, content: Buffer.from("12345"), device: [0, 0] },
      { path: "d/link", kind: "symlink", mode: 0o777, content: Buffer.from("file"), device: [0, 0] },
      { path: "d/null", kind: "characterDevice", mode: 0o600, content: none, device: [1, 3] }
    ]
    const listed = spawnSync(name, [...args], { input: writeCpio(entries) })
    assert.deepStrictEqual(
      listed.stdout.toString().trim().split("\n"),
      entries.map((item) => item.path)
    )
  }
)
