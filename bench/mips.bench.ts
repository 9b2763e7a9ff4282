/**
 * Guest instructions a second in loops of one kind each: bare supervisor-mode programs, the same file on both sides.
 *
 * Instructions are counted by the deterministic engine, one guest nanosecond each. QEMU's own start, measured with a
 * program that ends at once, is taken off its time; ours counts from the first instruction, too.
 */
import { Vmm } from "@stillpoint/core"
import { Effect } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { directory, measured, runtime } from "./guests.ts"
import { measure, milliseconds, stopwatch } from "./measure.ts"
import { finish, type Row, row } from "./row.ts"

const sources = fileURLToPath(new URL("payloads/", import.meta.url))

const build = (name: string, rounds?: number): string => {
  const out = join(directory, `${name}-${rounds ?? "full"}.elf`)
  const options = ["-O2", "-nostdlib", "-static", "-ffreestanding", "-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany"]
  const link = ["-Wl,-Tpayload.ld", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments"]
  const few = rounds === undefined ? [] : [`-DROUNDS=${rounds}u`]
  execFileSync("riscv64-linux-gnu-gcc", [...options, ...link, ...few, "start.S", `${name}.c`, "-o", out], {
    cwd: sources
  })
  return out
}

const memoryMib = 64

const qemu = (kernelPath: string) =>
  milliseconds(
    () =>
      new Promise<void>((resolve, reject) => {
        const machine = ["-machine", "virt", "-m", `${memoryMib}M`, "-display", "none", "-serial", "null"]
        const child = spawn("qemu-system-riscv64", [...machine, "-kernel", kernelPath], { stdio: "ignore" })
        child.once("error", reject)
        child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`qemu ended: ${code}`))))
      })
  )

let instructions = 0

const ours = (kernelPath: string) =>
  measured(
    Effect.gen(function* () {
      const machine = yield* (yield* Vmm).boot({ kernelPath, memoryMib, dirtySampleNanos: 0 })
      const passed = stopwatch()
      const stop = yield* machine.run({})
      if (stop.reason !== "halted") return yield* Effect.die(new Error(`${kernelPath}: the run ended: ${stop.reason}`))
      instructions = stop.atNanos
      return passed()
    })
  )

const rows: Array<Row> = []
for (const [name, label] of [
  ["integer", "mips-int"],
  ["memory", "mips-mem"],
  ["floating", "mips-fp"]
] as const) {
  const full = build(name)
  const none = build(name, 0)
  const [our, theirs, start] = await measure([() => ours(full), () => qemu(full), () => qemu(none)])
  const peerValue = instructions / Math.max(theirs - start, 0.001) / 1000
  rows.push(
    row(label, "Minstr/s", instructions / our / 1000, { peer: "qemu-system-riscv64", peerValue, better: "more" })
  )
}
await runtime.dispose()
finish(rows)
