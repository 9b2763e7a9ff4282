/**
 * Core's `Vmm` port over the engine in this process.
 *
 * @module
 */
import { BootError, type BootReason, RestoreError, type RestoreReason, Vmm } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { resolve } from "node:path"
import { addonBuild, type AddonError, loadAddon } from "./binding/loadAddon.ts"
import { checkBootSpec } from "./machine/BootConfiguration.ts"
import { checkedRestore, keyBytes } from "./machine/checkedRequests.ts"
import { checkDiskFiles, nativeDisk } from "./machine/diskFiles.ts"
import { call, fromNative } from "./machine/NativeMachine.ts"

/**
 * Machines in this process: the deterministic engine, no privileges, one thread for each running machine.
 *
 * The layer itself allocates nothing. Machines close with the scope that they were made in.
 */
export const layer: Layer.Layer<Vmm, AddonError> = Layer.effect(
  Vmm,
  Effect.map(loadAddon, (native) =>
    Vmm.of({
      build: addonBuild(),
      boot: Effect.fn("NativeVmm.boot")(function* (spec) {
        const checked = yield* checkBootSpec(spec)
        const disks = checked.disks ?? []
        yield* checkDiskFiles(
          disks,
          (index) => `boot: disks[${index}].source`,
          (reason) => new BootError({ reason })
        )
        const machine = yield* Effect.uninterruptible(
          call(
            () =>
              native.boot({
                kernelPath: checked.kernelPath,
                initramfsPath: checked.initramfsPath ?? null,
                initramfs: checked.initramfs ?? null,
                loadAddress: checked.loadAddress ?? null,
                commandLine: checked.commandLine ?? null,
                engine: checked.engine ?? null,
                memoryMib: checked.memoryMib ?? null,
                seed: checked.seed === undefined ? 0 : checked.seed,
                epochMillis: checked.epochMillis ?? null,
                dirtySampleNanos: checked.dirtySampleNanos ?? null,
                network: checked.network === undefined ? null : { mtu: checked.network.mtu ?? null },
                eventQuotas: Object.entries(checked.eventQuotas ?? {}).map(([kind, quota]) => ({
                  overflow: "drop",
                  ...quota,
                  kind
                })),
                disks: disks.map(nativeDisk),
                diskSlots: checked.diskSlots ?? 0
              }),
            (reason: BootReason) => new BootError({ reason })
          ).pipe(Effect.flatMap(fromNative))
        )
        return machine
      }),
      restore: Effect.fn("NativeVmm.restore")(function* (...given) {
        const [directory, chain] = yield* checkedRestore(...given)
        return yield* Effect.uninterruptible(
          call(
            () =>
              native.restore(
                [directory, ...(chain.parents ?? [])],
                chain.identity ?? null,
                Object.entries(chain.diskSources ?? {}).map(([name, source]) => ({ name, source: resolve(source) })),
                keyBytes(chain.encryptionKey)
              ),
            (reason: RestoreReason) => new RestoreError({ reason })
          ).pipe(Effect.flatMap(fromNative))
        )
      }),
      verifyFiles: Effect.fn("NativeVmm.verifyFiles")((directories: ReadonlyArray<string>) =>
        Effect.asVoid(
          call(
            () => native.verifyFiles([...directories]),
            (reason: RestoreReason) => new RestoreError({ reason })
          )
        )
      )
    })
  )
)
