/**
 * A process that captures one guest with disks into one folder after the other, and tells what came of each.
 *
 * `node capturesOneGuest.ts FOLDER KIT NAME…`
 *
 * @module
 */
import { copyFileSync, mkdirSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { Vmm } from "@stillpoint/core"
import { BootedKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { bootedKitAt, layer, runTo, smallImage } from "./guests.ts"

const [base = "", kit = "", ...names] = process.argv.slice(2)

const write =
  "for i in 1 2 3 4; do dd if=/dev/urandom of=/data/f$i bs=64k count=$i; cp /data/f$i /c/; done; sync; echo written"

/** The results of a capture. */
export interface Outcome {
  readonly name: string
  /** The error's reason and message; `null` where the capture succeeded. */
  readonly refused: { readonly reason: string; readonly message: string } | null
  /** The files in its folder afterwards. */
  readonly files: ReadonlyArray<string>
  /** Where it succeeded: whether what it wrote is the machine. */
  readonly isSame: boolean
}

const program = Effect.gen(function* () {
  const image = yield* smallImage([], { Cmd: ["sh", "-c", write] })
  const file = join(base, "image")
  copyFileSync(image.file, file)
  const { create } = yield* BootedKit
  const { machine } = yield* create({
    image: { ...image, file },
    disks: [
      { name: "data", path: "/data", access: "volume", source: join(base, "volume"), sizeBytes: 16 << 20 },
      { name: "c", path: "/c", access: "scratch", sizeBytes: 16 << 20 }
    ]
  })
  yield* runTo(machine, "WorkloadExited")
  const digest = yield* machine.digest
  return yield* Effect.forEach(names, (name) =>
    Effect.scoped(
      Effect.gen(function* () {
        const directory = join(base, name)
        mkdirSync(directory)
        const captured = yield* Effect.result(machine.capture(directory))
        const files = readdirSync(directory)
        if (captured._tag === "Failure") {
          const { message, reason } = captured.failure
          return { name, refused: { reason: reason._tag, message }, files, isSame: false }
        }
        const restored = yield* (yield* Vmm).restore(directory)
        const isSame = (yield* restored.digest) === digest && (yield* machine.digest) === digest
        return { name, refused: null, files, isSame }
      })
    )
  ) satisfies Effect.Effect<ReadonlyArray<Outcome>, unknown, unknown>
})

const outcomes = await Effect.runPromise(
  Effect.scoped(program).pipe(Effect.provide(bootedKitAt(kit), { local: true }), Effect.provide(layer))
)
process.stdout.write(`${JSON.stringify(outcomes)}\n`)
