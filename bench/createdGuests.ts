/** Guests that are made from the redis of `make images`, and what making one takes. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Machine, SnapshotStore } from "@stillpoint/core"
import { Images } from "@stillpoint/images"
import { BootedKit, GuestKit, type CreateInput } from "@stillpoint/kit"
import { NativeAgent, NativeVmm } from "@stillpoint/native"
import { Effect, Layer } from "effect"
import { stopwatch } from "./measure.ts"

const layout = fileURLToPath(new URL("../.cache/test-images/layout", import.meta.url))

export const isImageThere = existsSync(join(layout, "index.json"))

/** The services that make guests, with their caches in a folder. */
export const servicesIn = (directory: string) =>
  Layer.provideMerge(
    BootedKit.layer({ directory: join(directory, "booted"), memoryMib: 256 }),
    Layer.mergeAll(
      NativeVmm.layer,
      Layer.provide(GuestKit.layer, NativeAgent.layer),
      SnapshotStore.layerHost,
      Images.layer({ cacheDirectory: join(directory, "images") })
    )
  )

export const redis = Images.use((images) => images.resolve(`oci:${layout}:redis`))

/** A guest of the booted kit. */
export const created = (input: CreateInput) =>
  Effect.flatMap(BootedKit, (kit) => Effect.map(kit.create(input), ({ machine }) => machine))

const toPreExec = Effect.fnUntraced(function* (machine: Machine) {
  const { reason } = yield* machine.run({ kinds: ["WorkloadPreExec", "WorkloadFailed"], budgetNanos: 60_000_000_000 })
  const last = (yield* machine.eventsSoFar()).at(-1)
  if (reason !== "event" || last?._tag !== "WorkloadPreExec") {
    return yield* Effect.die(new Error(`expected WorkloadPreExec, found ${last?._tag ?? reason}`))
  }
})

/** The time of making a guest, in milliseconds: wall time and CPU time. */
export interface Taken {
  readonly wall: number
  readonly cpu: number
}

/** Makes a guest and runs it to its workload's first instruction. */
export const timed = <E, R>(make: Effect.Effect<Machine, E, R>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const cpu = process.cpuUsage()
      const passed = stopwatch()
      yield* toPreExec(yield* make)
      const wall = passed()
      const { system, user } = process.cpuUsage(cpu)
      return { wall, cpu: (system + user) / 1e3 } satisfies Taken
    })
  )
