/** Boot to the agent's first word, and how fast the boot's own mix of instructions executes. */
import { Vmm } from "@stillpoint/core"
import { Effect } from "effect"
import { directory, executedNanos, guest, measured, runTo, runtime } from "./guests.ts"
import { measure, median, milliseconds, stopwatch } from "./measure.ts"
import { Qemu } from "./peers/Qemu.ts"
import { finish, row } from "./row.ts"

const mips: Array<number> = []

const ours = () =>
  milliseconds(() =>
    measured(
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot(guest)
        const passed = stopwatch()
        const stop = yield* runTo(machine, "AgentReady")
        const elapsed = passed()
        mips.push(executedNanos(yield* machine.eventsSoFar(), stop.atNanos) / elapsed / 1000)
      })
    )
  )

const qemu = async () => {
  let started: Qemu | undefined
  const elapsed = await milliseconds(async () => {
    started = await Qemu.start({ ...guest, directory })
    await started.next("AgentReady")
  })
  await started?.close()
  return elapsed
}

const [our, peer] = await measure([ours, qemu])
await runtime.dispose()
finish([
  row("boot-to-agent-ready", "ms", our, { peer: "qemu-system-riscv64", peerValue: peer }),
  row("boot-mips", "Minstr/s", median(mips))
])
