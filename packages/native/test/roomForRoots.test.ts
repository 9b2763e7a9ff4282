/** The memory that the refusal of a root names is enough for that root. */
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { layer } from "./guests.ts"

const mebibyte = 1 << 20

/** Roots of one large file, and of many small ones. */
const roots: Readonly<Record<string, () => ReadonlyArray<readonly [string, Uint8Array]>>> = {
  "one-large-file": () => [["/large", new Uint8Array(90 * mebibyte)]],
  "many-files-of-a-page": () => Array.from({ length: 9_000 }, (_, at) => [`/of/${at}`, new Uint8Array(4096).fill(1)])
}

describe("a root that was refused", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    for (const [what, filesOf] of Object.entries(roots)) {
      it.effect(`of-${what}-is-whole-in-as-much-memory-as-was-named`, () =>
        Effect.gen(function* () {
          const kit = yield* GuestKit
          const { kernelPath } = yield* kit.files
          const files = Object.fromEntries(filesOf().map(([path, content]) => [path, { content }]))
          const initramfs = yield* kit.initramfs({ files, workload: { argv: ["/bin/sleep", "1"] } })
          const boot = (memoryMib: number) =>
            Effect.flatMap(Vmm, (vmm) => vmm.boot({ kernelPath, initramfs, memoryMib }))
          const { message, reason } = yield* Effect.flip(Effect.scoped(boot(128)))
          assert.strictEqual(reason._tag, "RootTooLarge", message)
          const memoryMib = Number(/expected a machine of (\d+) MiB/.exec(message)?.[1])
          const machine = yield* boot(memoryMib)
          const stop = yield* machine.run({
            kinds: ["WorkloadPreExec", "WorkloadFailed", "GuestPanicked"],
            budgetNanos: 60e9
          })
          assert.strictEqual(stop.reason, "event", `${memoryMib} MiB`)
          const last = (yield* machine.eventsSoFar()).at(-1)
          assert.strictEqual(last?._tag, "WorkloadPreExec", `${memoryMib} MiB: ${JSON.stringify(last)}`)
        }).pipe(Effect.scoped)
      )
    }
  })
})
