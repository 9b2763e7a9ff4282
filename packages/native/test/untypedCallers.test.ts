import { describe, layer as withLayer } from "@effect/vitest"
import { type Machine, Vmm } from "@stillpoint/core"
import { isDoneOrRefusedByName, nearly, rubbish } from "@stillpoint/core/testing"
import { Effect, type Scope } from "effect"
import * as fc from "fast-check"
import { limitGuestMemory } from "../src/guestMemory.ts"
import { folder, layer, payload, waiting } from "./guests.ts"

type Asked = Effect.Effect<unknown, unknown, Scope.Scope>

const bytes = fc.oneof(rubbish, fc.constant(new Uint8Array(32)))

/** The requests to a machine, and the values that their arguments resemble. */
const questions: Readonly<
  Record<string, readonly [(machine: Machine, ...args: ReadonlyArray<never>) => Asked, ...Array<fc.Arbitrary<unknown>>]>
> = {
  run: [(machine, until) => machine.run(until), nearly({ kinds: [], budgetNanos: 1 }, ["atNanos", "pace"])],
  eventsSoFar: [
    (machine, ...args) => machine.eventsSoFar(...(args as unknown as [])),
    fc.oneof(rubbish, fc.constant(0)),
    fc.oneof(rubbish, fc.constant(1))
  ],
  live: [(machine, options) => machine.live(options), nearly({}, ["idleTimeout", "clockTolerance"])],
  sendSerial: [
    (machine, ...args) => machine.sendSerial(...(args as unknown as [never, never])),
    fc.oneof(rubbish, fc.constant(0)),
    bytes
  ],
  setClock: [(machine, nanos) => machine.agent.setClock(nanos), fc.oneof(rubbish, fc.constant(1n))],
  requestIdentity: [
    (machine, identity) => machine.agent.requestIdentity(identity),
    nearly({ entropy: new Uint8Array(32), realtimeNanos: 1n, hostname: "a", machineId: null, env: {}, thaw: false })
  ],
  freeze: [(machine, time) => machine.agent.freeze(time), nearly({ within: "1 millis" })],
  renew: [
    (machine, renewal) => machine.renew(renewal),
    nearly({ entropySeed: new Uint8Array(32), generationId: new Uint8Array(16), realtimeNanos: 1n })
  ],
  attachDisk: [
    (machine, ...args) => machine.attachDisk(...(args as unknown as [never, never])),
    nearly({ name: "data", access: "writable", sizeBytes: 4096 }, ["source"]),
    fc.oneof(rubbish, fc.constant(0))
  ],
  capture: [
    (machine, ...args) => machine.capture(...(args as unknown as [never, never])),
    fc.oneof(rubbish, fc.constant("/nowhere/at/all")),
    nearly({}, ["parent"])
  ],
  publish: [(machine, spec) => machine.ports.publish(spec), nearly({ port: 80 }, ["host", "hostPort"])],
  allow: [(machine, policy) => machine.ports.allow(policy), nearly({ allow: [] })]
}

describe("whatever a program without types asks", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    for (const [name, [ask, ...given]] of Object.entries(questions)) {
      it.effect(`a-machine-to-${name}-is-done-or-refused-by-name`, () =>
        Effect.gen(function* () {
          const machine = yield* (yield* Vmm).boot({ ...(yield* payload(waiting)), diskSlots: 1 })
          yield* isDoneOrRefusedByName((...args) => ask(machine, ...args), given)
        })
      )
    }

    it.effect("to-boot-is-done-or-refused-by-name", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const right = yield* payload(waiting)
        yield* isDoneOrRefusedByName(
          (spec) => vmm.boot(spec),
          [
            nearly(right, [
              "commandLine",
              "engine",
              "seed",
              "epochMillis",
              "network",
              "eventQuotas",
              "disks",
              "diskSlots"
            ])
          ]
        )
      })
    )

    it.effect("to-restore-is-done-or-refused-by-name", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const directory = yield* folder
        const machine = yield* vmm.boot(yield* payload(waiting))
        yield* machine.capture(directory)
        yield* isDoneOrRefusedByName(
          (...args) => vmm.restore(...(args as unknown as [never, never])),
          [
            fc.oneof(rubbish, fc.constant(directory)),
            nearly({}, ["identity", "parents", "diskSources", "encryptionKey"])
          ]
        )
      })
    )

    it.effect("a-limit-of-memory-is-one-or-refused-by-name", () =>
      isDoneOrRefusedByName(
        (limit) => limitGuestMemory(limit),
        [rubbish.filter((limit) => typeof limit !== "number")],
        {
          misplaced: [undefined, null, Symbol("x"), 5n, "x", true, () => 1, [], {}, -1, 0.5, Number.NaN]
        }
      )
    )
  })
})
