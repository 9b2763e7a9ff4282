import { assert, describe, layer as withLayer } from "@effect/vitest"
import { type GuestEvent, Vmm } from "@stillpoint/core"
import { Effect, Fiber } from "effect"
import { GuestKit } from "@stillpoint/kit"
import { chmodSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { enough, eventsOf, flooding, folder, layer, linux, linuxAt, payload, spinning } from "./guests.ts"

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

describe("a machine", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("executes-nothing-before-it-is-run", () =>
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot(yield* linux())
        assert.strictEqual(yield* machine.nowNanos, 0)
        assert.deepStrictEqual(yield* eventsOf(machine), [])
      })
    )

    it.effect("has-a-whole-tree-of-the-host-as-it-was", () =>
      Effect.gen(function* () {
        const tree = join(yield* folder, "a tree é")
        mkdirSync(join(tree, "app"), { recursive: true })
        writeFileSync(join(tree, "app/one"), "content")
        chmodSync(join(tree, "app/one"), 0o4750)
        linkSync(join(tree, "app/one"), join(tree, "two"))
        symlinkSync("app/one", join(tree, "three"))
        const owner = { uid: 7, gid: 8 }
        const files = { "/srv": { tree, owner }, "/run/app": { content: "run" }, "/tmp/app": { content: "tmp" } }
        const machine = yield* (yield* Vmm).boot(yield* (yield* GuestKit).guest({ files }))
        yield* machine.run({ kinds: ["AgentReady"], budgetNanos: enough })
        const script = "cd /srv; stat -c '%a %u %g %h' two; readlink three; cat app/one two three /run/app /tmp/app"
        const { stdout } = yield* machine.exec({ argv: ["sh", "-c", script] })
        assert.strictEqual(text(stdout), "4750 7 8 2\napp/one\ncontentcontentcontentruntmp")
      })
    )

    it.effect("boots-linux-to-its-agent-and-says-so-in-order", () =>
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot(yield* linux())
        const seen: Array<GuestEvent> = []
        machine.events$.subscribe((event) => seen.push(event))
        const stop = yield* machine.run({ kinds: ["ListenerBound"], budgetNanos: enough })
        assert.strictEqual(stop.reason, "event")
        assert.strictEqual(seen.at(-1)?.seq, stop.seq)
        assert.deepStrictEqual(
          seen.map((event) => event.seq),
          seen.map((_, index) => index)
        )
        const order = seen.map((event) => event._tag)
        assert.isBelow(order.indexOf("AgentReady"), order.indexOf("WorkloadPreExec"))
        assert.isBelow(order.indexOf("WorkloadPreExec"), order.indexOf("ListenerBound"))
        for (let index = 1; index < seen.length; index++) {
          assert.isAtLeast(seen[index]!.atNanos, seen[index - 1]!.atNanos)
        }
        const bound = seen.at(-1)
        assert.deepInclude(bound, { _tag: "ListenerBound", protocol: "tcp", port: 8080 })
      })
    )

    it.effect("two-runs-of-one-seed-are-equal-event-by-event", () =>
      Effect.gen(function* () {
        const spec = yield* linux()
        const vmm = yield* Vmm
        const one = yield* vmm.boot({ ...spec, seed: 7 })
        yield* one.run({ kinds: ["ListenerBound"], budgetNanos: enough })
        const two = yield* vmm.boot({ ...spec, seed: 7 })
        // Cut into pieces, looked at and talked about in between: none of it can be noticed.
        for (;;) {
          const stop = yield* two.run({ kinds: ["ListenerBound"], budgetNanos: 37_000_001 })
          if (stop.reason === "event") break
          yield* two.ownBytes
        }
        assert.deepStrictEqual(yield* eventsOf(two), yield* eventsOf(one))
        assert.strictEqual(yield* two.digest, yield* one.digest)
        const other = yield* vmm.boot({ ...spec, seed: 8 })
        yield* other.run({ kinds: ["ListenerBound"], budgetNanos: enough })
        assert.notStrictEqual(yield* other.digest, yield* one.digest)
      })
    )

    it.effect("a-late-subscriber-loses-nothing", () =>
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot(yield* linux())
        const early: Array<GuestEvent> = []
        machine.events$.subscribe((event) => early.push(event))
        yield* machine.run({ kinds: ["AgentReady"], budgetNanos: enough })
        const late: Array<GuestEvent> = []
        machine.events$.subscribe((event) => late.push(event))
        const running = yield* Effect.forkChild(machine.run({ kinds: ["ListenerBound"], budgetNanos: enough }))
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        const latest: Array<GuestEvent> = []
        machine.eventsFrom(10).subscribe((event) => latest.push(event))
        yield* Fiber.join(running)
        assert.deepStrictEqual(late, early)
        assert.deepStrictEqual(latest, early.slice(10))
        assert.deepStrictEqual(yield* eventsOf(machine), early)
      })
    )

    it.effect("a-captured-and-restored-machine-goes-on-as-the-original-does", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("WorkloadPreExec")
        const directory = join(yield* folder, "snapshot")
        mkdirSync(directory)
        const captured = yield* machine.capture(directory)
        const before = yield* machine.digest
        const restored = yield* (yield* Vmm).restore(directory)
        assert.strictEqual(yield* restored.digest, before)
        assert.strictEqual(yield* restored.nowNanos, captured.atNanos)
        assert.deepStrictEqual(yield* eventsOf(restored), [])
        const until = { kinds: ["ListenerBound"], budgetNanos: enough } as const
        const stop = yield* machine.run(until)
        assert.deepStrictEqual(yield* restored.run(until), stop)
        assert.deepStrictEqual(yield* eventsOf(restored), yield* machine.eventsSoFar(captured.seq + 1))
        assert.strictEqual(yield* restored.digest, yield* machine.digest)
        assert.isAbove((yield* restored.takeTouchedPages).length, 10)
        // Both get the same requests.
        for (const each of [machine, restored]) assert.strictEqual((yield* each.exec({ argv: ["true"] })).code, 0)
        assert.strictEqual(yield* restored.digest, yield* machine.digest)
      })
    )

    it.effect("a-fork-goes-on-as-the-original-does-and-neither-disturbs-the-other", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("WorkloadPreExec")
        const fork = yield* machine.fork
        const until = { kinds: ["ListenerBound"], budgetNanos: enough } as const
        const stop = yield* machine.run(until)
        const [one, two] = [yield* machine.digest, yield* fork.digest]
        assert.notStrictEqual(one, two)
        assert.deepStrictEqual(yield* fork.run(until), stop)
        assert.strictEqual(yield* fork.digest, one)
        for (const each of [machine, fork]) {
          yield* each.agent.requestFreeze
          yield* each.run({ kinds: ["AgentFrozen"], budgetNanos: enough })
        }
        assert.strictEqual(yield* fork.digest, yield* machine.digest)
      })
    )

    it.effect("a-command-gives-its-output-apart-and-its-exit-code", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("ListenerBound")
        const result = yield* machine.exec({
          argv: ["/bin/sh", "-c", "cat; echo to stderr >&2; echo $GREETING; pwd; exit 3"],
          env: { GREETING: "hello" },
          cwd: "/proc",
          stdin: "from stdin\n"
        })
        assert.strictEqual(text(result.stdout), "from stdin\nhello\n/proc\n")
        assert.strictEqual(text(result.stderr), "to stderr\n")
        assert.strictEqual(result.code, 3)
        assert.strictEqual(result.signal, null)
        const page = yield* machine.exec({ argv: ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"] })
        assert.match(text(page.stdout), /^[0-9a-f]{32}\n$/)
      })
    )

    it.effect("large-input-and-output-pass-whole", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const stdin = new Uint8Array(300_000).map((_, index) => (index * 7) & 255)
        const result = yield* machine.exec({ argv: ["cat"], stdin })
        assert.strictEqual(result.code, 0)
        assert.deepStrictEqual(Buffer.compare(result.stdout, stdin), 0)
      })
    )

    it.effect("commands-at-the-same-time-are-told-apart", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const results = yield* Effect.all(
          [1, 2, 3, 4].map((n) => machine.exec({ argv: ["sh", "-c", `sleep 0.${5 - n}; echo ${n}`] })),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          results.map((result) => text(result.stdout)),
          ["1\n", "2\n", "3\n", "4\n"]
        )
      })
    )

    it.effect("a-command-that-does-not-end-is-killed-and-named", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const error = yield* Effect.flip(machine.exec({ argv: ["sleep", "1000"], timeoutNanos: 2_000_000_000 }))
        assert.strictEqual(error._tag, "ExecError")
        assert.strictEqual(error.reason._tag, "TimedOut")
        const after = yield* machine.exec({ argv: ["sh", "-c", "ps | grep -c '[s]leep 1000'"] })
        assert.strictEqual(text(after.stdout), "0\n")
      })
    )

    it.effect("a-command-that-does-not-exist-is-named", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const error = yield* Effect.flip(machine.exec({ argv: ["/bin/nothing"] }))
        assert.strictEqual(error.reason._tag, "ExecFailed")
        assert.include(error.message, "/bin/nothing")
      })
    )

    it.effect("a-held-workload-goes-at-the-hosts-word", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("WorkloadPreExec")
        const held = yield* machine.nowNanos
        yield* machine.go
        const stop = yield* machine.run({ kinds: ["ListenerBound"], budgetNanos: enough })
        assert.isBelow(stop.atNanos - held, 100_000_000)
      })
    )

    it.effect("a-frozen-workload-thaws-with-a-new-identity", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("ListenerBound")
        const frozen = yield* machine.agent.requestFreeze
        yield* machine.run({ kinds: ["AgentFrozen"], budgetNanos: enough })
        const identity = yield* machine.agent.requestIdentity({
          entropy: new Uint8Array(64).fill(9),
          realtimeNanos: 1_800_000_000_000_000_000n,
          hostname: "clone-1",
          machineId: "0123456789abcdef0123456789abcdef",
          env: {},
          thaw: true
        })
        yield* machine.run({ kinds: ["AgentThawed"], budgetNanos: enough })
        const tags = (yield* eventsOf(machine)).filter((event) => "token" in event)
        assert.deepStrictEqual(
          tags.map((event) => [event._tag, event.token]),
          [
            ["AgentFrozen", frozen],
            ["IdentityApplied", identity],
            ["AgentThawed", identity]
          ]
        )
        const result = yield* machine.exec({ argv: ["sh", "-c", "hostname; date +%Y; cat /etc/machine-id"] })
        assert.strictEqual(text(result.stdout), "clone-1\n2027\n0123456789abcdef0123456789abcdef\n")
      })
    )

    it.effect("an-interrupted-run-leaves-a-machine-that-stands-still", () =>
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot(yield* payload(spinning))
        const running = yield* Effect.forkChild(machine.run({}), { startImmediately: true })
        yield* Fiber.interrupt(running)
        const one = yield* machine.digest
        assert.strictEqual(yield* machine.digest, one)
        const stop = yield* machine.run({ budgetNanos: 1000 })
        assert.strictEqual(stop.reason, "budget")
      })
    )

    it.effect("a-paused-run-says-so-and-goes-on", () =>
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot(yield* payload(spinning))
        const running = yield* Effect.forkChild(machine.run({}), { startImmediately: true })
        assert.strictEqual((yield* Effect.flip(machine.run({}))).reason._tag, "AlreadyRunning")
        yield* machine.pause
        const stop = yield* Fiber.join(running)
        assert.strictEqual(stop.reason, "paused")
        assert.strictEqual((yield* machine.run({ atNanos: stop.atNanos + 5 })).reason, "time")
      })
    )

    it.effect("a-running-guest-does-not-block-the-event-loop", () =>
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot(yield* payload(flooding))
        let seen = 0
        machine.events$.subscribe(() => {
          seen += 1
        })
        let turns = 0
        const count = (): void => {
          turns += 1
          handle = setImmediate(count)
        }
        let handle = setImmediate(count)
        const stop = yield* machine.run({ budgetNanos: 3_000_000 })
        clearImmediate(handle)
        assert.strictEqual(stop.reason, "budget")
        const events = yield* eventsOf(machine)
        assert.strictEqual(seen, events.length)
        assert.isAbove(seen, 100_000)
        // Each turn decodes at most 128 KiB: so many events take many turns, and others get theirs in between.
        assert.isAbove(turns, 10)
      })
    )
  })
})
