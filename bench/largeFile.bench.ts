/**
 * A large file into a guest and out of it again: how fast, and by how much the host's process grows meanwhile.
 *
 * The file is on a volume, whose content is a file of the host's. Its size is `STILLPOINT_BENCH_FILE_MIB`, 16 if absent. The
 * process grows with its guest's memory and with the log of its events, which holds the transferred bytes up to a bound.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Stream } from "effect"
import { directory, measured, memoryMib } from "./guests.ts"
import { stopwatch } from "./measure.ts"
import { finish, row } from "./row.ts"

const mebibytes = Number(process.env["STILLPOINT_BENCH_FILE_MIB"] ?? 16)
const mebi = 1 << 20

/** Resident mebibytes of this process that are no file's. */
const residentMib = (): number =>
  Number(/^RssAnon:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) / 1024

/** A mebibyte that differs from the others. */
const piece = (index: number): Uint8Array => {
  const bytes = new Uint8Array(mebi)
  new Uint32Array(bytes.buffer).fill(Math.imul(index + 1, 0x9e3779b1))
  return bytes
}

const transfer = Effect.gen(function* () {
  const kit = yield* GuestKit
  const spec = yield* kit.guest({ modules: ["virtio_mmio", "virtio_blk", "ext4"], privileged: true })
  const source = join(directory, "large.volume")
  const disk = { name: "data", access: "volume" as const, source, sizeBytes: (mebibytes + 256) * mebi }
  const machine = yield* (yield* Vmm).boot({ ...spec, memoryMib: 2 * memoryMib, disks: [disk] })
  const made = yield* machine.exec({
    argv: ["sh", "-c", "mkdir /data && mke2fs /dev/vda >/dev/null && mount -t ext4 /dev/vda /data"]
  })
  if (made.code !== 0) return yield* Effect.die(new Error(new TextDecoder().decode(made.stderr)))
  const sent = createHash("sha256")
  const content = Stream.range(1, mebibytes).pipe(
    Stream.map((index) => {
      const bytes = piece(index)
      sent.update(bytes)
      return bytes
    })
  )
  // Memory that the process needs once is allocated before it is measured.
  yield* machine.files.write("/data/first", Stream.range(1, 8).pipe(Stream.map(piece)))
  const before = residentMib()
  let most = before
  const look = Effect.sync(() => void (most = Math.max(most, residentMib())))
  const writing = stopwatch()
  yield* machine.files.write(
    "/data/large",
    Stream.tap(content, () => look)
  )
  const inMillis = writing()
  const received = createHash("sha256")
  const reading = stopwatch()
  let sizeBytes = 0
  yield* Stream.runForEach(machine.files.stream("/data/large"), (bytes) => {
    received.update(bytes)
    sizeBytes += bytes.length
    return sizeBytes % (4 * mebi) < bytes.length ? look : Effect.void
  })
  const outMillis = reading()
  if (sent.digest("hex") !== received.digest("hex")) return yield* Effect.die(new Error("another file came back"))
  return { inMillis, outMillis, grownMib: most - before }
})

const { grownMib, inMillis, outMillis } = await measured(transfer)
const seconds = (millis: number): number => millis / 1000
finish([
  row(`file-transfer/${mebibytes}-mib-in`, "MiB/s", mebibytes / seconds(inMillis)),
  row(`file-transfer/${mebibytes}-mib-out`, "MiB/s", mebibytes / seconds(outMillis)),
  row(`file-transfer/${mebibytes}-mib-grown`, "MiB", grownMib)
])
