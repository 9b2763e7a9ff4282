/**
 * Real programs compared with QEMU: CPU time and wall time of a command in a booted guest, and the instructions a second. `shell`
 * counts in busybox `sh`, `burst` starts one short process after another.
 *
 * Both sides are given the command by the same agent. Instructions are counted by the deterministic engine, one guest nanosecond each.
 */
import type { Machine } from "@stillpoint/core"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { directory, executedNanos, guest, machineAt, measured, runtime } from "./guests.ts"
import { inTurns, median, stopwatch } from "./measure.ts"
import { Qemu } from "./peers/Qemu.ts"
import { finish, type Row, row } from "./row.ts"

const count = (turns: number, work: string) => `i=0; while [ $i -lt ${turns} ]; do ${work}i=$((i+1)); done`

const programs = {
  shell: ["/bin/sh", "-c", count(300_000, "")],
  burst: ["/bin/sh", "-c", count(1_000, "/bin/busybox true; ")]
}

interface Cost {
  readonly wallMillis: number
  readonly cpuMillis: number
}

/** The cost of the work, by a clock of CPU time in milliseconds. */
const costOf = async (cpu: () => number, work: () => Promise<unknown>): Promise<Cost> => {
  const [before, passed] = [cpu(), stopwatch()]
  await work()
  return { wallMillis: passed(), cpuMillis: cpu() - before }
}

const ownCpu = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1e3
}

/** Milliseconds of processor time of another process, in the kernel's ticks of 10 ms. */
const cpuOf = (pid: number): number => {
  const [, fields = ""] = readFileSync(`/proc/${pid}/stat`, "utf8").split(/\) (?=[A-Z] )/)
  const [, , , , , , , , , , , user, system] = fields.split(" ")
  return 10 * (Number(user) + Number(system))
}

let instructions = 0

const execute = Effect.fnUntraced(function* (machine: Machine, argv: ReadonlyArray<string>) {
  const [seq, before] = [(yield* machine.activity).nextSeq, yield* machine.nowNanos]
  const { code } = yield* machine.exec({ argv: [...argv], timeoutNanos: 600e9 })
  if (code !== 0) return yield* Effect.die(new Error(`${argv.join(" ")}: exit status ${code}`))
  instructions = executedNanos(yield* machine.eventsSoFar(seq), yield* machine.nowNanos) - before
})

const ours = (argv: ReadonlyArray<string>) =>
  measured(
    Effect.gen(function* () {
      const machine = yield* machineAt("ListenerBound")
      return yield* Effect.promise(() => costOf(ownCpu, () => runtime.runPromise(execute(machine, argv))))
    })
  )

const qemu = async (argv: ReadonlyArray<string>): Promise<Cost> => {
  const started = await Qemu.start({ ...guest, directory })
  try {
    await started.next("ListenerBound")
    return await costOf(
      () => cpuOf(started.pid),
      async () => {
        started.exec(1, argv)
        await started.next("ExecExited")
      }
    )
  } finally {
    await started.close()
  }
}

const peer = "qemu-system-riscv64"
const rows: Array<Row> = []
for (const [name, argv] of Object.entries(programs)) {
  const [our, their] = await inTurns([() => ours(argv), () => qemu(argv)], { rounds: 3 })
  const middle = (costs: ReadonlyArray<Cost>, of: keyof Cost) => median(costs.map((cost) => cost[of]))
  const cpuMillis = middle(our, "cpuMillis")
  rows.push(
    row(`workload/${name}`, "ms of CPU", cpuMillis, { peer, peerValue: middle(their, "cpuMillis") }),
    row(`workload/${name}-wall`, "ms", middle(our, "wallMillis"), { peer, peerValue: middle(their, "wallMillis") }),
    row(`workload/${name}-mips`, "Minstr/s", instructions / cpuMillis / 1e3)
  )
}
for (const name of ["python", "node", "java", "postgres", "compress"]) {
  process.stderr.write(`missing: workload/${name}: no guest of it that ${peer} boots, too\n`)
}
await runtime.dispose()
finish(rows)
