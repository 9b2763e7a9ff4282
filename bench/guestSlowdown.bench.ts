/**
 * The cost for a guest of appending its events to a journal file while it runs: the same boot with and without.
 *
 * The rows show wall time and the CPU time of the guest's own thread: other work on the machine increases the former, not the
 * latter.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Journal, newGuestStream, recordGuest, Vmm } from "@stillpoint/core"
import { Effect } from "effect"
import { directory, guest, measured, runtime } from "./guests.ts"
import { inTurns, median, stopwatch } from "./measure.ts"
import { finish, row } from "./row.ts"

/** Milliseconds that each thread of the core has executed so far; `null` where the system does not say. */
const coreThreads = (): ReadonlyMap<string, number> | null => {
  const tasks = "/proc/self/task"
  const millis = new Map<string, number>()
  try {
    for (const task of readdirSync(tasks)) {
      if (readFileSync(`${tasks}/${task}/comm`, "utf8").trim() !== "stillpoint") continue
      millis.set(task, Number(readFileSync(`${tasks}/${task}/schedstat`, "utf8").split(" ")[0]) / 1e6)
    }
  } catch {
    return null
  }
  return millis
}

/** Milliseconds that they have executed between. Threads that ended had none to do. */
const executedBetween = (before: ReturnType<typeof coreThreads>, after: ReturnType<typeof coreThreads>) =>
  before === null || after === null
    ? null
    : [...after].reduce((sum, [thread, millis]) => sum + millis - (before.get(thread) ?? 0), 0)

// A sample of dirtied pages every 10 µs of guest time: a hundred thousand events a guest second.
const spec = { ...guest, dirtySampleNanos: 10_000 }

const boot = (isRecorded: boolean) =>
  Effect.gen(function* () {
    const machine = yield* (yield* Vmm).boot(spec)
    const recording = isRecorded ? yield* recordGuest(newGuestStream(), machine) : null
    const before = coreThreads()
    const passed = stopwatch()
    yield* machine.run({ kinds: ["WorkloadPreExec"] })
    const millis = passed()
    const busy = executedBetween(before, coreThreads())
    if (recording !== null) yield* recording.flush
    const untilAppended = passed()
    return { millis, untilAppended, busy, events: (yield* machine.eventsSoFar()).length }
  })

let journals = 0
const toFile = () => {
  const path = join(directory, `journal-${journals++}`)
  return measured(Effect.provide(boot(true), Journal.layerSqlite({ path }), { local: true }))
}
const unrecorded = () => measured(Effect.provide(boot(false), Journal.layerMemory, { local: true }))

type Boot = Awaited<ReturnType<typeof toFile>>
const [recorded, alone] = await inTurns<readonly [Boot, Boot]>([toFile, unrecorded], { rounds: 7, warmUps: 1 })
await runtime.dispose()

const name = "journal-append/while-booting"
const events = alone[0]?.events ?? 0
const beside = (suffix: string, figure: (boot: Boot) => number) =>
  row(name + suffix, "ms", median(recorded.map(figure)), {
    peer: `the same boot, its ${events} events not recorded`,
    peerValue: median(alone.map(figure))
  })
finish([
  beside("", ({ millis }) => millis),
  ...(alone.some(({ busy }) => busy === null) ? [] : [beside("-guest-thread", ({ busy }) => busy ?? Number.NaN)]),
  row(`${name}-events`, "events/s", (events * 1_000) / median(recorded.map(({ untilAppended }) => untilAppended)))
])
