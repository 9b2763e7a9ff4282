import { spawn, spawnSync } from "node:child_process"
import { copyFileSync, existsSync, rmSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, type Machine, Pipeline, Vmm } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { BootedKit, GuestKit } from "@stillpoint/kit"
import { Effect } from "effect"
import * as fc from "fast-check"
import { writeCapturedDisk } from "./capturedDisk.ts"
import { bootedTo, folder, isThere, layer, runTo, say, smallImage } from "./guests.ts"
import { programOf } from "./injected.ts"

const volumeBytes = 64 << 20

const volumeAt = (source: string, sizeBytes?: number) => ({
  name: "data",
  path: "/data",
  access: "volume" as const,
  source,
  ...(sizeBytes === undefined ? {} : { sizeBytes })
})

/** Hosts that are killed while their guests write; captures at random instants. */
const kills = Number(process.env["STILLPOINT_VOLUME_KILLS"] ?? 4)
const instants = Number(process.env["STILLPOINT_VOLUME_INSTANTS"] ?? 6)

const program = await programOf("./volumeWriter.ts")

/**
 * The last report of a writer before it was killed: its findings, and the last line that its guest knew to be
 * durable.
 */
interface Told {
  readonly found: number | null
  readonly durable: number
}

/** Runs a writer on the volume until it has told so many durable lines, and then so much longer. */
const writeUntilKilled = (kit: string, volume: string, lines: number, afterMillis: number) =>
  Effect.callback<Told>((resume) => {
    const child = spawn(process.execPath, [program, kit, volume], { stdio: ["ignore", "pipe", "inherit"] })
    let text = ""
    let timer: NodeJS.Timeout | undefined
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString()
      if (timer === undefined && text.split("durable ").length > lines) {
        timer = setTimeout(() => child.kill("SIGKILL"), afterMillis)
      }
    })
    child.once("close", () => {
      clearTimeout(timer)
      // An incomplete line was not reported.
      const whole = text.slice(0, text.lastIndexOf("\n") + 1)
      const found = /found (\d+)\n/.exec(whole)
      const durable = [...whole.matchAll(/durable (\d+)\n/g)].at(-1)
      resume(Effect.succeed({ found: found === null ? null : Number(found[1]), durable: Number(durable?.[1] ?? 0) }))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const e2fsck = (...args: ReadonlyArray<string>) => spawnSync("e2fsck", args, { encoding: "utf8" })
const whyNoCheck = isThere("/sbin/e2fsck", "/usr/sbin/e2fsck") ? "" : " (skipped: no e2fsck of e2fsprogs)"

/** Replays the journal of a file system; then it is clean. */
const replayAndCheck = (disk: string): void => {
  const replayed = e2fsck("-y", "-E", "journal_only", disk)
  assert.include([0, 1], replayed.status ?? -1, replayed.stdout + replayed.stderr)
  const checked = e2fsck("-f", "-n", disk)
  assert.strictEqual(checked.status, 0, checked.stdout + checked.stderr)
}

/** A file system as it stands is clean once its journal has been replayed. */
const checkFileSystem = (volume: string): void => {
  const copy = `${volume}.copy`
  copyFileSync(volume, copy)
  replayAndCheck(copy)
  rmSync(copy)
}

/** The number in the last line of a log on an unmounted disk; 0 if there is none. */
const lastLineOf = (disk: string): number => {
  const { stdout } = spawnSync("debugfs", ["-R", "cat /log", disk], { encoding: "utf8" })
  return Number(stdout.trim().split("\n").at(-1) ?? 0)
}

/** Appends, and returns when it is durable. */
const durably = "oflag=append conv=notrunc,fsync 2>/dev/null"

/** Writes, appends, renames and removes files on two disks forever; each reported line is durable on both. */
const restless = `i=0
while :; do
  i=$((i+1))
  for at in /data /scratch; do
    cd $at; mkdir -p d$((i%7)); dd if=/bin/busybox of=d$((i%7))/f bs=4k count=$((i%40)) 2>/dev/null
    mv d$((i%7))/f d$((i%7))/g$((i%5)); echo $i | dd of=log ${durably}
    [ $((i%11)) = 0 ] && rm -rf d$((i%7))
  done
  echo durable $i
done`

const lastDurable = (machine: Machine) =>
  Effect.map(machine.eventsSoFar(), (events) => {
    const lines = events.flatMap((event) => {
      const durable = event._tag === "SerialLine" ? /^durable (\d+)/.exec(event.text) : null
      return durable === null ? [] : [Number(durable[1])]
    })
    return lines.at(-1) ?? 0
  })

/** Guests of these tests boot on machines that are busy. */
const longestMillis = 600_000 + kills * 20_000 + instants * 20_000

describe("a volume", () => {
  withLayer(layer, { excludeTestServices: true, timeout: longestMillis })((it) => {
    it.effect(
      "outlives-its-machines-however-they-end",
      () =>
        Effect.gen(function* () {
          const image = yield* smallImage()
          const source = join(yield* folder, "volume")
          const kit = yield* GuestKit
          const none = yield* Effect.flip(
            Effect.flatMap(kit.bootSpec({ image, disks: [volumeAt(source)] }), (spec) =>
              Vmm.use((vmm) => vmm.boot(spec))
            )
          )
          assert(
            none._tag === "BootError" && none.reason._tag === "DiskUnreadable" && none.message.includes("sizeBytes")
          )
          const write = (sizeBytes?: number) =>
            Effect.scoped(
              Effect.gen(function* () {
                const machine = yield* bootedTo("WorkloadPreExec", { image, disks: [volumeAt(source, sizeBytes)] })
                yield* say(machine, "sh", "-c", `echo line | dd of=/data/file ${durably}`)
                return machine
              })
            )
          yield* write(volumeBytes)
          yield* write()
          // Switched off, it is unmounted.
          yield* Effect.scoped(
            Effect.gen(function* () {
              const machine = yield* bootedTo("WorkloadPreExec", { image, disks: [volumeAt(source)] })
              assert.strictEqual(yield* say(machine, "cat", "/data/file"), "line\nline\n")
              yield* say(machine, "sh", "-c", "echo not synced >> /data/file")
              yield* machine.agent.powerOff({ within: "30 seconds" })
            })
          )
          const machine = yield* bootedTo("WorkloadPreExec", { image, disks: [volumeAt(source)] })
          assert.strictEqual(yield* say(machine, "cat", "/data/file"), "line\nline\nnot synced\n")
          if (whyNoCheck === "") checkFileSystem(source)
        }),
      longestMillis
    )

    it.effect(
      "has-one-writer-and-clones-have-a-view-of-their-own",
      () =>
        Effect.gen(function* () {
          const image = yield* smallImage([], {
            Cmd: ["sh", "-c", "echo first > /data/file; sync; exec busybox nc -l -p 80"]
          })
          const directory = yield* folder
          const source = join(directory, "volume")
          const kit = yield* GuestKit
          const spec = yield* kit.bootSpec({ image, disks: [volumeAt(source, volumeBytes)] })
          const target = join(directory, "snapshot")
          const append = (machine: Machine, line: string) =>
            say(machine, "sh", "-c", `echo ${line} >> /data/file; sync; cat /data/file`)
          yield* Effect.scoped(
            Effect.gen(function* () {
              const machine = yield* (yield* Vmm).boot({ ...spec, memoryMib: 128 })
              yield* Pipeline.run(spec, {
                begun: { machine, hadAgent: false },
                policy: kindTrigger("ListenerBound"),
                target
              })
              const second = yield* Effect.flip(Vmm.use((vmm) => vmm.boot(spec)))
              assert.strictEqual(second.reason._tag, "DiskInUse")
              // Its clones do not ask for it, and do not wait for it.
              const { machine: clone } = yield* Gate.restore(target)
              assert.strictEqual(yield* append(clone, "of-the-clone"), "first\nof-the-clone\n")
              yield* machine.agent.thaw()
              assert.strictEqual(yield* append(machine, "second"), "first\nsecond\n")
            })
          )
          // Using the original file for a clone's disk is refused with an explanation.
          const original = yield* Effect.flip(Effect.scoped(Gate.restore(target, { diskSources: { data: source } })))
          assert(original.reason._tag === "NotRestored" && original.reason.cause._tag === "DiskIsCopy")
          const { machine: late } = yield* Gate.restore(target)
          assert.strictEqual(yield* say(late, "cat", "/data/file"), "first\n")
          const machine = yield* bootedTo("WorkloadPreExec", { image, disks: [volumeAt(source)] })
          assert.strictEqual(yield* say(machine, "cat", "/data/file"), "first\nsecond\n")
        }),
      longestMillis
    )

    it.effect(
      `is-a-clean-file-system-at-every-instant-and-what-was-durable-is-in-the-clone${whyNoCheck}`,
      () =>
        Effect.gen(function* () {
          if (whyNoCheck !== "") return
          const image = yield* smallImage([], { Cmd: ["sh", "-c", restless] })
          const directory = yield* folder
          const source = join(directory, "volume")
          const scratch = { name: "scratch", path: "/scratch", access: "scratch" as const, sizeBytes: volumeBytes }
          const { machine } = yield* Effect.flatMap(BootedKit, (kit) =>
            kit.create({ image, disks: [volumeAt(source, volumeBytes), scratch] })
          )
          yield* runTo(machine, "WorkloadPreExec")
          // Both are formatted and mounted by the first line.
          yield* runTo(machine, "SerialLine")
          let least = 0
          for (const budgetNanos of fc.sample(fc.integer({ min: 1, max: 300_000_000 }), instants)) {
            yield* machine.run({ budgetNanos })
            checkFileSystem(source)
            const durable = yield* lastDurable(machine)
            yield* Effect.scoped(
              Effect.gen(function* () {
                const snapshot = yield* folder
                yield* machine.capture(snapshot)
                // The image is disk 0.
                for (const number of [1, 2]) {
                  const disk = join(snapshot, `whole-${number}`)
                  writeCapturedDisk(snapshot, number, volumeBytes, disk)
                  replayAndCheck(disk)
                  assert.isAtLeast(lastLineOf(disk), durable)
                  rmSync(disk)
                }
                const clone = yield* (yield* Vmm).restore(snapshot)
                assert.strictEqual(yield* clone.digest, yield* machine.digest)
                yield* clone.agent.freeze()
                for (const log of ["/data/log", "/scratch/log"]) {
                  assert.isAtLeast(Number((yield* say(clone, "tail", "-n", "1", log)).trim()), durable)
                }
                // Data that the clone does not have in memory is read from its disks.
                yield* say(clone, "sh", "-c", "echo 3 > /proc/sys/vm/drop_caches; cat /data/d*/* /scratch/d*/* | wc -c")
              })
            )
            least = durable
          }
          assert.isAbove(least, Math.floor(instants / 4))
        }),
      longestMillis
    )

    it.effect(
      "loses-nothing-that-was-durable-when-its-host-is-killed",
      () =>
        Effect.gen(function* () {
          const directory = yield* folder
          const volume = join(directory, "volume")
          let told: Told = { found: 0, durable: 0 }
          for (let kill = 0; kill < kills; kill++) {
            const next = yield* writeUntilKilled(
              join(directory, "kit"),
              volume,
              1 + Math.floor(Math.random() * 20),
              Math.floor(Math.random() * 100)
            )
            assert.isNotNull(next.found)
            assert.isAtLeast(next.found ?? -1, told.durable)
            assert.isAbove(next.durable, next.found ?? 0, "the writer was killed before it wrote")
            told = next
            assert.isTrue(existsSync(volume))
            if (whyNoCheck === "") checkFileSystem(volume)
          }
        }),
      longestMillis
    )
  })
})
