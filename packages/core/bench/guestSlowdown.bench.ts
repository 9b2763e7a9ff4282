/**
 * What it costs a guest that its events are appended to a journal file while it runs: the same boot with and without.
 *
 * Needs the addon and the guest kit; prints no row where they are missing.
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type BootSpec, journalSqlite, newGuestStream, recordGuest, Vmm } from "@stillpoint/core"
import { Effect, type Layer } from "effect"
import { median, print } from "./measure.ts"

const rounds = 5

/** The native machine and a guest: loaded by path, because core depends on neither. */
const native = async () => {
  const vmm: string = new URL("../../native/src/NativeVmm.ts", import.meta.url).href
  const kit: string = new URL("../../native/src/kit/index.ts", import.meta.url).href
  const { layer } = (await import(vmm)) as { readonly layer: Layer.Layer<Vmm> }
  const { GuestKit } = (await import(kit)) as {
    readonly GuestKit: Effect.Effect<{
      readonly files: Effect.Effect<{ readonly kernelPath: string }, unknown>
      readonly initramfs: (config: object) => Effect.Effect<Uint8Array, unknown>
    }> & { readonly layer: Layer.Layer<never> }
  }
  const spec: BootSpec = await Effect.runPromise(
    Effect.gen(function* () {
      const found = yield* GuestKit
      const { kernelPath } = yield* found.files
      const initramfs = yield* found.initramfs({ workload: { argv: ["/bin/sleep", "1000"] } })
      // A sample of dirtied pages every 10 µs of guest time: a hundred thousand events a guest second.
      return { kernelPath, initramfs, dirtySampleNanos: 10_000 }
    }).pipe(Effect.provide(GuestKit.layer))
  )
  return { layer, spec }
}

const directory = await mkdtemp(join(tmpdir(), "stillpoint-bench-"))
try {
  const { layer, spec } = await native()
  let events = 0
  const boot = (path: string | null): Promise<number> =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* (yield* Vmm).boot(spec)
          const recording = path === null ? null : yield* recordGuest(newGuestStream(), machine)
          const begun = performance.now()
          yield* machine.run({ kinds: ["WorkloadPreExec"] })
          const millis = performance.now() - begun
          if (recording !== null) yield* recording.flush
          events = (yield* machine.eventsSoFar()).length
          return millis
        })
      ).pipe(Effect.provide(layer), Effect.provide(journalSqlite({ path: path ?? ":memory:" }), { local: true }))
    )
  const recorded: Array<number> = []
  const alone: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    recorded.push(await boot(join(directory, `journal-${round}`)))
    alone.push(await boot(null))
  }
  const value = median(recorded)
  const peerValue = median(alone)
  print([
    {
      name: "journal-append/while-booting",
      unit: "ms",
      value,
      peer: `the same boot, its ${events} events not recorded`,
      peerValue,
      ratio: value / peerValue
    }
  ])
} catch (cause) {
  process.stderr.write(`skipped: ${String(cause)}\n`)
  print([])
} finally {
  await rm(directory, { recursive: true, force: true })
}
