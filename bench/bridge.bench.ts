/** The way between Rust and TypeScript: events to a subscriber, and one call there and back. */
import { Vmm } from "@stillpoint/core"
import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { Subject } from "rxjs"
import { loadAddon } from "../packages/native/src/binding/loadAddon.ts"
import { directory, measured, runtime } from "./guests.ts"
import { measure, stopwatch } from "./measure.ts"
import { finish, row } from "./row.ts"

// Prints `A` and a line feed on its console for ever: every line an event.
const flooding = new Uint32Array([0x100002b7, 0x04100313, 0x00a00393, 0x00628023, 0x00728023, 0xff9ff06f])
const kernelPath = join(directory, "flooding.bin")
writeFileSync(kernelPath, new Uint8Array(flooding.buffer))
const payload = { kernelPath, loadAddress: 0x8000_0000, memoryMib: 2, dirtySampleNanos: 0 }
/** Most of the lines would be over the usual quota, and be dropped where they arise. */
const eventQuotas = { SerialLine: { burstBytes: 2 ** 32, bytesPerSecond: 2 ** 32, overflow: "drop" } } as const

const fromGuest = () =>
  measured(
    Effect.gen(function* () {
      const machine = yield* (yield* Vmm).boot({ ...payload, eventQuotas })
      let events = 0
      machine.events$.subscribe(() => {
        events += 1
      })
      const passed = stopwatch()
      yield* machine.run({ budgetNanos: 5_000_000 })
      return (events / passed()) * 1000
    })
  )

const bare = () => {
  const subject = new Subject<{ readonly _tag: string; readonly seq: number; readonly atNanos: number }>()
  let events = 0
  subject.subscribe(() => {
    events += 1
  })
  const passed = stopwatch()
  for (let seq = 0; seq < 1_000_000; seq++) subject.next({ _tag: "GuestIdle", seq, atNanos: seq })
  return (events / passed()) * 1000
}

const addon = await Effect.runPromise(loadAddon)
const calls = 5000
const bridgeCall = () =>
  measured(
    Effect.gen(function* () {
      const machine = yield* (yield* Vmm).boot(payload)
      const passed = stopwatch()
      for (let call = 0; call < calls; call++) yield* machine.ownBytes
      return (passed() / calls) * 1000
    })
  )

/** The same call without Effect around it. */
const nativeCall = async () => {
  const machine = await addon.boot({
    ...payload,
    initramfsPath: null,
    initramfs: null,
    commandLine: null,
    engine: null,
    seed: 0,
    epochMillis: null,
    network: null,
    eventQuotas: [],
    disks: [],
    diskSlots: 0
  })
  if (!(machine instanceof addon.NativeMachine)) throw new Error(machine.message)
  const passed = stopwatch()
  for (let call = 0; call < calls; call++) await machine.ownBytes()
  const elapsed = passed()
  await machine.close()
  return (elapsed / calls) * 1000
}

const random = promisify(randomBytes)
const threadPool = async () => {
  const passed = stopwatch()
  for (let call = 0; call < calls; call++) await random(1)
  return (passed() / calls) * 1000
}

const [events, bareEvents] = await measure([fromGuest, bare])
const [call, throughEffect, pool] = await measure([nativeCall, bridgeCall, threadPool])
await runtime.dispose()
finish([
  row("events-to-subscriber", "events/s", events, {
    peer: "bare RxJS Subject in JavaScript",
    peerValue: bareEvents,
    better: "more"
  }),
  row("bridge-call", "µs", call, { peer: "crypto.randomBytes(1), libuv's thread pool", peerValue: pool }),
  row("bridge-call/effect", "µs", throughEffect, {
    peer: "crypto.randomBytes(1), libuv's thread pool",
    peerValue: pool
  })
])
