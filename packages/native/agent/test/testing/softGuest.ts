/**
 * Guests of the deterministic engine, where a run can stop at the very instruction that caused an event.
 *
 * @module
 */
import { assert } from "@effect/vitest"
import { type GuestEvent, type GuestEventKind, type IdentitySpec, type Machine, Vmm } from "@stillpoint/core"
import { type GuestConfigInput, GuestKit } from "@stillpoint/kit"
import { Effect, Layer } from "effect"
import { fileURLToPath } from "node:url"
import * as NativeAgent from "../../../src/NativeAgent.ts"
import * as NativeVmm from "../../../src/NativeVmm.ts"

const probePath = fileURLToPath(new URL("../../build/probe", import.meta.url))
/** The services for the tests' guests. */
export const layer = Layer.mergeAll(NativeVmm.layer, Layer.provide(GuestKit.layer, NativeAgent.layer))

/** A machine with that guest, before its first instruction. */
export const boot = Effect.fnUntraced(function* (config: GuestConfigInput, seed = 1) {
  const kit = yield* GuestKit
  const { kernelPath } = yield* kit.files
  const files = { ...config.files, "/bin/probe": { from: probePath, mode: 0o755 } }
  const initramfs = yield* kit.initramfs({ ...config, files })
  return yield* (yield* Vmm).boot({ kernelPath, initramfs, seed })
})

/** A guest whose workload is that script. */
export const shell = (script: string, more: GuestConfigInput = {}): GuestConfigInput => ({
  ...more,
  workload: { argv: ["/bin/sh", "-c", script] }
})

/** Runs until an event of these kinds, at most a minute of guest time. */
export const until = Effect.fnUntraced(function* (machine: Machine, ...kinds: ReadonlyArray<GuestEventKind>) {
  const stop = yield* machine.run({ kinds, budgetNanos: 60e9 })
  assert.strictEqual(stop.reason, "event", `no ${kinds.join(" or ")}`)
  const [event] = yield* machine.eventsSoFar(stop.seq ?? 0)
  assert(event !== undefined)
  return event
})

/** The lines on the console. */
export const lines = (events: ReadonlyArray<GuestEvent>): ReadonlyArray<string> =>
  events.filter((event) => event._tag === "SerialLine").map((event) => event.text)

/** The output of a script, run as a command of the host. */
export const sh = (machine: Machine, script: string) =>
  Effect.map(machine.exec({ argv: ["/bin/sh", "-c", script] }), ({ stdout }) => Buffer.from(stdout).toString().trim())

/** A new identity that changes only the given parts. */
export const identity = (more: Partial<IdentitySpec>): IdentitySpec => ({
  entropy: Buffer.alloc(32, 7),
  realtimeNanos: null,
  hostname: null,
  machineId: null,
  env: {},
  thaw: false,
  ...more
})

/** Gives a new identity and runs to its acknowledgement. */
export const identify = Effect.fnUntraced(function* (machine: Machine, more: Partial<IdentitySpec>) {
  const token = yield* machine.agent.requestIdentity(identity(more))
  const event = yield* until(machine, "IdentityApplied", "AgentRejected")
  assert(event._tag === "IdentityApplied" && event.token === token, JSON.stringify(event))
  return event
})

/** The events of these kinds, as the host gets them: the fields without place and time. */
export const told = Effect.fnUntraced(function* (machine: Machine, ...kinds: ReadonlyArray<GuestEventKind>) {
  const wanted = new Set(kinds)
  return (yield* machine.eventsSoFar())
    .filter((event) => wanted.has(event._tag))
    .map(({ seq: _seq, atNanos: _atNanos, ...rest }) => rest)
})
