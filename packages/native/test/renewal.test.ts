/** A renewal as a Linux guest sees it: its entropy device, its kernel's random source, its hardware clock. */
import { assert, describe, layer as withLayer } from "@effect/vitest"
import type { GuestEvent } from "@stillpoint/core"
import { Effect } from "effect"
import type * as Addon from "../src/binding/Addon.ts"
import { decodeEvents, kindMask } from "../src/binding/decodeEvents.ts"
import { loadAddon } from "../src/binding/loadAddon.ts"
import { enough, layer, linux } from "./guests.ts"

const ok = <A>(outcome: A | Addon.Failure): A => {
  if (typeof outcome === "object" && outcome !== null && "failed" in outcome) throw new Error(outcome.message)
  return outcome as A
}

const eventsOf = (machine: Addon.NativeMachine, from: number): ReadonlyArray<GuestEvent> => {
  const batch = ok(machine.readEvents(from, 16 << 20))
  const events: Array<GuestEvent> = []
  decodeEvents(batch.bytes, batch.firstSeq, batch.count, (event) => events.push(event))
  return events
}

const runTo = async (machine: Addon.NativeMachine, kinds: Parameters<typeof kindMask>[0]) => {
  const stop = ok(await machine.run({ kinds: kindMask(kinds), atNanos: null, budgetNanos: enough, realTime: false }))
  assert.strictEqual(stop.reason, "event")
}

/** The output of a shell command in the guest. */
const shell = async (machine: Addon.NativeMachine, command: string): Promise<string> => {
  const from = machine.nextSeq()
  ok(
    await machine.exec({
      id: from,
      argv: ["/bin/sh", "-c", command],
      env: [],
      cwd: "/",
      stdin: new Uint8Array(),
      closeStdin: true,
      outputBytes: 2 ** 20,
      user: "",
      columns: 0,
      rows: 0,
      isFileService: false,
      isSecret: false
    })
  )
  await runTo(machine, ["ExecExited", "ExecFailed"])
  const output = eventsOf(machine, from).flatMap((event) => (event._tag === "ExecOutput" ? [event.data] : []))
  return Buffer.concat(output).toString().trim()
}

const forkOf = async (machine: Addon.NativeMachine) => ok(await machine.fork())

const renewal = (number: number, realtimeNanos: bigint): Addon.Renewal => ({
  entropySeed: new Uint8Array(32).fill(number),
  generationId: new Uint8Array(16).fill(number),
  realtimeNanos
})

const identity: Addon.Identity = {
  token: 1,
  entropy: new Uint8Array(32),
  realtimeNanos: null,
  hostname: null,
  machineId: null,
  env: [],
  thaw: false,
  hookTimeoutNanos: null,
  signal: null,
  isSecret: false
}

const ask = [
  "head -c 16 /dev/hwrng | od -An -tx1",
  "dmesg | grep -c 'crng reseeded due to virtual machine fork'",
  "cat /sys/class/rtc/rtc0/since_epoch",
  "cat /proc/sys/kernel/random/uuid"
].join("; ")

describe("a renewal", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("makes-a-clone-another-machine-for-its-kernel-and-nothing-else-does", () =>
      Effect.gen(function* () {
        const spec = yield* linux(null, ["virtio_mmio", "virtio-rng"])
        yield* Effect.promise(async () => {
          const machine = ok(
            await (
              await Effect.runPromise(loadAddon)
            ).boot({
              kernelPath: spec.kernelPath,
              initramfsPath: null,
              initramfs: spec.initramfs,
              loadAddress: null,
              commandLine: null,
              engine: null,
              memoryMib: null,
              seed: 1,
              epochMillis: null,
              network: null,
              eventQuotas: [],
              disks: [],
              diskSlots: 0,
              dirtySampleNanos: null
            })
          )
          await runTo(machine, ["AgentReady"])
          assert.strictEqual(await shell(machine, "ls /sys/bus/platform/drivers/vmgenid | grep -c rng"), "1")
          // Drawn from both sources once: the kernel has fetched more than was asked for.
          await shell(machine, ask)
          const renewedAs = async (number: number | null) => {
            const clone = await forkOf(machine)
            const from = clone.nextSeq()
            if (number !== null) {
              // The agent's part is the same for both: what differs is the renewal's doing.
              ok(await clone.renew(renewal(number, 1_900_000_000_000_000_000n)))
              assert.deepInclude(eventsOf(clone, from)[0], { _tag: "HostInput", kind: "renewal" })
              ok(await clone.applyIdentity(identity))
              await runTo(clone, ["IdentityApplied"])
            }
            const [random, reseeds, clock, uuid] = (await shell(clone, ask)).split("\n")
            const digest = ok(await clone.digest())
            await clone.close()
            return { random, reseeds, clock: Number(clock), uuid, digest }
          }
          const untouched = await renewedAs(null)
          assert.deepStrictEqual(await renewedAs(null), untouched)
          const one = await renewedAs(1)
          const two = await renewedAs(2)
          assert.deepStrictEqual(await renewedAs(1), one, "the same renewal gives the same machine")
          assert.strictEqual(new Set([untouched.random, one.random, two.random]).size, 3)
          assert.strictEqual(new Set([untouched.uuid, one.uuid, two.uuid]).size, 3)
          assert.deepStrictEqual([untouched.reseeds, one.reseeds, two.reseeds], ["0", "1", "1"])
          assert.isBelow(untouched.clock, 1_800_000_000)
          assert.approximately(one.clock, 1_900_000_000, 2)
          const refused = await machine.renew({ ...renewal(1, 0n), generationId: new Uint8Array(3) })
          assert.deepInclude(refused, { failed: "MachineError", name: "RenewalInvalid" })
          await machine.close()
        })
      })
    )
  })
})
