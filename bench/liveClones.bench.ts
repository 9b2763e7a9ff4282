/**
 * A thousand clones that live and whose guests wait: the processor time that they take, and how soon one of them is given something.
 *
 * With an idle time-out they doze, and cost as much as a stopped machine; without one each serves its kernel's timers, and the
 * agent's heartbeats if there are any.
 */
import type { LiveMachine, LiveOptions, LiveStatus, Machine } from "@stillpoint/core"
import { Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { measured } from "./guests.ts"
import { median, stopwatch } from "./measure.ts"
import { finish, row } from "./row.ts"

const clones = Number(process.env["STILLPOINT_BENCH_CLONES"] ?? 1_000)

/** Host seconds over which the processor time is taken. */
const seconds = 10

const wakes = 50

const run = (machine: Machine, kind: "ListenerBound") => machine.run({ kinds: [kind], budgetNanos: 60e9 })

const allAre = (lives: ReadonlyArray<LiveMachine>, status: LiveStatus) =>
  Effect.gen(function* () {
    for (const live of lives) while ((yield* live.state).status !== status) yield* Effect.sleep("1 millis")
  })

/** Milliseconds of processor time for each second, of all clones together; and milliseconds to give one of them a byte. */
const costOf = Effect.fnUntraced(function* (heartbeatMillis: number, options: LiveOptions) {
  const kit = yield* GuestKit
  const { kernelPath } = yield* kit.files
  const initramfs = yield* kit.initramfs({
    workload: { argv: ["/bin/sh", "-c", "httpd -f -p 8080 -h /"] },
    heartbeatMillis
  })
  const parent = yield* (yield* Vmm).boot({ kernelPath, initramfs })
  yield* run(parent, "ListenerBound")
  yield* parent.run({ budgetNanos: 5e9 })
  const machines = yield* Effect.forEach(Array.from({ length: clones }), () => parent.fork)
  const lives = yield* Effect.forEach(machines, (machine) => machine.live(options))
  yield* allAre(lives, options.idleTimeout === undefined ? "asleep" : "dozing")
  yield* Effect.sleep("2 seconds")
  const before = process.cpuUsage()
  yield* Effect.sleep(`${seconds} seconds`)
  const { system, user } = process.cpuUsage(before)
  const wakeTimes: Array<number> = []
  for (let index = 0; index < wakes; index++) {
    const machine = machines[(index * 19) % clones]
    if (machine === undefined) continue
    const passed = stopwatch()
    yield* machine.sendSerial(0, new Uint8Array([10]))
    wakeTimes.push(passed())
  }
  return { millisPerSecond: (user + system) / 1e3 / seconds, wakeMillis: median(wakeTimes) }
})

const dozing = await measured(costOf(100, { idleTimeout: "1 seconds" }))
const silent = await measured(costOf(0, {}))
const beating = await measured(costOf(100, {}))
const unit = "ms of processor time a second"
finish([
  row(`idle-live-clones/${clones}`, unit, dozing.millisPerSecond),
  row(`idle-live-clones/${clones}-timers`, unit, silent.millisPerSecond),
  row(`idle-live-clones/${clones}-timers-and-heartbeats`, unit, beating.millisPerSecond),
  row("live-wake/dozing", "ms", dozing.wakeMillis),
  row("live-wake/asleep", "ms", silent.wakeMillis)
])
