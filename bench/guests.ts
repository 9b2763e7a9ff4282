/** Guests of the benchmarks. */
import { type GuestEvent, type Machine, Vmm } from "@stillpoint/core"
import { NativeAgent, NativeVmm } from "@stillpoint/native"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Layer, ManagedRuntime, type Scope } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export const runtime = ManagedRuntime.make(
  Layer.merge(NativeVmm.layer, Layer.provide(GuestKit.layer, NativeAgent.layer))
)

/** Runs an Effect that needs machines and the guest kit; its machines close with it. */
export const measured = <A, E>(effect: Effect.Effect<A, E, Vmm | GuestKit | Scope.Scope>): Promise<A> =>
  runtime.runPromise(Effect.scoped(effect))

/** A folder of this process, removed when it ends. The name is short: sockets live in it. */
export const directory = mkdtempSync(join(tmpdir(), "sp-"))
process.once("exit", () => rmSync(directory, { recursive: true, force: true }))

export const commandLine = "console=ttyS0 earlycon=sbi panic=-1 no4lvl cryptomgr.notests"
export const memoryMib = 128

const serve = `#!/bin/sh
mkdir -p /www
cat /proc/sys/kernel/random/uuid > /www/index.html
exec httpd -f -p 8080 -h /www
`

/** The guest of both sides: Debian's kernel, busybox `httpd` as the workload. */
export const guest = await runtime.runPromise(
  Effect.gen(function* () {
    const kit = yield* GuestKit
    const { kernelPath } = yield* kit.files
    const initramfs = yield* kit.initramfs({
      workload: { argv: ["/bin/sh", "/serve.sh"] },
      files: { "/serve.sh": { content: serve, mode: 0o755 } }
    })
    const initramfsPath = join(directory, "initramfs")
    writeFileSync(initramfsPath, initramfs)
    return { kernelPath, initramfsPath, commandLine, memoryMib }
  })
)

/** A machine of {@link guest} at its first event of that kind. */
export const machineAt = Effect.fn("machineAt")(function* (kind: GuestEvent["_tag"]) {
  const machine = yield* (yield* Vmm).boot(guest)
  yield* runTo(machine, kind)
  return machine
})

export const runTo = Effect.fn("runTo")(function* (machine: Machine, kind: GuestEvent["_tag"]) {
  const stop = yield* machine.run({ kinds: [kind], budgetNanos: 60_000_000_000 })
  if (stop.reason !== "event") return yield* Effect.die(new Error(`expected ${kind}, the run ended: ${stop.reason}`))
  return stop
})

/** Guest nanoseconds that the guest executed, not counting those in which it waited. */
export const executedNanos = (events: ReadonlyArray<GuestEvent>, atNanos: number): number => {
  let idle = 0
  let since: number | undefined
  for (const event of events) {
    if (event._tag === "GuestIdle") since = event.atNanos
    if (event._tag === "GuestBusy" && since !== undefined) {
      idle += event.atNanos - since
      since = undefined
    }
  }
  return atNanos - idle - (since === undefined ? 0 : atNanos - since)
}
