/**
 * From an image to its workload's first instruction: a guest of a booted kit, beside the full boot of the same guest.
 *
 * The image is the redis of `make images`; that it is resolved is not measured. `/cpu` is what all threads of this process spent,
 * `/scratch-disk` is the same guest with an empty disk that its agent formats and mounts first, `/first` the first guest of services
 * that have just been made: the kit's files and its snapshot are in their caches, and are looked at.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Machine, SnapshotStore, Vmm } from "@stillpoint/core"
import { Images } from "@stillpoint/images"
import { BootedKit, GuestKit } from "@stillpoint/kit"
import { NativeAgent, NativeVmm } from "@stillpoint/native"
import { Effect, Layer, ManagedRuntime } from "effect"
import { directory } from "./guests.ts"
import { inTurns, median, stopwatch } from "./measure.ts"
import { finish, row } from "./row.ts"

const layout = fileURLToPath(new URL("../.cache/test-images/layout", import.meta.url))

const machines = Layer.mergeAll(
  NativeVmm.layer,
  Layer.provide(GuestKit.layer, NativeAgent.layer),
  SnapshotStore.layerHost,
  Images.layer({ cacheDirectory: join(directory, "images") })
)
const services = Layer.provideMerge(BootedKit.layer({ directory: join(directory, "booted"), memoryMib: 256 }), machines)
const runtime = ManagedRuntime.make(services)

const toPreExec = Effect.fnUntraced(function* (machine: Machine) {
  const { reason } = yield* machine.run({ kinds: ["WorkloadPreExec", "WorkloadFailed"], budgetNanos: 60_000_000_000 })
  const last = (yield* machine.eventsSoFar()).at(-1)
  if (reason !== "event" || last?._tag !== "WorkloadPreExec") {
    return yield* Effect.die(new Error(`expected WorkloadPreExec, found ${last?._tag ?? reason}`))
  }
})

/** Milliseconds by the clock, and of processor time, that making a guest takes. */
const timed = <E, R>(make: Effect.Effect<Machine, E, R>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const cpu = process.cpuUsage()
      const passed = stopwatch()
      yield* toPreExec(yield* make)
      const wall = passed()
      const { system, user } = process.cpuUsage(cpu)
      return { wall, cpu: (system + user) / 1e3 }
    })
  )

if (existsSync(join(layout, "index.json"))) {
  const image = await runtime.runPromise(Images.use((images) => images.resolve(`oci:${layout}:redis`)))
  const scratch = [{ name: "data", path: "/data", access: "scratch" as const, sizeBytes: 64 << 20 }]
  const create = (disks: typeof scratch) =>
    Effect.flatMap(BootedKit, (kit) => Effect.map(kit.create({ image, disks }), ({ machine }) => machine))
  const boot = Effect.gen(function* () {
    const spec = yield* GuestKit.use((kit) => kit.bootSpec({ image }))
    return yield* (yield* Vmm).boot({ ...spec, memoryMib: 256 })
  })
  const first = async () => {
    const fresh = ManagedRuntime.make(services)
    const taken = await fresh.runPromise(timed(create([])))
    await fresh.dispose()
    return taken
  }
  const [ours, formatting, firsts, theirs] = await inTurns(
    [
      () => runtime.runPromise(timed(create([]))),
      () => runtime.runPromise(timed(create(scratch))),
      first,
      () => runtime.runPromise(timed(boot))
    ],
    { rounds: 7, warmUps: 1 }
  )
  const peer = "the full boot of the same guest"
  const wall = (values: ReadonlyArray<{ readonly wall: number }>) => median(values.map((each) => each.wall))
  const cpu = (values: ReadonlyArray<{ readonly cpu: number }>) => median(values.map((each) => each.cpu))
  finish([
    row("create-from-image", "ms", wall(ours), { peer, peerValue: wall(theirs) }),
    row("create-from-image/cpu", "ms", cpu(ours), { peer, peerValue: cpu(theirs) }),
    row("create-from-image/scratch-disk", "ms", wall(formatting)),
    row("create-from-image/scratch-disk/cpu", "ms", cpu(formatting)),
    row("create-from-image/first", "ms", wall(firsts)),
    row("create-from-image/first/cpu", "ms", cpu(firsts))
  ])
} else {
  process.stderr.write("skipped: no test image of redis in .cache/test-images (scripts/setup/test-images.sh)\n")
  finish([])
}
await runtime.dispose()
