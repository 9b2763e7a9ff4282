import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { type GuestEventOf, type Machine, Pipeline, Vmm } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { BootedKit, imageDiskName } from "@stillpoint/kit"
import { Effect } from "effect"
import { bigImage, bootedTo, folder, layer, runTo, smallImage } from "./guests.ts"

const longestMillis = 600_000

/** A disk of the host's that is full after so many bytes; `null` where this user may not have one. */
const smallHostDisk = (sizeBytes: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const path = mkdtempSync(join(tmpdir(), "stillpoint-full-"))
      const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes}`, "none", path])
      return { path, isMounted: mounted.status === 0 }
    }),
    ({ isMounted, path }) =>
      Effect.sync(() => {
        if (isMounted) spawnSync("umount", ["-l", path])
        rmSync(path, { recursive: true, force: true })
      })
  )

const mayMount = Effect.runSync(Effect.scoped(Effect.map(smallHostDisk(65_536), ({ isMounted }) => isMounted)))
const whyNoMount = mayMount ? "" : " (skipped: this user may not mount a small disk)"

const failuresOf = (machine: Machine) =>
  Effect.map(machine.eventsSoFar(), (events) =>
    events.filter((event): event is GuestEventOf<"DiskFailed"> => event._tag === "DiskFailed")
  )

/** A machine whose image changed below it: what it reads of `/big` is as it was, until it can read no further and says so. */
const givesNoneOfTheChange = Effect.fnUntraced(function* (machine: Machine, big: Buffer) {
  const read = yield* machine.exec({ argv: ["cat", "/big"], outputLimitBytes: 2 << 20 })
  assert.notStrictEqual(read.code, 0)
  assert.strictEqual(Buffer.compare(big.subarray(0, read.stdout.length), Buffer.from(read.stdout)), 0)
  const [failed] = yield* failuresOf(machine)
  assert.deepStrictEqual([failed?.disk, failed?.reason, failed?.errno], [imageDiskName, "Changed", null])
})

/** Writes what does not fit on the host's disk, and then listens; it has not been told by then that it does not fit. */
const overfull = "dd if=/dev/urandom of=/data/file bs=64k count=96 2>/dev/null; exec busybox nc -l -p 80"

describe("a disk that fails", () => {
  withLayer(layer, { excludeTestServices: true, timeout: longestMillis })((it) => {
    it.effect(
      `for-a-full-host-disk-is-told-to-the-guest-and-the-run-and-is-not-published${whyNoMount}`,
      () =>
        Effect.gen(function* () {
          if (whyNoMount !== "") return
          const image = yield* smallImage([], { Cmd: ["sh", "-c", overfull] })
          const { path } = yield* smallHostDisk(4 << 20)
          const directory = yield* folder
          const volume = (name: string) => ({
            name: "data",
            path: "/data",
            access: "volume" as const,
            source: join(path, name),
            sizeBytes: 32 << 20
          })
          const { create } = yield* BootedKit
          const target = join(directory, "snapshot")
          const begun = yield* create({ image, disks: [volume("one")] })
          const { machine, spec } = begun
          // Before it is captured the workload is frozen and what it wrote is synced.
          const refused = yield* Effect.flip(
            Pipeline.run(spec, { begun, policy: kindTrigger("ListenerBound"), target })
          )
          assert(refused._tag === "GuestDiskFailed", refused.message)
          assert.deepStrictEqual([refused.disk, refused.why, refused.errno], ["data", "Refused", 28])
          assert.isFalse(existsSync(target))
          const [failed] = yield* failuresOf(machine)
          assert(failed !== undefined)
          assert.strictEqual(failed.operation, "write")
          assert.include(failed.message, volume("one").source)
          // The guest continues, and gets an error.
          yield* machine.agent.thaw()
          const told = yield* machine.exec({ argv: ["sh", "-c", "echo more > /data/more; sync /data/more"] })
          assert.notStrictEqual(told.code, 0)
        }),
      longestMillis
    )

    it.effect(
      "is-what-a-policy-can-wait-for",
      () =>
        Effect.gen(function* () {
          const { big, image } = yield* bigImage(2 << 20, {
            Cmd: ["sh", "-c", "cat /big > /dev/null; exec sleep 1000000"]
          })
          const { file } = image
          const directory = yield* folder
          const begun = yield* Effect.flatMap(BootedKit, ({ create }) => create({ image }))
          const { machine, spec } = begun
          const attached = (yield* machine.eventsSoFar()).filter((event) => event._tag === "DiskAttached")
          assert.deepStrictEqual(
            attached.map(({ access, disk, sizeBytes, slot, source }) => ({ access, disk, sizeBytes, slot, source })),
            [{ access: "read", disk: imageDiskName, sizeBytes: image.sizeBytes, slot: 0, source: file }]
          )
          yield* runTo(machine, "WorkloadPreExec")
          truncateSync(file, readFileSync(file).indexOf(big.subarray(0, 4096)) + 8192)
          // The capture would need a disk that is shorter now, so it fails.
          const policy = kindTrigger("DiskFailed")
          const error = yield* Effect.flip(Pipeline.run(spec, { begun, policy, target: join(directory, "snapshot") }))
          assert(error._tag === "CaptureError", error.message)
          assert.include(error.message, "shorter")
          const failures = yield* failuresOf(machine)
          assert.isAbove(failures.length, 0)
          for (const { disk, operation, reason } of failures) {
            assert.deepStrictEqual([disk, operation, reason], [imageDiskName, "read", "Shortened"])
          }
        }),
      longestMillis
    )

    it.effect(
      "because-its-file-rotted-before-anybody-read-it-says-so-and-gives-the-guest-none-of-it",
      () =>
        Effect.gen(function* () {
          const big = randomBytes(1 << 20)
          const image = yield* smallImage([{ path: "big", content: big }])
          const bytes = readFileSync(image.file)
          const at = bytes.indexOf(big.subarray(0, 4096))
          assert.isAbove(at, 0)
          bytes.fill(7, at + 500_000, at + 500_010)
          chmodSync(image.file, 0o600)
          writeFileSync(image.file, bytes)
          const { machine } = yield* Effect.flatMap(BootedKit, ({ create }) => create({ image }))
          yield* runTo(machine, "WorkloadPreExec")
          // The capture contains the image, not the file's present content.
          const snapshot = yield* folder
          yield* machine.capture(snapshot)
          for (const each of [machine, yield* (yield* Vmm).restore(snapshot)]) yield* givesNoneOfTheChange(each, big)
        }),
      longestMillis
    )

    it.effect(
      "because-its-file-was-changed-says-so-and-gives-the-guest-none-of-it",
      () =>
        Effect.gen(function* () {
          const { big, image } = yield* bigImage(1 << 20)
          const { file } = image
          const snapshot = yield* folder
          const machine = yield* bootedTo("WorkloadPreExec", { image })
          // From here on it is known what the whole file was.
          yield* machine.capture(snapshot)
          const bytes = readFileSync(file)
          const at = bytes.indexOf(big.subarray(0, 4096))
          assert.isAbove(at, 0)
          bytes.fill(7, at + 500_000, at + 500_010)
          writeFileSync(file, bytes)
          for (const each of [machine, yield* (yield* Vmm).restore(snapshot)]) yield* givesNoneOfTheChange(each, big)
          const error = yield* Effect.flip(Effect.flatMap(folder, (path) => machine.capture(path)))
          assert.strictEqual(error.reason._tag, "DiskChanged")
        }),
      longestMillis
    )
  })
})
