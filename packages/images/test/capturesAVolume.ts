/**
 * A process whose guest writes to a volume and then listens, upon which it is to be captured; it tells what came of that.
 *
 * `node capturesAVolume.ts FOLDER KIT FAILS`: before the workload begins the volume is called `failing`, for whoever has calls about a
 * file of that name fail; or, where FAILS are so many bytes, no file of this process may grow any further.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { existsSync, renameSync } from "node:fs"
import { join } from "node:path"
import { Pipeline } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { BootedKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { bootedKitAt, layer, runTo, smallImage } from "./guests.ts"

const [folder = "", kit = "", fails = ""] = process.argv.slice(2)

/** The written data has not reached the disk when the guest listens: the freeze before a capture syncs it. */
const write = "dd if=/dev/urandom of=/data/file bs=64k count=64 2>/dev/null; exec busybox nc -l -p 80"

/** The results of a capture, and the failures of its disk. */
export interface CaptureOutcome {
  /** The error's name; `null` where the snapshot was published. */
  readonly refused: string | null
  readonly isPublished: boolean
  readonly failures: ReadonlyArray<{
    readonly operation: string
    readonly reason: string
    readonly errno: number | null
  }>
  /** Whether the guest got an error. */
  readonly isGuestTold: boolean
}

const program = Effect.gen(function* () {
  const image = yield* smallImage([], { Cmd: ["sh", "-c", write] })
  const { create } = yield* BootedKit
  const begun = yield* create({
    image,
    disks: [{ name: "data", path: "/data", access: "volume", source: join(folder, "volume") }]
  })
  const { machine, spec } = begun
  const target = join(folder, "snapshot")
  // Its file system is mounted by then.
  yield* runTo(machine, "WorkloadPreExec")
  if (fails === "renamed") renameSync(join(folder, "volume"), join(folder, "failing"))
  else if (fails !== "") spawnSync("prlimit", ["--pid", String(process.pid), `--fsize=${fails}`])
  const captured = yield* Effect.result(Pipeline.run(spec, { begun, policy: kindTrigger("ListenerBound"), target }))
  const failures = (yield* machine.eventsSoFar()).flatMap((event) =>
    event._tag === "DiskFailed" ? [{ operation: event.operation, reason: event.reason, errno: event.errno }] : []
  )
  const isPublished = existsSync(target)
  if (captured._tag === "Success") return { refused: null, isPublished, failures, isGuestTold: false }
  yield* Effect.ignore(machine.agent.thaw())
  const { code } = yield* machine.exec({ argv: ["sh", "-c", "echo more > /data/more && sync /data/more /data/file"] })
  const outcome: CaptureOutcome = { refused: captured.failure._tag, isPublished, failures, isGuestTold: code !== 0 }
  return outcome
})

const outcome = await Effect.runPromise(
  Effect.scoped(program).pipe(Effect.provide(bootedKitAt(kit), { local: true }), Effect.provide(layer))
)
process.stdout.write(`${JSON.stringify(outcome)}\n`)
