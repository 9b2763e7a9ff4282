import { createHash } from "node:crypto"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { contractLimits, Vmm } from "@stillpoint/core"
import { Effect, Fiber, Redacted, Stream } from "effect"
import { eventsOf, layer, linux, linuxAt } from "../guests.ts"

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).trim()

describe("a command in a guest", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("waits-for-the-agent-of-a-machine-that-was-only-booted", () =>
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot(yield* linux(null))
        assert.strictEqual(textOf((yield* machine.exec({ argv: ["echo", "booted"] })).stdout), "booted")
      })
    )

    it.effect("reads-input-of-any-size-as-fast-as-it-can", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const stdin = new Uint8Array(4 * contractLimits.commandInputBytes + 12_345)
        for (let at = 0; at < stdin.length; at++) stdin[at] = (at * 31) & 0xff
        const slow = { argv: ["sh", "-c", "dd bs=65536 count=1 2>/dev/null >/dev/null; sleep 1; sha256sum"], stdin }
        const { stdout } = yield* machine.exec({ argv: ["sha256sum"], stdin })
        assert.include(textOf(stdout), createHash("sha256").update(stdin).digest("hex"))
        // One that reads nothing for a while, beside one that does not wait for it.
        const [first, second] = yield* Effect.all(
          [machine.exec(slow), machine.exec({ argv: ["wc", "-c"], stdin: stdin.subarray(0, 1_500_000) })],
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual([first.code, textOf(second.stdout)], [0, "1500000"])
        // Unread input of a command does not affect it, or the next one.
        assert.strictEqual((yield* machine.exec({ argv: ["true"], stdin })).code, 0)
        assert.strictEqual((yield* machine.exec({ argv: ["wc", "-c"], stdin: "abc" })).code, 0)
      })
    )

    it.effect("is-ended-at-once-by-output-over-the-limit-and-nothing-is-left-of-it", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const before = yield* machine.nowNanos
        const error = yield* Effect.flip(machine.exec({ argv: ["yes"], outputLimitBytes: 100_000 }))
        assert.strictEqual(error.reason._tag, "TooMuchOutput")
        assert.isBelow((yield* machine.nowNanos) - before, 2e9)
        assert.notInclude(textOf((yield* machine.exec({ argv: ["ps"] })).stdout), "yes")
      })
    )

    it.effect("that-fails-or-is-given-up-is-killed-with-what-it-started", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const nested = { argv: ["sh", "-c", "sleep 1234 & sleep 1235"] }
        const late = yield* Effect.flip(machine.exec({ ...nested, timeoutNanos: 500e6 }))
        assert.strictEqual(late.reason._tag, "TimedOut")
        const given = yield* Effect.forkChild(machine.exec(nested), { startImmediately: true })
        yield* Effect.sleep("20 millis")
        yield* Fiber.interrupt(given)
        assert.notInclude(textOf((yield* machine.exec({ argv: ["ps"] })).stdout), "sleep 123")
      })
    )

    it.effect("finds-a-slot-when-there-is-one", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const all = Array.from({ length: contractLimits.commands + 20 }, (_, index) => index)
        const codes = yield* Effect.forEach(all, () => machine.exec({ argv: ["sleep", "0.1"] }), {
          concurrency: "unbounded"
        })
        assert.isTrue(codes.every(({ code }) => code === 0))
      })
    )

    it.effect("has-the-place-of-one-that-has-ended-whoever-still-holds-that", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        for (let index = 0; index < contractLimits.commands + 5; index++) {
          const { exit } = yield* machine.spawn({ argv: ["true"] })
          assert.strictEqual((yield* exit).code, 0)
        }
        assert.strictEqual((yield* machine.exec({ argv: ["true"] })).code, 0)
      })
    )

    it.effect("keeps-the-secrets-that-it-is-given-out-of-every-event", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const { stdout } = yield* machine.exec({
          argv: ["sh", "-c", 'cat; echo "$TOKEN"'],
          env: { TOKEN: Redacted.make("hunter2") },
          stdin: Redacted.make("hunter3 ")
        })
        assert.strictEqual(textOf(stdout), "hunter3 hunter2")
        const given = (yield* eventsOf(machine)).filter((event) => event._tag === "HostInput")
        assert.deepStrictEqual(
          given.map(({ data, kind }) => [kind, data.length]),
          [["withheld", 0]]
        )
        const { exit, stdin, write } = yield* machine.spawn({ argv: ["cat"] })
        yield* write(Redacted.make("hunter4 "))
        yield* write("plain ")
        yield* Stream.run(Stream.make(Redacted.make("hunter5")), stdin)
        assert.strictEqual((yield* exit).code, 0)
        const more = (yield* eventsOf(machine)).filter((event) => event._tag === "HostInput").slice(given.length)
        assert.deepStrictEqual(
          more.map(({ kind }) => kind),
          ["control", "withheld", "control", "withheld", "control"]
        )
        assert.isTrue(more.every(({ data }) => !Buffer.from(data).includes("hunter")))
        // Typed text and file content are secret; the file program gets only the path.
        yield* machine.sendSerial(0, Redacted.make(new TextEncoder().encode("hunter6\n")))
        yield* machine.files.write("/tmp/key", Redacted.make("hunter7"))
        assert.strictEqual(textOf(yield* machine.files.read("/tmp/key")), "hunter7")
        const last = (yield* eventsOf(machine)).filter((event) => event._tag === "HostInput")
        assert.isTrue(last.every(({ data }) => !/hunter[67]/.test(Buffer.from(data).toString("latin1"))))
        const [typed] = last.slice(given.length + more.length)
        assert.deepInclude(typed, { kind: "withheld", port: 0 })
      })
    )
  })
})
