import { createHash } from "node:crypto"
import { copyFileSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, makeClonePool, Pipeline, Vmm } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { GuestKit, imageDiskName } from "@stillpoint/kit"
import { Effect } from "effect"
import * as fc from "fast-check"
import { bootedTo, enough, folder, layer, runTo, say, smallImage } from "./guests.ts"

const digestOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex")

/** How often a guest is copied at a random instant while it writes. */
const copies = Number(process.env["STILLPOINT_VOLUME_INSTANTS"] ?? 8)

/** Guests of these tests boot on machines that are busy. */
const longestMillis = 300_000 + copies * 20_000

describe("a guest of an image", () => {
  withLayer(layer, { excludeTestServices: true, timeout: longestMillis })((it) => {
    it.effect(
      "has-the-image-as-its-root-and-writes-nothing-to-it",
      () =>
        Effect.gen(function* () {
          const linked = { "/run/lock/mine": {}, "/up/mine": {}, "/last": {} }
          const Volumes = { "/var/lib/data": {}, "/bin": {}, relative: {}, "/../../above": {}, ...linked }
          // Links to folders that the image does not have; whatever they say, they lead nowhere else than into it.
          const links: ReadonlyArray<readonly [path: string, target: string]> = [
            ["lock", "/gone/lock"],
            ["run/lock", "../lock"],
            ["up", "../../outside"],
            ["last", "/gone/last"],
            ["work", "/gone/work"]
          ]
          const image = yield* smallImage(
            [
              { path: "run/", type: "directory" },
              ...links.map(([path, link]) => ({ path, type: "symlink" as const, link }))
            ],
            { Cmd: ["sleep", "1000000"], Volumes, WorkingDir: "/work/here" }
          )
          const before = digestOf(image.file)
          const machine = yield* bootedTo("WorkloadPreExec", { image, hostname: "box" })
          yield* machine.go
          // Folders that the image names and does not have, and one that every program expects.
          const made = [
            "/var/lib/data",
            "/relative",
            "/above",
            "/gone/lock/mine",
            "/outside/mine",
            "/gone/last",
            "/gone/work/here"
          ]
          assert.strictEqual(
            yield* say(machine, "busybox", "stat", "-c", "%n %a %u", ...made, "/tmp"),
            [...made.map((path) => `${path} 755 0\n`), "/tmp 1777 0\n"].join("")
          )
          assert.strictEqual(yield* say(machine, "cat", "/etc/image", "/etc/hostname"), "from the image\nbox\n")
          assert.match(yield* say(machine, "cat", "/proc/mounts"), /^overlay \/ overlay rw/m)
          assert.strictEqual(
            yield* say(machine, "sh", "-c", "echo changed > /etc/image; touch /new; sync; cat /etc/image; ls /new"),
            "changed\n/new\n"
          )
          assert.strictEqual(digestOf(image.file), before)
        }),
      longestMillis
    )

    it.effect(
      "runs-the-same-twice-and-over-a-capture-and-a-fork",
      () =>
        Effect.gen(function* () {
          const script =
            "for i in 1 2 3; do dd if=/bin/busybox of=/data/$i bs=64k count=8 2>/dev/null; sync; done; cat /data/* | wc -c"
          const image = yield* smallImage([], { Cmd: ["sh", "-c", script] })
          const input = {
            image,
            disks: [{ name: "data", path: "/data", access: "scratch" as const, sizeBytes: 64 << 20 }]
          }
          const once = yield* bootedTo("WorkloadExited", input)
          const other = yield* bootedTo("WorkloadPreExec", input)
          // Wherever the guest is cut, requests to its disks may be in flight.
          const directory = yield* folder
          yield* other.run({ budgetNanos: 110_000_000 })
          const fork = yield* other.fork
          yield* other.capture(directory)
          const restored = yield* (yield* Vmm).restore(directory)
          const expected = { digest: yield* once.digest, atNanos: yield* once.nowNanos }
          for (const machine of [other, fork, restored]) {
            yield* runTo(machine, "WorkloadExited")
            assert.deepStrictEqual({ digest: yield* machine.digest, atNanos: yield* machine.nowNanos }, expected)
          }
        }),
      longestMillis
    )

    it.effect(
      "writes-the-same-wherever-and-however-often-it-is-copied-on-the-way",
      () =>
        Effect.gen(function* () {
          const script = `for i in $(seq 30); do dd if=/bin/busybox of=/data/$i bs=4k count=$i conv=fsync 2>/dev/null
            mv /data/$i /data/f$((i%7)); done; cat /data/* | wc -c`
          const image = yield* smallImage([], { Cmd: ["sh", "-c", script] })
          const data = { name: "data", path: "/data", access: "scratch" as const, sizeBytes: 64 << 20 }
          const plain = yield* bootedTo("WorkloadPreExec", { image, disks: [data] })
          const seed = yield* plain.fork
          const [beginNanos] = [yield* plain.nowNanos]
          yield* runTo(plain, "WorkloadExited")
          const expected = { digest: yield* plain.digest, atNanos: yield* plain.nowNanos }
          const longest = Math.max(1, Math.floor((2 * (expected.atNanos - beginNanos)) / copies))
          const cut = fc.record({
            budgetNanos: fc.integer({ min: 1, max: longest }),
            how: fc.constantFrom("fork", "restore", "capture")
          })
          let machine = seed
          for (const { budgetNanos, how } of fc.sample(cut, copies)) {
            const { reason } = yield* machine.run({ budgetNanos, kinds: ["WorkloadExited"] })
            if (reason === "event") break
            if (how === "fork") {
              machine = yield* machine.fork
              continue
            }
            const directory = yield* folder
            yield* machine.capture(directory)
            if (how === "restore") machine = yield* (yield* Vmm).restore(directory)
          }
          if ((yield* machine.eventsSoFar()).at(-1)?._tag !== "WorkloadExited") yield* runTo(machine, "WorkloadExited")
          assert.deepStrictEqual({ digest: yield* machine.digest, atNanos: yield* machine.nowNanos }, expected)
        }),
      longestMillis
    )

    it.effect(
      "is-captured-by-a-pipeline-and-cloned-through-the-gate",
      () =>
        Effect.gen(function* () {
          const image = yield* smallImage([], {
            Cmd: [
              "sh",
              "-c",
              "echo 10.0.0.1 other >> /etc/hosts; echo kept > /data/file; sync; exec busybox nc -l -p 80"
            ]
          })
          const kit = yield* GuestKit
          const spec = yield* kit.bootSpec({
            image,
            disks: [{ name: "data", path: "/data", access: "scratch", sizeBytes: 64 << 20 }]
          })
          const target = join(yield* folder, "snapshot")
          yield* Effect.scoped(
            Pipeline.run({ ...spec, memoryMib: 128 }, { policy: kindTrigger("ListenerBound"), target })
          )
          const names = yield* Effect.forEach([1, 2, 3], () =>
            Effect.scoped(
              Effect.gen(function* () {
                const { machine } = yield* Gate.restore(target)
                assert.strictEqual(yield* say(machine, "cat", "/data/file", "/etc/image"), "kept\nfrom the image\n")
                // Of one clone only.
                assert.strictEqual(
                  yield* say(machine, "sh", "-c", "echo more >> /data/file; sync; wc -l < /data/file"),
                  "2\n"
                )
                const name = yield* say(machine, "cat", "/etc/hostname")
                // Programs look themselves up by their machine's name; what the workload has written stays.
                const hosts = yield* say(machine, "cat", "/etc/hosts")
                assert.match(hosts, new RegExp(`\\n127\\.0\\.1\\.1\\t${name}10\\.0\\.0\\.1 other\\n$`))
                return name
              })
            )
          )
          assert.strictEqual(new Set(names).size, 3)
          const pool = yield* makeClonePool({ snapshot: target, ready: 2 })
          const pooled = yield* Effect.forEach([1, 2, 3], () =>
            Effect.scoped(
              Effect.flatMap(pool.acquire, ({ machine }) =>
                say(machine, "sh", "-c", "cat /data/file; echo of this clone > /data/file; sync")
              )
            )
          )
          assert.deepStrictEqual(pooled, ["kept\n", "kept\n", "kept\n"])
          // A file that has moved is found where the restore says it is; another one is refused.
          const moved = join(yield* folder, "moved.erofs")
          copyFileSync(image.file, moved)
          const { machine } = yield* Gate.restore(target, { diskSources: { [imageDiskName]: moved } })
          assert.strictEqual(yield* say(machine, "cat", "/etc/image"), "from the image\n")
          truncateSync(moved, 4096)
          const other = yield* Effect.flip(
            Effect.scoped(Gate.restore(target, { diskSources: { [imageDiskName]: moved } }))
          )
          assert(other.reason._tag === "NotRestored" && other.reason.cause._tag === "DiskSizeWrong")
        }),
      longestMillis
    )

    it.effect(
      "is-refused-with-every-problem-of-its-disks-at-once",
      () =>
        Effect.gen(function* () {
          const directory = yield* folder
          const kit = yield* GuestKit
          const vmm = yield* Vmm
          const spec = yield* kit.guest({})
          const file = join(directory, "file")
          writeFileSync(file, new Uint8Array(8192))
          const disk = { name: "a", access: "read" as const, source: file }
          const shape = yield* Effect.flip(
            vmm.boot({
              ...spec,
              diskSlots: 99,
              disks: [
                { ...disk, name: "a name that is much too long" },
                { name: "b", access: "scratch" },
                { name: "b", access: "volume" },
                { ...disk, name: "c", sizeBytes: 7 }
              ]
            })
          )
          assert.strictEqual(shape.reason._tag, "InvalidConfiguration")
          for (const place of [
            "boot.disks.0.name: ",
            "boot.disks.1",
            "boot.disks.2",
            "boot.disks.3.sizeBytes: ",
            "boot.diskSlots: "
          ]) {
            assert.include(shape.message, place)
          }
          const twice = yield* Effect.flip(vmm.boot({ ...spec, disks: [disk, disk] }))
          assert.include(twice.message, `several disks called "a"`)
          const files = yield* Effect.flip(
            vmm.boot({
              ...spec,
              disks: [
                { ...disk, name: "none", source: join(directory, "none") },
                { ...disk, name: "folder", source: directory },
                { ...disk, name: "short", sizeBytes: 16384 },
                { name: "absent", access: "volume", source: join(directory, "absent") }
              ]
            })
          )
          assert.strictEqual(files.reason._tag, "DiskUnreadable")
          for (const index of [0, 1, 2, 3]) assert.include(files.message, `disks[${index}].source`)
          assert.include(files.message, "expected 16384 bytes")
          assert.strictEqual(statSync(file).size, 8192)
        }),
      longestMillis
    )

    it.effect(
      "has-an-empty-slot-filled-while-it-runs-and-no-disk-more-than-slots",
      () =>
        Effect.gen(function* () {
          const image = yield* smallImage()
          const kit = yield* GuestKit
          const spec = { ...(yield* kit.bootSpec({ image })), memoryMib: 128, diskSlots: 1 }
          const machine = yield* (yield* Vmm).boot(spec)
          yield* runTo(machine, "WorkloadPreExec")
          const disk = { name: "late", access: "scratch" as const, sizeBytes: 1 << 20 }
          const taken = yield* Effect.flip(machine.attachDisk({ ...disk, name: "stillpoint-root" }))
          assert.strictEqual(taken.reason._tag, "DiskNameTaken")
          const invalid = yield* Effect.flip(machine.attachDisk({ ...disk, name: "no good", sizeBytes: 5 }))
          assert.strictEqual(invalid.reason._tag, "DiskInvalid")
          for (const place of ["name", "sizeBytes"]) assert.include(invalid.message, place)
          const unknown = yield* Effect.flip(machine.attachDisk(disk, 7))
          assert.strictEqual(unknown.reason._tag, "SlotUnknown")
          yield* machine.attachDisk(disk)
          const full = yield* Effect.flip(machine.attachDisk({ ...disk, name: "later" }))
          assert.strictEqual(full.reason._tag, "SlotTaken")
          yield* machine.run({ budgetNanos: enough / 100 })
          assert.include(yield* say(machine, "cat", "/sys/block/vdb/serial", "/sys/block/vdb/size"), "late")
        }),
      longestMillis
    )
  })
})
