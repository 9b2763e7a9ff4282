/**
 * From an image to its workload's first instruction: a guest of a booted kit, beside the full boot of the same guest.
 *
 * The image is the redis of `make images`; resolving it is not measured. `/cpu` is the time of all threads of the process,
 * `/scratch-disk` is the same guest with an empty disk that its agent formats and mounts first, `/first` the first guest of a new
 * process: the kit's files and its snapshot are in their caches, and are checked.
 */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect, ManagedRuntime } from "effect"
import { created, isImageThere, redis, servicesIn, type Taken, timed } from "./createdGuests.ts"
import { directory } from "./guests.ts"
import { inTurns, median } from "./measure.ts"
import { finish, row } from "./row.ts"

if (isImageThere) {
  const runtime = ManagedRuntime.make(servicesIn(directory))
  const image = await runtime.runPromise(redis)
  const scratch = [{ name: "data", path: "/data", access: "scratch" as const, sizeBytes: 64 << 20 }]
  const boot = Effect.gen(function* () {
    const spec = yield* GuestKit.use((kit) => kit.bootSpec({ image }))
    return yield* (yield* Vmm).boot({ ...spec, memoryMib: 256 })
  })
  const firstGuest = fileURLToPath(new URL("firstGuest.ts", import.meta.url))
  const first = (): Taken =>
    JSON.parse(execFileSync(process.execPath, ["--conditions=stillpoint-source", firstGuest, directory]).toString())
  const [ours, formatting, firsts, theirs] = await inTurns(
    [
      () => runtime.runPromise(timed(created({ image }))),
      () => runtime.runPromise(timed(created({ image, disks: scratch }))),
      first,
      () => runtime.runPromise(timed(boot))
    ],
    { rounds: 7, warmUps: 1 }
  )
  const peer = "the full boot of the same guest"
  const wall = (values: ReadonlyArray<Taken>) => median(values.map((each) => each.wall))
  const cpu = (values: ReadonlyArray<Taken>) => median(values.map((each) => each.cpu))
  finish([
    row("create-from-image", "ms", wall(ours), { peer, peerValue: wall(theirs) }),
    row("create-from-image/cpu", "ms", cpu(ours), { peer, peerValue: cpu(theirs) }),
    row("create-from-image/scratch-disk", "ms", wall(formatting)),
    row("create-from-image/scratch-disk/cpu", "ms", cpu(formatting)),
    row("create-from-image/first", "ms", wall(firsts)),
    row("create-from-image/first/cpu", "ms", cpu(firsts))
  ])
  await runtime.dispose()
} else {
  process.stderr.write("skipped: no test image of redis in .cache/test-images (scripts/setup/test-images.sh)\n")
  finish([])
}
