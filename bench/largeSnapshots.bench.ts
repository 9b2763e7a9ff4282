/**
 * Captures and restores of memory that is full, by size: 128 MiB and 2 GiB, all of it random and touched.
 *
 * The guest is a few instructions that fill memory and then write to random places of it for ever. *Cold*: the snapshot's files are in
 * no cache of the host (`posix_fadvise` with `POSIX_FADV_DONTNEED`, which `dd iflag=nocache` asks for), nor is anything of it in the
 * process. What the disk itself takes is measured in turns: the same bytes in files of the same length, each flushed.
 */
import { DurableFiles, Gate, Journal, Pipeline, prefetch, SnapshotStore, Vmm } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Effect, Layer } from "effect"
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { directory, guest, measured, runtime, runTo } from "./guests.ts"
import { inTurns, measure, median, stopwatch } from "./measure.ts"
import { finish, type Row, row } from "./row.ts"

const rows: Array<Row> = []

/** Fills the memory of 2 to the power of `bits` bytes with random numbers, prints a line feed, and writes for ever. */
const filling = (bits: number): Uint8Array =>
  new Uint8Array(
    new Uint32Array([
      0x00100293, //       li   t0, 1
      0x01f29293, //       slli t0, t0, 31
      0x00100313, //       li   t1, 1
      0x00031313 | (bits << 20), // slli t1, t1, bits
      0xff830413, //       addi s0, t1, -8
      0x000284b3, //       mv   s1, t0
      0x00530333, //       add  t1, t1, t0
      0x00001eb7, //       lui  t4, 1            The page of this code stays.
      0x01d282b3, //       add  t0, t0, t4
      0x123453b7, //       lui  t2, 0x12345
      0x00d39e13, // fill: slli t3, t2, 13
      0x01c3c3b3, //       xor  t2, t2, t3
      0x0073de13, //       srli t3, t2, 7
      0x01c3c3b3, //       xor  t2, t2, t3
      0x01139e13, //       slli t3, t2, 17
      0x01c3c3b3, //       xor  t2, t2, t3
      0x0072b023, //       sd   t2, 0(t0)
      0x00828293, //       addi t0, t0, 8
      0xfe62e0e3, //       bltu t0, t1, fill
      0x10000f37, //       lui  t5, 0x10000
      0x00a00f93, //       li   t6, '\n'
      0x01ff0023, //       sb   t6, 0(t5)
      0x00d39e13, // wild: slli t3, t2, 13
      0x01c3c3b3, //       xor  t2, t2, t3
      0x0073de13, //       srli t3, t2, 7
      0x01c3c3b3, //       xor  t2, t2, t3
      0x01139e13, //       slli t3, t2, 17
      0x01c3c3b3, //       xor  t2, t2, t3
      0x0083fe33, //       and  t3, t2, s0
      0x009e0e33, //       add  t3, t3, s1
      0x01de6e33, //       or   t3, t3, t4
      0x007e3023, //       sd   t2, 0(t3)
      0xfd9ff06f //        j    wild
    ]).buffer
  )

/** Has the host forget the content of a snapshot's files. */
const forget = (path: string): void => {
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    execFileSync("dd", [`if=${join(entry.parentPath, entry.name)}`, "iflag=nocache", "count=0", "status=none"])
  }
}

/** Lengths of the objects of a snapshot. */
const objectsOf = (path: string): ReadonlyArray<number> =>
  readdirSync(path)
    .filter((name) => /^[0-9a-f]{64}$/.test(name))
    .map((name) => statSync(join(path, name)).size)

const megabytesPerSecond = (bytes: number, millis: number) => bytes / 1e3 / millis

/** Milliseconds that the disk takes for files of such lengths, a few at a time, each flushed. */
const written = async (lengths: ReadonlyArray<number>): Promise<number> => {
  const content = randomBytes(Math.max(...lengths))
  const folder = join(directory, "written")
  mkdirSync(folder)
  const passed = stopwatch()
  let next = 0
  const write = async (): Promise<void> => {
    for (let at = next++; at < lengths.length; at = next++) {
      await writeFile(join(folder, String(at)), content.subarray(0, lengths[at]), { flush: true })
    }
  }
  await Promise.all(Array.from({ length: 4 }, write))
  const millis = passed()
  rmSync(folder, { recursive: true })
  return millis
}

/** A machine whose memory is full and which writes to it for ever. */
const filled = Effect.fnUntraced(function* (bits: number) {
  const kernelPath = join(directory, `filling-${bits}`)
  writeFileSync(kernelPath, filling(bits))
  const machine = yield* (yield* Vmm).boot({
    kernelPath,
    loadAddress: 0x8000_0000,
    memoryMib: 2 ** (bits - 20)
  })
  yield* runTo(machine, "SerialLine")
  return machine
})

/** Captures of a full memory while its guest writes; the last of them stays. */
const captured = (bits: number, rounds: number) =>
  measured(
    Effect.gen(function* () {
      const machine = yield* filled(bits)
      const path = join(directory, `full-${bits}`)
      const capture = Effect.scoped(
        Effect.gen(function* () {
          yield* machine.live()
          rmSync(path, { recursive: true, force: true })
          mkdirSync(path)
          const passed = stopwatch()
          const { pauseNanos } = yield* machine.capture(path)
          return { pause: pauseNanos / 1e6, total: passed() }
        })
      )
      const sides = [() => Effect.runPromise(capture), () => written(objectsOf(path))] as const
      const [captures, floors] = yield* Effect.promise(() => inTurns(sides, { rounds }))
      const bytes = objectsOf(path).reduce((sum, each) => sum + each, 0)
      return {
        path,
        pause: median(captures.map(({ pause }) => pause)),
        rate: megabytesPerSecond(bytes, median(captures.map(({ total }) => total))),
        diskRate: megabytesPerSecond(bytes, median(floors))
      }
    })
  )

/** Restores something else, so that the process forgets what it had of the latest snapshot. */
const other = await captured(21, 1)
const elsewhere = () => measured(Effect.flatMap(Vmm, (vmm) => vmm.restore(other.path)))

const toFirstInstruction = (path: string) =>
  measured(
    Effect.gen(function* () {
      const passed = stopwatch()
      const machine = yield* (yield* Vmm).restore(path)
      yield* machine.run({ budgetNanos: 1 })
      return passed()
    })
  )

const sizes = [
  { bits: 27, size: "128-mib" },
  { bits: 31, size: "2-gib" }
]
for (const { bits, size } of sizes) {
  const { diskRate, path, pause, rate } = await captured(bits, 3)
  rows.push(
    row(`capture-pause/${size}-touched`, "ms", pause),
    row(`capture-rate/${size}-touched`, "MB/s", rate, { peer: "the disk itself", peerValue: diskRate, better: "more" })
  )
  const cold = async () => {
    await elsewhere()
    forget(path)
    return toFirstInstruction(path)
  }
  const warm = async () => {
    await toFirstInstruction(path)
    return toFirstInstruction(path)
  }
  const [coldMs, warmMs] = await measure([cold, warm])
  rows.push(
    row(`restore-to-first-instruction/${size}-touched-cold`, "ms", coldMs),
    row(`restore-to-first-instruction/${size}-touched-warm`, "ms", warmMs)
  )
  rmSync(path, { recursive: true })
}

// The first command of a clone, cold: its working set is read page by page, or in advance.
const host = Layer.provide(Layer.mergeAll(SnapshotStore.layer, Journal.layerMemory), DurableFiles.layer)
const web = join(directory, "web")
const command = { argv: ["/bin/busybox", "true"] as const }
await measured(
  Pipeline.run(guest, {
    policy: kindTrigger("ListenerBound"),
    target: web,
    validate: Pipeline.execProbe({ argv: [...command.argv] })
  }).pipe(Effect.provide(host))
)
const coldExec = (isAhead: boolean) => async () => {
  await elsewhere()
  const snapshot = await measured(Effect.flatMap(SnapshotStore, (store) => store.open(web)).pipe(Effect.provide(host)))
  forget(web)
  return measured(
    Effect.gen(function* () {
      const passed = stopwatch()
      if (isAhead) yield* prefetch(snapshot)
      const { machine } = yield* Gate.restore(web)
      yield* machine.exec({ argv: [...command.argv] })
      return passed()
    }).pipe(Effect.provide(host))
  )
}
const [ahead, without] = await measure([coldExec(true), coldExec(false)])
rows.push(row("restore-to-first-exec/cold-prefetched", "ms", ahead, { peer: "without prefetch", peerValue: without }))
await runtime.dispose()
finish(rows)
