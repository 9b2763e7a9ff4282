/**
 * Capture, restore and fork, beside QEMU's `savevm` and `loadvm` and beside what memory and the kernel ask at least.
 *
 * Both sides hold the same guest at the same point: Debian's kernel, busybox `httpd` just listening, 128 MiB.
 */
import { Vmm } from "@stillpoint/core"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { directory, guest, machineAt, measured, memoryMib, runtime } from "./guests.ts"
import { inTurns, measure, median, milliseconds, stopwatch } from "./measure.ts"
import { Qemu } from "./peers/Qemu.ts"
import { finish, type Row, row } from "./row.ts"

const command = ["/bin/busybox", "true"]
const rows: Array<Row> = []

// QEMU's side: one guest booted, saved on a disk of its own.
const diskPath = join(directory, "disk.qcow2")
execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", diskPath, "1G"])
const source = await Qemu.start({ ...guest, directory, diskPath })
await source.next("ListenerBound")
await source.monitor("info status")
let saved = 0
const [savevm] = await measure([() => milliseconds(() => source.monitor(`savevm state${saved++}`))])
await source.close()

const loaded = { ...guest, directory, diskPath, loadState: "state0" }
const qemuToRunning = async () => {
  let machine: Qemu | undefined
  const elapsed = await milliseconds(async () => {
    machine = await Qemu.start(loaded)
    await machine.monitor("info status")
  })
  await machine?.close()
  return elapsed
}
const qemuToExec = async () => {
  let machine: Qemu | undefined
  const elapsed = await milliseconds(async () => {
    machine = await Qemu.start(loaded)
    machine.exec(7, command)
    await machine.next("ExecExited")
  })
  await machine?.close()
  return elapsed
}

// Our side: captures of one running guest.
const snapshot = join(directory, "snapshot")
const [captures] = await measured(
  Effect.gen(function* () {
    const machine = yield* machineAt("ListenerBound")
    const capture = Effect.gen(function* () {
      // A capture finds other memory than the one before it.
      yield* machine.run({ budgetNanos: 50_000_000 })
      rmSync(snapshot, { recursive: true, force: true })
      mkdirSync(snapshot)
      const passed = stopwatch()
      const { pauseNanos } = yield* machine.capture(snapshot)
      return { total: passed(), pause: pauseNanos / 1e6 }
    })
    return yield* Effect.promise(() => inTurns([() => Effect.runPromise(capture)]))
  })
)
const pause = median(captures.map(({ pause }) => pause))
const total = median(captures.map(({ total }) => total))

const floors = join(directory, "floors")
execFileSync("cc", ["-O2", "-o", floors, fileURLToPath(new URL("peers/floors.c", import.meta.url))])
/** The files of guest memory, the largest one first. */
const objects = readdirSync(snapshot)
  .filter((name) => /^[0-9a-f]{64}$/.test(name))
  .map((name) => ({ path: join(snapshot, name), bytes: statSync(join(snapshot, name)).blocks * 512 }))
  .toSorted((one, other) => other.bytes - one.bytes)
const [memcpyMs = 0, mmapMs = 0] = execFileSync(floors, [objects[0]?.path ?? "", String(memoryMib)], {
  encoding: "utf8"
})
  .split(" ")
  .map(Number)
const memcpy = `memcpy of ${memoryMib} MiB`
const mmap = "mmap of the file, one page touched"

rows.push(
  row("capture-pause", "ms", pause, { peer: "qemu savevm", peerValue: savevm }),
  row("capture-pause/memcpy", "ms", pause, { peer: memcpy, peerValue: memcpyMs }),
  row("capture-total", "ms", total, { peer: "qemu savevm", peerValue: savevm }),
  row("capture-total/memcpy", "ms", total, { peer: memcpy, peerValue: memcpyMs })
)

const toFirstInstruction = () =>
  measured(
    Effect.gen(function* () {
      const passed = stopwatch()
      const machine = yield* (yield* Vmm).restore(snapshot)
      yield* machine.run({ budgetNanos: 1 })
      return passed()
    })
  )
const toFirstExec = () =>
  measured(
    Effect.gen(function* () {
      const passed = stopwatch()
      const machine = yield* (yield* Vmm).restore(snapshot)
      const result = yield* machine.exec({ argv: command })
      if (result.code !== 0) return yield* Effect.die(new Error(`exec ended: ${result.code}`))
      return passed()
    })
  )
const [first, firstPeer] = await measure([toFirstInstruction, qemuToRunning])
const [exec, execPeer] = await measure([toFirstExec, qemuToExec])
rows.push(
  row("restore-to-first-instruction", "ms", first, { peer: "qemu -loadvm", peerValue: firstPeer }),
  row("restore-to-first-instruction/mmap", "ms", first, { peer: mmap, peerValue: mmapMs }),
  row("restore-to-first-exec", "ms", exec, { peer: "qemu -loadvm", peerValue: execPeer })
)

// Forks of one machine.
const clones = 1000
const resident = (pid: number | "self") =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? Number.NaN) * 1024
const [forkMs, cloneBytes] = await measured(
  Effect.gen(function* () {
    const machine = yield* machineAt("ListenerBound")
    const fork = Effect.scoped(
      Effect.gen(function* () {
        const passed = stopwatch()
        yield* machine.fork
        return passed()
      })
    )
    const [forkMs] = yield* Effect.promise(() => measure([() => Effect.runPromise(fork)], { rounds: 20 }))
    const before = resident("self")
    yield* Effect.forEach(Array.from({ length: clones }), () => machine.fork, { discard: true })
    return [forkMs, (resident("self") - before) / clones] as const
  })
)
const idle = await Qemu.start(loaded)
await idle.monitor("info status")
const idlePeer = resident(idle.pid)
await idle.close()
rows.push(
  row("fork", "ms", forkMs, { peer: memcpy, peerValue: memcpyMs }),
  row("idle-clone-bytes", "B", cloneBytes, { peer: "qemu -loadvm, one process", peerValue: idlePeer }),
  row(
    "snapshot-bytes",
    "B",
    objects.reduce((sum, { bytes }) => sum + bytes, 0)
  )
)
await runtime.dispose()
finish(rows)
