import { assert, describe, layer as withLayer } from "@effect/vitest"
import { contractLimits, Vmm } from "@stillpoint/core"
import { Effect, Fiber, Stream } from "effect"
import { createHash } from "node:crypto"
import * as fc from "fast-check"
import { enough, eventsOf, layer, linux, linuxAt } from "../guests.ts"

const pattern = (sizeBytes: number, seed: number): Uint8Array => {
  const bytes = new Uint8Array(sizeBytes)
  for (let at = 0; at < sizeBytes; at++) bytes[at] = (Math.imul(at, 31) + (at >> 8) + seed) & 0xff
  return bytes
}

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** The bytes in pieces of these sizes, again and again. */
const inPieces = (bytes: Uint8Array, sizes: ReadonlyArray<number>): Stream.Stream<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; at += pieces.at(-1)?.length ?? 0) {
    pieces.push(bytes.subarray(at, at + (sizes[pieces.length % sizes.length] ?? 1)))
  }
  return Stream.fromIterable(pieces)
}

describe("the agent's channel", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("bytes-arrive-whole-however-they-are-cut-and-a-fork-in-the-midst-goes-on-by-itself", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* linuxAt("AgentReady", null)
          const opened = Effect.map(eventsOf(machine), (events) =>
            events.filter(({ _tag }) => _tag === "AgentChannelOpened").map(({ seq }) => seq)
          )
          // Little is not worth a channel.
          yield* machine.files.write("/tmp/little", pattern(20_000, 0))
          assert.deepStrictEqual(yield* opened, [])
          const cases = fc.sample(
            fc.record({
              sizeBytes: fc.oneof(fc.nat({ max: 70_000 }), fc.nat({ max: 600_000 })),
              sizes: fc.array(fc.integer({ min: 500, max: 300_000 }), { minLength: 1, maxLength: 4 }),
              windowBytes: fc.integer({ min: 16_384, max: 1_000_000 })
            }),
            4
          )
          for (const { sizeBytes, sizes, windowBytes } of cases) {
            const sent = pattern(sizeBytes, windowBytes)
            const cat = yield* machine.spawn({ argv: ["cat"], windowBytes })
            const writing = yield* Effect.forkChild(Stream.run(inPieces(sent, sizes), cat.stdin))
            const got = Buffer.concat(yield* Stream.runCollect(cat.stdout))
            yield* Fiber.join(writing)
            assert.deepStrictEqual([got.length, digest(got)], [sizeBytes, digest(sent)])
          }
          const content = pattern(1_000_000, 1)
          const half = yield* machine.spawn({ argv: ["cat"] })
          yield* half.write(content.subarray(0, 600_000))
          assert.lengthOf(yield* opened, 1)
          // Bytes on their way belong to the clone too; both continue, and neither sees the other's.
          const clone = yield* machine.fork
          for (const each of [machine, clone]) {
            yield* each.files.write("/tmp/kept", content)
            assert.strictEqual(digest(yield* each.files.read("/tmp/kept")), digest(content))
          }
          const rest = yield* Effect.forkChild(Effect.andThen(half.write(content.subarray(600_000)), half.endInput))
          assert.strictEqual(digest(Buffer.concat(yield* Stream.runCollect(half.stdout))), digest(content))
          yield* Fiber.join(rest)
          assert.lengthOf(yield* opened, 1)
        })
      )
    )

    it.effect("what-is-on-its-way-over-the-port-when-the-channel-opens-is-not-overtaken", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* linuxAt("AgentReady", null)
          const [much, little] = [yield* machine.spawn({ argv: ["cat"] }), yield* machine.spawn({ argv: ["cat"] })]
          const content = pattern(32_000, 3)
          // The channel opens at the last byte of the first: the second's come behind them, over the port.
          yield* much.write(pattern(contractLimits.commandMuchBytes, 4))
          yield* little.write(content.subarray(0, 30_000))
          yield* machine.run({ kinds: ["AgentChannelOpened"], budgetNanos: enough })
          yield* little.write(content.subarray(30_000))
          yield* little.endInput
          assert.strictEqual(digest(Buffer.concat(yield* Stream.runCollect(little.stdout))), digest(content))
        })
      )
    )

    it.effect("one-that-somebody-else-has-open-is-not-believed-and-the-port-serves-on", () =>
      Effect.scoped(
        Effect.gen(function* () {
          // A frame that only the agent may send, before and after much is moved.
          const forged = "printf '\\001\\000\\000\\000\\005' >&3"
          const take = `exec 3<>/dev/$(ls /sys/class/virtio-ports); ${forged}; while sleep 0.01; do ${forged}; done`
          const spec = yield* linux(["/bin/sh", "-c", take], ["virtio_mmio"])
          const machine = yield* (yield* Vmm).boot(spec)
          yield* machine.run({ kinds: ["WorkloadPreExec"], budgetNanos: enough })
          yield* machine.run({ budgetNanos: 300e6 })
          const content = pattern(100_000, 2)
          yield* machine.files.write("/tmp/kept", content)
          assert.strictEqual(digest(yield* machine.files.read("/tmp/kept")), digest(content))
          const kinds = new Set((yield* eventsOf(machine)).map(({ _tag }) => _tag))
          assert.isFalse(kinds.has("AgentChannelOpened") || kinds.has("WorkloadParked") || kinds.has("WorkloadExited"))
        })
      )
    )
  })
})
