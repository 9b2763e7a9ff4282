/** Guests for the tests: Linux with an agent, and payloads of a few instructions. */
import { type BootSpec, type GuestEvent, type Machine, Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Layer } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NativeAgent from "../src/NativeAgent.ts"
import * as NativeVmm from "../src/NativeVmm.ts"

/** Machines and the guest kit. */
export const layer = Layer.merge(NativeVmm.layer, Layer.provide(GuestKit.layer, NativeAgent.layer))

const page = `#!/bin/sh
mkdir -p /www
tr -d - < /proc/sys/kernel/random/uuid > /www/index.html
exec httpd -f -p 8080 -h /www
`

/**
 * The specification that boots Linux with an agent; `argv` is its workload, an HTTP server if absent,
 * none if `null`.
 */
export const linux = Effect.fn("linux")(function* (
  argv?: ReadonlyArray<string> | null,
  modules: ReadonlyArray<string> = []
) {
  const kit = yield* GuestKit
  const { kernelPath } = yield* kit.files
  const command = argv === undefined ? ["/bin/sh", "/serve.sh"] : argv
  const initramfs = yield* kit.initramfs({
    ...(command === null ? {} : { workload: { argv: command as [string, ...Array<string>] } }),
    modules,
    files: { "/serve.sh": { content: page, mode: 0o755 } }
  })
  return { kernelPath, initramfs } satisfies BootSpec
})

/** Guest time by which every guest of these tests has done what it is asked. */
export const enough = 60_000_000_000

/** A Linux guest that has come to its first event of that kind. */
export const linuxAt = Effect.fn("linuxAt")(function* (kind: GuestEvent["_tag"], argv?: ReadonlyArray<string> | null) {
  const machine = yield* (yield* Vmm).boot(yield* linux(argv))
  const stop = yield* machine.run({ kinds: [kind], budgetNanos: enough })
  if (stop.reason !== "event") yield* Effect.die(new Error(`expected ${kind}, the run ended: ${stop.reason}`))
  return machine
})

/** A folder that goes with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-test-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const code = (...instructions: ReadonlyArray<number>): Uint8Array =>
  new Uint8Array(new Uint32Array(instructions).buffer)

/** `j .`: executes for ever. */
export const spinning = code(0x0000006f)

/** `wfi; j .-4`: waits for an interrupt that never comes. */
export const waiting = code(0x10500073, 0xffdff06f)

/** Prints `A` and a line feed on the console for ever: a guest that floods its host with events. */
export const flooding = code(
  0x100002b7, // lui  t0, 0x10000
  0x04100313, // li   t1, 'A'
  0x00a00393, // li   t2, '\n'
  0x00628023, // sb   t1, 0(t0)
  0x00728023, // sb   t2, 0(t0)
  0xff9ff06f // j    .-8
)

/** The specification that boots a payload of a few instructions in 1 MiB. */
export const payload = Effect.fn("payload")(function* (instructions: Uint8Array) {
  const path = join(yield* folder, "payload.bin")
  yield* Effect.sync(() => writeFileSync(path, instructions))
  return { kernelPath: path, loadAddress: 0x8000_0000, memoryMib: 2, dirtySampleNanos: 0 } satisfies BootSpec
})

/** Everything that a machine has said. */
export const eventsOf = (machine: Machine) => machine.eventsSoFar()
