/** Files that are read by their paths, replaced by something else: they are refused without blocking. */
import { spawnSync } from "node:child_process"
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, it } from "@effect/vitest"
import { GuestAgent } from "@stillpoint/core"
import { SignatureVerifier } from "@stillpoint/kit"
import { Cause, Effect, Exit } from "effect"
import { afterAll, assert } from "vitest"
import { fileDigest } from "../../core/src/internal/fileDigest.ts"
import { recallKey } from "../../kit/src/booted/knownKeys.ts"
import { hostFile, recordingIn } from "../src/cli/inputFile.ts"
import { prepareFile } from "../src/transfer/pieces.ts"

const folder = mkdtempSync(join(tmpdir(), "stillpoint prepared é "))
const pipes: Array<string> = []
const putPipe = (path: string): void => {
  assert.strictEqual(spawnSync("mkfifo", [path]).status, 0)
  pipes.push(path)
}
afterAll(() => {
  // Releases a process that blocks on one after all, since this process could not end.
  for (const path of pipes) closeSync(openSync(path, constants.O_RDWR))
  rmSync(folder, { recursive: true, force: true })
})

/** Replacements of a file. */
const substitutes: Readonly<Record<string, (path: string) => unknown>> = {
  pipe: putPipe,
  "link-to-a-pipe": (path) => {
    putPipe(`${path}.pipe`)
    symlinkSync(`${path}.pipe`, path)
  },
  "endless-device": (path) => symlinkSync("/dev/zero", path),
  "link-to-itself": (path) => symlinkSync(path, path),
  directory: (path) => mkdirSync(path)
}

/** Everything that reads a file which it is given the path of: what it answers to one that is none. */
const readers: Readonly<Record<string, (path: string) => Effect.Effect<unknown, unknown>>> = {
  fileDigest: (path) => Effect.map(fileDigest(path), (found) => assert.isNull(found)),
  recallKey: (path) => Effect.map(recallKey(path), (found) => assert.isNull(found)),
  agent: (path) =>
    Effect.flip(
      GuestAgent.use((agent) => agent.of("riscv64").program).pipe(
        Effect.provide(GuestAgent.layerFile(path, "build it"))
      )
    ),
  keyring: (path) =>
    Effect.flip(
      SignatureVerifier.use(({ verify }) => verify("a release", "text", "signature")).pipe(
        Effect.provide(SignatureVerifier.layerKeyrings([path]))
      )
    ),
  hostFile: (path) => Effect.flip(Effect.scoped(hostFile(path))),
  recording: (path) => Effect.flip(recordingIn(path)),
  prepareFile: (path) =>
    Effect.flip(
      Effect.tryPromise(() => prepareFile({ path: "a", sizeBytes: 1, pieces: [] }, path, new AbortController().signal))
    )
}

describe("a file that somebody has prepared", () => {
  let next = 0
  for (const [what, put] of Object.entries(substitutes)) {
    it.live(`that-is-a-${what}-is-refused-and-waited-for-by-nobody`, () =>
      Effect.gen(function* () {
        const path = join(folder, String(next++))
        put(path)
        for (const [reader, read] of Object.entries(readers)) {
          const exit = yield* Effect.exit(read(path))
          assert.isTrue(Exit.isSuccess(exit), `${reader}: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""}`)
        }
      })
    )
  }

  it.live("that-is-a-link-to-another-file-leaves-that-one-as-it-is", () =>
    Effect.gen(function* () {
      const [path, other] = [join(folder, "link"), join(folder, "other")]
      writeFileSync(other, "somebody's", { mode: 0o640 })
      symlinkSync(other, path)
      for (const reader of ["recallKey", "prepareFile"]) yield* readers[reader]!(path)
      assert.strictEqual(readFileSync(other, "utf8"), "somebody's")
      assert.strictEqual(statSync(other).mode & 0o777, 0o640)
    })
  )

  it.live("that-is-larger-than-what-is-read-is-refused-unread", () =>
    Effect.gen(function* () {
      const path = join(folder, "large")
      writeFileSync(path, "")
      truncateSync(path, 2 ** 31)
      for (const reader of ["recallKey", "agent", "keyring"]) yield* readers[reader]!(path)
    })
  )
})
