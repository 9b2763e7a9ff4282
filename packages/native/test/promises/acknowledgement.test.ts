import { assert, describe, layer as withLayer } from "@effect/vitest"
import { type Agent, Gate, type GateOptions, type Machine, Vmm } from "@stillpoint/core"
import { Effect } from "effect"
import { loadAddon } from "../../src/binding/loadAddon.ts"
import { settle } from "../settle.ts"
import { captureWitness, hasCompiler, layer } from "./witness.ts"

const addon = await Effect.runPromise(loadAddon)

/** The machine of a real guest, on the way to whose agent something goes wrong. */
const disturbances: Readonly<Record<string, readonly [(machine: Machine) => Partial<Agent>, GateOptions, string]>> = {
  "answers-too-late": [() => ({}), { guestTimeout: "1 micros" }, "AcknowledgementMissing"],
  "takes-too-long-for-its-host": [
    () => ({ identify: () => Effect.never }),
    { hostTimeout: "200 millis" },
    "AcknowledgementMissing"
  ],
  "acknowledges-another-identity": [
    ({ agent }) => ({
      identify: (identity, time) => Effect.andThen(agent.requestIdentity(identity), agent.identify(identity, time))
    }),
    {},
    "AcknowledgementWrong"
  ],
  "is-thawed-too-late": [
    ({ agent }) => ({ thaw: () => agent.thaw({ within: "1 nanos" }) }),
    {},
    "AcknowledgementMissing"
  ],
  "is-given-what-is-no-identity": [
    ({ agent }) => ({
      identify: (identity, time) => agent.identify({ ...identity, env: { "A\u0000B": "" } }, time)
    }),
    {},
    "MachineFailed"
  ],
  "is-switched-off-on-the-way": [
    ({ agent }) => ({
      identify: (identity, time) => Effect.andThen(Effect.ignore(agent.powerOff()), agent.identify(identity, time))
    }),
    {},
    "GuestEnded"
  ]
}

describe.skipIf(!hasCompiler)("a clone whose guest", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    for (const [name, [disturb, options, expected]] of Object.entries(disturbances)) {
      it.effect(`${name}-is-destroyed-by-a-typed-error`, () =>
        Effect.gen(function* () {
          const { directory } = yield* captureWitness
          const vmm = yield* Vmm
          const before = addon.guestMemoryBytes()
          let restored: Machine | undefined
          const disturbed: typeof vmm = {
            ...vmm,
            restore: (path, chain) =>
              Effect.map(vmm.restore(path, chain), (machine) => {
                restored = machine
                return { ...machine, agent: { ...machine.agent, ...disturb(machine) } }
              })
          }
          const states: Array<string> = []
          const error = yield* Effect.flip(
            Gate.restore(directory, { ...options, onState: ({ _tag }) => Effect.sync(() => states.push(_tag)) }).pipe(
              Effect.provideService(Vmm, disturbed)
            )
          )
          assert.strictEqual(error._tag, "GateError")
          assert.strictEqual(error.reason._tag, expected)
          assert.strictEqual(states.at(-1), "Destroyed")
          assert.notInclude(states, "Ready")
          assert.isDefined(restored)
          // Gone with its memory, though the scope of the caller lasts.
          if (restored !== undefined) assert.strictEqual((yield* Effect.flip(restored.run({}))).reason._tag, "Closed")
          yield* settle(() => addon.guestMemoryBytes() <= before)
          assert.isAtMost(addon.guestMemoryBytes(), before)
        })
      )
    }
  })
})
