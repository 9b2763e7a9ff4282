/**
 * A process whose guest has a volume, formats it, and asks for what it writes to be durable; it tells what came of that.
 *
 * `node flushesAVolume.ts VOLUME KIT`
 *
 * @module
 */
import { BootedKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { bootedKitAt, enough, layer, smallImage } from "./guests.ts"

const [source = "", kit = ""] = process.argv.slice(2)

const durably = "dd if=/bin/busybox of=/data/file bs=4k count=10 conv=fsync && echo durable"

/** The results: the workload's end, and the failures of the disk. */
export interface Flushed {
  readonly lines: ReadonlyArray<string>
  readonly failures: ReadonlyArray<{
    readonly disk: string
    readonly operation: string
    readonly reason: string
    readonly errno: number | null
  }>
}

const program = Effect.gen(function* () {
  const image = yield* smallImage([], { Cmd: ["sh", "-c", `${durably}; ${durably}`] })
  const { create } = yield* BootedKit
  const { machine } = yield* create({
    image,
    disks: [{ name: "data", path: "/data", access: "volume", source, sizeBytes: 16 << 20 }]
  })
  yield* machine.run({ kinds: ["WorkloadExited", "WorkloadFailed"], budgetNanos: enough })
  const events = yield* machine.eventsSoFar()
  return {
    lines: events.flatMap((event) => (event._tag === "SerialLine" ? [event.text] : [])),
    failures: events.flatMap((event) => {
      if (event._tag !== "DiskFailed") return []
      const { disk, errno, operation, reason } = event
      return [{ disk, errno, operation, reason }]
    })
  } satisfies Flushed
})

const flushed = await Effect.runPromise(
  Effect.scoped(program).pipe(Effect.provide(bootedKitAt(kit), { local: true }), Effect.provide(layer))
)
process.stdout.write(`${JSON.stringify(flushed)}\n`)
