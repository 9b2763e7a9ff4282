import { monitorEventLoopDelay } from "node:perf_hooks"
import { statSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import {
  type GuestEvent,
  type GuestEventOf,
  Journal,
  newGuestStream,
  readGuest,
  recordGuest,
  Vmm
} from "@stillpoint/core"
import { Effect, Fiber } from "effect"
import { flooding, folder, layer, payload } from "./guests.ts"

const code = (...instructions: ReadonlyArray<number>): Uint8Array =>
  new Uint8Array(new Uint32Array(instructions).buffer)

/** Does something `times` over, a multiple of 4096, as fast as it can, and then waits for ever. */
const often = (times: number, setUp: ReadonlyArray<number>, body: ReadonlyArray<number>): Uint8Array => {
  const back = -4 * (body.length + 1)
  const branch =
    0x000e1063 | // bnez t3, back
    (((back >> 12) & 1) << 31) |
    (((back >> 5) & 0x3f) << 25) |
    (((back >> 1) & 0xf) << 8) |
    (((back >> 11) & 1) << 7)
  return code(
    0x00000e37 | times, // lui t3, times
    ...setUp,
    ...body,
    0xfffe0e13, // addi t3, t3, -1
    branch >>> 0,
    0x10500073, // wfi
    0xffdff06f // j .-4
  )
}

/** Ends 401,408 empty lines on the console. */
const emptyLines = often(
  98 << 12,
  [
    0x100002b7, // lui t0, 0x10000
    0x00a00313 // li t1, '\n'
  ],
  [0x00628023] // sb t1, 0(t0)
)

/** Sends 98,304 heartbeats on the control port, thirteen bytes each. */
const heartbeats = often(
  24 << 12,
  [
    0x100002b7, // lui t0, 0x10000
    0x10028293, // addi t0, t0, 0x100
    0x00900313, // li t1, 9: the length of type and count
    0x00200393 // li t2, 2: the type, and the count
  ],
  // sb t1, three zeros; sb t2; sb t2, seven zeros
  [
    0x00628023,
    0x00028023,
    0x00028023,
    0x00028023,
    0x00728023,
    0x00728023,
    ...Array.from({ length: 7 }, () => 0x00028023)
  ]
)

/** Guest time by which it has said everything, and been told what was dropped. */
const enoughNanos = 150_000_000

const bytesOf = (event: GuestEvent): number => 64 + (event._tag === "SerialLine" ? event.text.length : 0)

describe("a guest that floods its host", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    for (const [name, instructions, kind, mostBytes] of [
      ["empty-lines", emptyLines, "SerialLine", 8 << 20],
      ["heartbeats", heartbeats, "HeartbeatTick", 1 << 20]
    ] as const) {
      it.effect(`of-${name}-fills-neither-memory-nor-journal-nor-the-event-loop`, () =>
        Effect.scoped(
          Effect.gen(function* () {
            const file = join(yield* folder, "journal")
            const stream = newGuestStream()
            const delay = monitorEventLoopDelay({ resolution: 5 })
            const dropped = yield* Effect.gen(function* () {
              const machine = yield* (yield* Vmm).boot(yield* payload(instructions))
              yield* recordGuest(stream, machine)
              delay.enable()
              const heapBefore = process.memoryUsage().heapUsed
              assert.strictEqual((yield* machine.run({ atNanos: enoughNanos })).reason, "time")
              delay.disable()
              assert.isBelow(process.memoryUsage().heapUsed - heapBefore, 400 * 2 ** 20)
              const events = yield* machine.eventsSoFar()
              const reports = events.filter(
                (event): event is GuestEventOf<"EventsDropped"> => event._tag === "EventsDropped"
              )
              assert.deepStrictEqual([...new Set(reports.map((report) => report.kind))], [kind])
              const told = events.filter((event) => event._tag === kind).reduce((sum, event) => sum + bytesOf(event), 0)
              assert.isAtMost(told, mostBytes * 1.25)
              return reports.reduce((sum, report) => sum + report.count, 0)
            }).pipe(Effect.scoped, Effect.provide(Journal.layerSqlite({ path: file })))
            assert.isAbove(dropped, 10_000)
            assert.isBelow(statSync(file).size, 64 * 2 ** 20)
            yield* Effect.logInfo(
              `${name}: ${dropped} dropped, journal ${statSync(file).size} bytes, longest block ${delay.max / 1e6} ms`
            )
            const recorded = yield* readGuest(stream).pipe(Effect.provide(Journal.layerSqlite({ path: file })))
            assert.isTrue(recorded.every((event, index) => event.seq === index))
          })
        )
      )
    }

    it.effect("waits-for-a-host-that-stops-reading-and-loses-nothing", () =>
      Effect.gen(function* () {
        // Two million lines, more than 50 MB of encoded events.
        const endNanos = 6_000_000
        const spec = {
          ...(yield* payload(flooding)),
          eventQuotas: { SerialLine: { burstBytes: 2 ** 32, bytesPerSecond: 2 ** 32 } }
        }
        const vmm = yield* Vmm
        const read = yield* vmm.boot(spec)
        let next = 0
        let isWhole = true
        read.events$.subscribe(({ seq }) => {
          isWhole &&= seq === next
          next = seq + 1
        })
        const running = yield* Effect.forkChild(read.run({ atNanos: endNanos }), { startImmediately: true })
        // This thread reads nothing for a while; the guest runs only as far as it may.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000)
        assert.isBelow(yield* read.nowNanos, endNanos)
        assert.strictEqual((yield* Fiber.join(running)).reason, "time")
        assert.isTrue(isWhole)
        const alone = yield* vmm.boot(spec)
        assert.strictEqual((yield* alone.run({ atNanos: endNanos })).reason, "time")
        assert.strictEqual(yield* alone.digest, yield* read.digest)
        assert.strictEqual((yield* read.eventsSoFar(next - 1)).length, 1)
        yield* Effect.logInfo(`${next} events`)
      })
    )

    it.effect("is-told-the-same-however-it-is-run", () =>
      Effect.gen(function* () {
        const spec = {
          ...(yield* payload(heartbeats)),
          eventQuotas: { HeartbeatTick: { burstBytes: 640, bytesPerSecond: 6400 } }
        }
        const vmm = yield* Vmm
        const whole = yield* vmm.boot(spec)
        yield* whole.run({ atNanos: enoughNanos })
        const pieces = yield* vmm.boot(spec)
        for (const atNanos of [1, 77_777, 999_999, 99_999_999, enoughNanos]) yield* pieces.run({ atNanos })
        assert.deepStrictEqual(yield* pieces.eventsSoFar(), yield* whole.eventsSoFar())
        assert.strictEqual(yield* pieces.digest, yield* whole.digest)
      })
    )

    it.effect("is-paused-or-ended-where-its-quota-says-so", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const flood = yield* payload(heartbeats)
        const quota = { burstBytes: 640, bytesPerSecond: 0 }
        const paused = yield* vmm.boot({ ...flood, eventQuotas: { HeartbeatTick: { ...quota, overflow: "pause" } } })
        const stops = [yield* paused.run({ atNanos: enoughNanos }), yield* paused.run({ atNanos: enoughNanos })]
        // Event 0 says the engine.
        assert.deepStrictEqual(
          stops.map(({ reason, seq }) => [reason, seq]),
          [
            ["event", 11],
            ["event", 22]
          ]
        )
        const ended = yield* vmm.boot({ ...flood, eventQuotas: { HeartbeatTick: { ...quota, overflow: "end" } } })
        assert.strictEqual((yield* ended.run({ atNanos: enoughNanos })).reason, "fault")
        const last = (yield* ended.eventsSoFar()).slice(-2)
        assert.deepStrictEqual(
          last.map((event) => event._tag),
          ["EventsDropped", "EngineFault"]
        )
      })
    )

    it.effect("has-no-quota-of-a-kind-that-there-is-not", () =>
      Effect.gen(function* () {
        const spec = yield* payload(emptyLines)
        const quotas = { SerialLin: { burstBytes: 1, bytesPerSecond: -1, overflow: "shrug" } }
        const { reason } = yield* Effect.flip((yield* Vmm).boot({ ...spec, eventQuotas: quotas as never }))
        assert.strictEqual(reason._tag, "InvalidConfiguration")
        assert.include(reason.message, "SerialLin")
      })
    )
  })
})
