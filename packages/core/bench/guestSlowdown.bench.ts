/**
 * What it costs a guest that its events are appended to a journal file while it runs: the same boot with and without.
 *
 * Beside the time on the clock stands that of the guest's own thread on its processor: what others do on the machine meanwhile makes
 * the clock's longer and not this one. Needs the addon and the guest kit; prints no row where they are missing.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type BootSpec, type GuestAgent, Journal, newGuestStream, recordGuest, Vmm } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { median, print, type Row } from "./measure.ts"

const rounds = 7

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

/** The native machine and a guest: loaded by path, because core depends on neither. */
const native = async () => {
  const vmm: string = new URL("../../native/src/NativeVmm.ts", import.meta.url).href
  const kit: string = new URL("../../kit/src/index.ts", import.meta.url).href
  const { layer } = (await import(vmm)) as { readonly layer: Layer.Layer<Vmm> }
  const { layer: agent } = (await import(vmm.replace("NativeVmm", "NativeAgent"))) as {
    readonly layer: Layer.Layer<GuestAgent>
  }
  const { GuestKit } = (await import(kit)) as {
    readonly GuestKit: Effect.Effect<{
      readonly files: Effect.Effect<{ readonly kernelPath: string }, unknown>
      readonly initramfs: (config: object) => Effect.Effect<Uint8Array, unknown>
    }> & { readonly layer: Layer.Layer<never, never, GuestAgent> }
  }
  const spec: BootSpec = await Effect.runPromise(
    Effect.gen(function* () {
      const found = yield* GuestKit
      const { kernelPath } = yield* found.files
      const initramfs = yield* found.initramfs({ workload: { argv: ["/bin/sleep", "1000"] } })
      // A sample of dirtied pages every 10 µs of guest time: a hundred thousand events a guest second.
      return { kernelPath, initramfs, dirtySampleNanos: 10_000 }
    }).pipe(Effect.provide(Layer.provide(GuestKit.layer, agent)))
  )
  return { layer, spec }
}

const directory = await mkdtemp(join(tmpdir(), "stillpoint-bench-"))
try {
  const { layer, spec } = await native()
  let events = 0
  const boot = (path: string | null) =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* (yield* Vmm).boot(spec)
          const recording = path === null ? null : yield* recordGuest(newGuestStream(), machine)
          const before = coreThreads()
          const begun = performance.now()
          yield* machine.run({ kinds: ["WorkloadPreExec"] })
          const millis = performance.now() - begun
          const busy = executedBetween(before, coreThreads())
          if (recording !== null) yield* recording.flush
          const untilAppended = performance.now() - begun
          events = (yield* machine.eventsSoFar()).length
          return { millis, untilAppended, busy }
        })
      ).pipe(
        Effect.provide(layer),
        Effect.provide(path === null ? Journal.layerMemory : Journal.layerSqlite({ path }), { local: true })
      )
    )
  type Boot = Awaited<ReturnType<typeof boot>>
  const recorded: Array<Boot> = []
  const alone: Array<Boot> = []
  // The first of each compiles what the others run.
  for (let round = -1; round < rounds; round++) {
    const one = await boot(join(directory, `journal-${round}`))
    const other = await boot(null)
    if (round < 0) continue
    recorded.push(one)
    alone.push(other)
  }
  const medianOf = (boots: ReadonlyArray<Boot>, figure: (boot: Boot) => number): number => median(boots.map(figure))
  const name = "journal-append/while-booting"
  const peer = `the same boot, its ${events} events not recorded`
  const row = (suffix: string, figure: (boot: Boot) => number): Row => {
    const value = medianOf(recorded, figure)
    const peerValue = medianOf(alone, figure)
    return { name: name + suffix, unit: "ms", value, peer, peerValue, ratio: value / peerValue }
  }
  const perSecond = (events * 1_000) / medianOf(recorded, ({ untilAppended }) => untilAppended)
  print([
    row("", ({ millis }) => millis),
    ...(alone.some(({ busy }) => busy === null) ? [] : [row("-guest-thread", ({ busy }) => busy ?? Number.NaN)]),
    { name: `${name}-events`, unit: "events/s", value: perSecond, peer: null, peerValue: null, ratio: null }
  ])
} catch (cause) {
  process.stderr.write(`skipped: ${String(cause)}\n`)
  print([])
} finally {
  await rm(directory, { recursive: true, force: true })
}
