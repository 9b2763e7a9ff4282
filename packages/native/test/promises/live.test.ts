/** A Linux guest that lives: in the background, at the host's pace. */
import { assert, describe, layer as withLayer } from "@effect/vitest"
import type { GuestEvent, LiveMachine, Machine } from "@stillpoint/core"
import { Effect, Exit, Fiber } from "effect"
import { linuxAt } from "../guests.ts"
import { layer } from "./witness.ts"

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).trim()

const run = (machine: Machine, ...argv: ReadonlyArray<string>) =>
  Effect.map(machine.exec({ argv }), ({ stdout }) => text(stdout))

/** Until a machine does that. */
const until = (live: LiveMachine, status: string) =>
  Effect.gen(function* () {
    while ((yield* live.state).status !== status) yield* Effect.sleep("1 millis")
  })

/** Until the guest says that. */
const says = (machine: Machine, kind: GuestEvent["_tag"], from: number) =>
  Effect.callback<GuestEvent>((resume) => {
    const subscription = machine.eventsFrom(from).subscribe((event) => {
      if (event._tag === kind) resume(Effect.succeed(event))
    })
    return Effect.sync(() => subscription.unsubscribe())
  })

const silent = ["/bin/sh", "-c", "sleep 1000000"]

describe("a machine that lives", () => {
  withLayer(layer, { excludeTestServices: true, timeout: 300_000 })((it) => {
    it.effect("goes-on-by-itself-and-answers-commands-files-and-forks-as-ever", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("WorkloadPreExec", silent)
        const live = yield* machine.live()
        // The guest runs on although no caller waits for it.
        yield* says(machine, "HeartbeatTick", (yield* machine.eventsSoFar()).length)
        assert.strictEqual(yield* run(machine, "echo", "hello"), "hello")
        yield* machine.files.write("/tmp/kept", new TextEncoder().encode("content"))
        assert.strictEqual(text(yield* machine.files.read("/tmp/kept")), "content")
        assert.deepStrictEqual(
          yield* Effect.all([run(machine, "echo", "1"), run(machine, "echo", "2"), run(machine, "echo", "3")], {
            concurrency: "unbounded"
          }),
          ["1", "2", "3"]
        )
        // A fork stays where it was made, and the machine continues.
        const fork = yield* machine.fork
        const stoodAt = yield* fork.nowNanos
        assert.strictEqual(yield* run(fork, "cat", "/tmp/kept"), "content")
        assert.isAbove(yield* fork.nowNanos, stoodAt)
        assert.strictEqual(yield* run(machine, "cat", "/tmp/kept"), "content")
        assert.include(["awake", "asleep"], (yield* live.state).status)
        const refused = yield* Effect.flip(machine.run({ budgetNanos: 1 }))
        assert.strictEqual(refused.reason._tag, "AlreadyRunning")
        assert.strictEqual((yield* Effect.flip(Effect.scoped(machine.live()))).reason._tag, "AlreadyRunning")
      })
    )

    it.effect("feeds-a-command-as-fast-as-it-reads-whoever-runs-the-guest", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("WorkloadPreExec", silent)
        // More than the guest holds of it at once.
        const stdin = new Uint8Array(1_200_000)
        const counted = Effect.map(machine.exec({ argv: ["wc", "-c"], stdin }), ({ stdout }) => text(stdout))
        const running = yield* Effect.forkChild(machine.run({ budgetNanos: 3_600e9, pace: "realTime" }))
        assert.strictEqual(yield* counted, "1200000")
        yield* Fiber.interrupt(running)
        yield* machine.live()
        assert.strictEqual(yield* counted, "1200000")
      })
    )

    it.effect("stands-while-it-is-paused-and-a-command-goes-on-when-it-is-resumed", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("WorkloadPreExec", silent)
        const live = yield* machine.live()
        // However late a busy host comes to pause it: it waits for a file.
        const script = "while [ ! -e /tmp/go ]; do sleep 0.1; done; sleep 1; echo woken"
        const command = yield* Effect.forkChild(run(machine, "sh", "-c", script))
        yield* says(machine, "ExecStarted", 0)
        const stoodAt = yield* live.pause
        const digest = yield* machine.digest
        assert.strictEqual((yield* live.state).status, "paused")
        yield* Effect.yieldNow
        assert.deepStrictEqual([yield* machine.nowNanos, yield* machine.digest], [stoodAt, digest])
        assert.isUndefined(command.pollUnsafe())
        yield* live.resume
        yield* live.resume
        yield* machine.files.write("/tmp/go", new Uint8Array())
        assert.strictEqual(yield* Fiber.join(command), "woken")
        // A second of the guest's has passed, not what it stood.
        assert.isAtLeast(yield* machine.nowNanos, stoodAt + 0.9e9)
      })
    )

    it.effect("times-a-silent-command-out-in-guest-time", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("WorkloadPreExec", silent)
        yield* machine.live()
        const begun = yield* machine.nowNanos
        const failed = yield* Effect.flip(machine.exec({ argv: ["sleep", "1000"], timeoutNanos: 0.3e9 }))
        assert.strictEqual(failed.reason._tag, "TimedOut")
        assert.isAtLeast((yield* machine.nowNanos) - begun, 0.3e9)
      })
    )

    it.effect("dozes-when-nothing-is-asked-of-it-and-answers-the-next-command", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("WorkloadPreExec", silent)
        const live = yield* machine.live({ idleTimeout: "100 millis" })
        for (const word of ["one", "two"]) {
          yield* until(live, "dozing")
          assert.strictEqual(yield* run(machine, "echo", word), word)
          assert.isAbove((yield* live.state).lostNanos, 0)
        }
      })
    )

    it.effect("ends-with-its-guest-and-whoever-waits-is-told", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("WorkloadPreExec", silent)
        const live = yield* machine.live()
        const waiting = yield* Effect.forkChild(Effect.flip(machine.exec({ argv: ["sleep", "1000"] })))
        yield* says(machine, "ExecStarted", 0)
        yield* machine.agent.powerOff()
        assert.strictEqual((yield* live.ended).reason, "halted")
        assert.strictEqual((yield* live.state).status, "ended")
        assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "GuestEnded")
        yield* live.resume
        assert.isAtLeast(yield* live.pause, 0)
      })
    )

    it.effect("is-refused-what-cannot-be-all-at-once-and-ends-when-it-is-closed", () =>
      Effect.gen(function* () {
        const [machine, live] = yield* Effect.scoped(
          Effect.gen(function* () {
            const machine = yield* linuxAt("WorkloadPreExec", silent)
            const wrong = { idleTimeout: -1, clockTolerance: "soon", colour: "red" } as never
            const refused = yield* Effect.flip(Effect.scoped(machine.live(wrong)))
            assert.strictEqual(refused.reason._tag, "InvalidRun")
            for (const name of ["idleTimeout", "clockTolerance", "colour"]) assert.include(refused.message, name)
            const live = yield* machine.live()
            // Its scope ends: it stands, and the machine is as ever.
            yield* Effect.scoped(Effect.flip(machine.live()))
            return [machine, live] as const
          })
        )
        assert.include(["ended", "paused"], (yield* live.state).status)
        const closed = yield* Effect.exit(Effect.scoped(machine.live()))
        assert.isTrue(Exit.isFailure(closed))
      })
    )
  })
})
