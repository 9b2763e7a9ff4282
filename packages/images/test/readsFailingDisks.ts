/**
 * A process whose guests read disks whose files are called `failing` for a while, for whoever has reads of a file of that name fail;
 * it tells what they then read, what was captured, and how it is afterwards.
 *
 * `node readsFailingDisks.ts FOLDER KIT DISK`: the disk is `image` or `volume`.
 *
 * @module
 */
import { copyFileSync, mkdirSync, readdirSync, renameSync } from "node:fs"
import { join } from "node:path"
import { type Machine, Vmm } from "@stillpoint/core"
import { BootedKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { bigImage, bootedKitAt, layer, runTo } from "./guests.ts"

const [base = "", kit = "", failing = ""] = process.argv.slice(2)

const mebi = 1 << 20

/** The data that a guest got from a file, and the failures of its disk. */
export interface Reading {
  readonly code: number | null
  /** Bytes that it was given, and whether each of them is the file's. */
  readonly bytes: number
  readonly isTrue: boolean
  readonly failures: ReadonlyArray<string>
}

/** All results. */
export interface ReadOutcome {
  /** The guest of the failing disk, a fork of it, and a guest of the same files under other names, while it fails. */
  readonly during: Readonly<Record<"guest" | "fork" | "sibling", Reading>>
  /** A capture meanwhile: its reason, and what lay in its folder. */
  readonly captured: { readonly reason: string; readonly message: string; readonly files: ReadonlyArray<string> }
  readonly after: Readonly<Record<"guest" | "fork" | "sibling", Reading>>
  /** The clone of a capture after that. */
  readonly clone: Reading
}

/** Has all that the guest executes in its memory, and its big file in the volume. */
const prepare =
  "cat /bin/busybox > /dev/null; cp /big /data/big; sync; dd if=/etc/image of=/dev/null; exec sleep 1000000"

const program = Effect.gen(function* () {
  const { big, image } = yield* bigImage(mebi, { Cmd: ["sh", "-c", prepare] })
  const { create } = yield* BootedKit

  /** A guest whose disks are files of a folder of its own. */
  const guest = Effect.fnUntraced(function* (name: string) {
    const folder = join(base, name)
    mkdirSync(folder)
    const file = join(folder, "image")
    copyFileSync(image.file, file)
    const data = { name: "data", path: "/data" as const }
    const volume = { ...data, access: "volume" as const, source: join(folder, "volume"), sizeBytes: 16 * mebi }
    const { machine } = yield* create({ image: { ...image, file }, disks: [volume] })
    yield* runTo(machine, "WorkloadPreExec")
    yield* machine.run({ budgetNanos: 2_000_000_000 })
    return { machine, folder }
  })

  const read = Effect.fnUntraced(function* (machine: Machine) {
    const told = (yield* machine.eventsSoFar()).length
    const source = failing === "image" ? "/big" : "/data/big"
    const argv = ["dd", `if=${source}`, "bs=64k", "iflag=direct"]
    const { code, stdout } = yield* machine.exec({ argv, outputLimitBytes: 2 * mebi })
    const events = (yield* machine.eventsSoFar()).slice(told)
    return {
      code,
      bytes: stdout.length,
      isTrue: Buffer.compare(big.subarray(0, stdout.length), Buffer.from(stdout)) === 0,
      failures: events.flatMap((event) =>
        event._tag === "DiskFailed" ? [`${event.disk} ${event.operation} ${event.reason} ${event.errno}`] : []
      )
    } satisfies Reading
  })

  const { folder, machine } = yield* guest("one")
  const { machine: sibling } = yield* guest("other")
  const fork = yield* machine.fork
  const all = Effect.all({ guest: read(machine), fork: read(fork), sibling: read(sibling) })
  const file = join(folder, failing)

  renameSync(file, join(folder, "failing"))
  const during = yield* all
  const target = join(base, "captured")
  mkdirSync(target)
  const { message, reason } = yield* Effect.flip(machine.capture(target))
  const files = readdirSync(target)
  renameSync(join(folder, "failing"), file)

  const after = yield* all
  yield* machine.capture(target)
  const clone = yield* read(yield* (yield* Vmm).restore(target))
  return { during, captured: { reason: reason._tag, message, files }, after, clone } satisfies ReadOutcome
})

const outcome = await Effect.runPromise(
  Effect.scoped(program).pipe(Effect.provide(bootedKitAt(kit), { local: true }), Effect.provide(layer))
)
process.stdout.write(`${JSON.stringify(outcome)}\n`)
