/** A guest that was booted without a workload is given one, here and in what was captured of it. */
import { assert, it } from "@effect/vitest"
import { Vmm } from "@stillpoint/core"
import { Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { boot, layer, lines, sh, until } from "./testing/softGuest.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-start-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const script =
  "id -u; id -g; pwd; echo $HOME $COLOUR ${#KEY}; trap 'echo stopped; exit 5' TERM; while :; do sleep 1; done"

it.effect("a-workload-is-started-after-a-restore-as-at-a-boot", () =>
  Effect.gen(function* () {
    const at = join(yield* folder, "snapshot")
    mkdirSync(at)
    const booted = yield* boot({ heartbeatMillis: 0 })
    yield* until(booted, "AgentReady")
    yield* booted.capture(at)
    const workload = {
      argv: ["sh", "-c", script] as const,
      env: { COLOUR: "blue\n100%", KEY: Redacted.make("hunter8") },
      cwd: "/tmp",
      user: "nobody",
      hold: "untilGo" as const,
      stopSignal: 15
    }
    const runs = yield* Effect.forEach([1, 2], () =>
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).restore(at)
        const atNanos = yield* machine.agent.startWorkload(workload)
        yield* machine.run({ budgetNanos: 1e9 })
        const held = lines(yield* machine.eventsSoFar())
        yield* machine.go
        yield* machine.run({ budgetNanos: 1e9 })
        const told = lines(yield* machine.eventsSoFar()).slice(held.length)
        // The workload's signal comes before the end of the machine.
        const stop = yield* machine.agent.powerOff()
        assert.strictEqual(stop.reason, "halted")
        const events = yield* machine.eventsSoFar()
        const given = events.filter((event) => event._tag === "HostInput")
        assert.isTrue(given.some(({ kind }) => kind === "withheld"))
        assert.isTrue(given.every(({ data }) => !Buffer.from(data).includes("hunter8")))
        const exited = events.find((event) => event._tag === "WorkloadExited")
        assert(exited?._tag === "WorkloadExited" && exited.code === 5)
        return { atNanos, told, digest: yield* machine.digest }
      })
    )
    assert.deepStrictEqual(runs[0]?.told, ["65534", "65534", "/tmp", "/ blue 100% 7"])
    assert.deepStrictEqual(runs[1], runs[0])
  }).pipe(Effect.scoped, Effect.provide(layer), TestClock.withLive)
)

it.effect("what-cannot-be-started-is-said-and-leaves-the-guest-as-it-was", () =>
  Effect.gen(function* () {
    const machine = yield* boot({ heartbeatMillis: 0 })
    yield* until(machine, "AgentReady")
    const argv = ["true"] as const
    for (const [spec, step, what] of [
      [{ argv, user: "eve" }, "user", "eve"],
      [{ argv, groups: ["staff"] }, "user", "staff"],
      [{ argv, root: { device: "image" } }, "root", "image"]
    ] as const) {
      const error = yield* Effect.flip(machine.agent.startWorkload(spec))
      assert(error._tag === "WorkloadStartError", error.message)
      assert.strictEqual(error.step, step)
      assert.include(error.message, what)
    }
    const invalid = yield* Effect.flip(machine.agent.startWorkload({ argv: ["a\0b"], cwd: "relative", stopNanos: -1 }))
    assert(invalid._tag === "MachineError" && invalid.reason._tag === "InvalidWorkload")
    for (const place of ["argv", "cwd", "stopNanos"]) assert.include(invalid.message, place)
    const secret = yield* Effect.flip(
      machine.agent.startWorkload({ argv, cwd: "relative", env: { KEY: Redacted.make("hunter\0") } })
    )
    for (const place of ["cwd", "env.KEY"]) assert.include(secret.message, place)
    assert.notInclude(secret.message, "hunter")
    const alone = yield* Effect.flip(
      machine.agent.startWorkload({ argv, volumes: [{ device: "data", path: "/data" }], hosts: "" })
    )
    assert(alone._tag === "MachineError" && alone.reason._tag === "InvalidWorkload")
    for (const place of ["volumes", "hosts"]) assert.include(alone.message, `${place}: expected a root`)
    assert.strictEqual(yield* sh(machine, "hostname"), "stillpoint")

    yield* machine.agent.startWorkload({ argv: ["sleep", "1000"], hostname: "box" })
    assert.strictEqual(yield* sh(machine, "hostname"), "box")
    const second = yield* Effect.flip(machine.agent.startWorkload({ argv }))
    assert(second._tag === "AgentError" && second.reason._tag === "Refused")
    assert.strictEqual(second.reason.why, "WorkloadPresent")
  }).pipe(Effect.scoped, Effect.provide(layer), TestClock.withLive)
)

it.effect("a-program-that-is-not-there-fails-when-it-is-executed", () =>
  Effect.gen(function* () {
    const machine = yield* boot({ heartbeatMillis: 0 })
    yield* until(machine, "AgentReady")
    yield* machine.agent.startWorkload({ argv: ["no-such-program"], holdNanos: 0 })
    const failed = yield* until(machine, "WorkloadFailed")
    assert(failed._tag === "WorkloadFailed" && failed.step === "exec" && failed.errno === 2)
  }).pipe(Effect.scoped, Effect.provide(layer), TestClock.withLive)
)
