/**
 * The agent's promises about moments, in guests of the deterministic engine, where a run can stop at the very
 * instruction that caused an event.
 */
import { assert, it } from "@effect/vitest"
import { type GuestEvent, type GuestEventKind, type IdentitySpec, type Machine, Vmm } from "@stillpoint/core"
import { type GuestConfigInput, GuestKit } from "@stillpoint/kit"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { fileURLToPath } from "node:url"
import * as NativeAgent from "../../src/NativeAgent.ts"
import * as NativeVmm from "../../src/NativeVmm.ts"

const probePath = fileURLToPath(new URL("../build/probe", import.meta.url))
const layer = Layer.mergeAll(NativeVmm.layer, Layer.provide(GuestKit.layer, NativeAgent.layer))

/** A machine with that guest, before its first instruction. */
const boot = Effect.fnUntraced(function* (config: GuestConfigInput, seed = 1) {
  const kit = yield* GuestKit
  const { kernelPath } = yield* kit.files
  const files = { ...config.files, "/bin/probe": { from: probePath, mode: 0o755 } }
  const initramfs = yield* kit.initramfs({ ...config, files })
  return yield* (yield* Vmm).boot({ kernelPath, initramfs, seed })
})

const shell = (script: string, more: GuestConfigInput = {}): GuestConfigInput => ({
  ...more,
  workload: { argv: ["/bin/sh", "-c", script] }
})

/** Runs until an event of these kinds, at most a minute of guest time. */
const until = Effect.fnUntraced(function* (machine: Machine, ...kinds: ReadonlyArray<GuestEventKind>) {
  const stop = yield* machine.run({ kinds, budgetNanos: 60e9 })
  assert.strictEqual(stop.reason, "event", `no ${kinds.join(" or ")}`)
  const [event] = yield* machine.eventsSoFar(stop.seq ?? 0)
  assert(event !== undefined)
  return event
})

const lines = (events: ReadonlyArray<GuestEvent>): ReadonlyArray<string> =>
  events.filter((event) => event._tag === "SerialLine").map((event) => event.text)

const sh = (machine: Machine, script: string) =>
  Effect.map(machine.exec({ argv: ["/bin/sh", "-c", script] }), ({ stdout }) => Buffer.from(stdout).toString().trim())

const identity = (more: Partial<IdentitySpec>): IdentitySpec => ({
  entropy: Buffer.alloc(32, 7),
  realtimeNanos: null,
  hostname: null,
  machineId: null,
  env: {},
  thaw: false,
  ...more
})

/** Gives a new identity and runs to its acknowledgement. */
const identify = Effect.fnUntraced(function* (machine: Machine, more: Partial<IdentitySpec>) {
  const token = yield* machine.requestIdentity(identity(more))
  const event = yield* until(machine, "IdentityApplied", "AgentRejected")
  assert(event._tag === "IdentityApplied" && event.token === token, JSON.stringify(event))
  return event
})

it.effect("a-timed-hold-lasts-as-long-as-it-says", () =>
  Effect.gen(function* () {
    for (const holdNanos of [3_000_000, 100_000_000]) {
      const machine = yield* boot(shell("echo started; exit 0", { holdNanos, heartbeatMillis: 0 }))
      const held = yield* until(machine, "WorkloadPreExec")
      yield* until(machine, "WorkloadExited")
      const started = (yield* machine.eventsSoFar(held.seq)).find(
        (event) => event._tag === "SerialLine" && event.text.includes("started")
      )
      assert(started !== undefined)
      assert.isAtLeast(started.atNanos, held.atNanos + holdNanos)
      // Starting a shell takes a few milliseconds.
      assert.isBelow(started.atNanos, held.atNanos + holdNanos + 50_000_000)
    }
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("an-untimed-hold-lasts-until-the-go", () =>
  Effect.gen(function* () {
    const machine = yield* boot(shell("echo started; exit 3", { hold: "untilGo", heartbeatMillis: 0 }))
    const held = yield* until(machine, "WorkloadPreExec")
    yield* machine.run({ budgetNanos: 3_600e9 })
    assert.notInclude(lines(yield* machine.eventsSoFar(held.seq)), "started")
    yield* machine.go
    const exited = yield* until(machine, "WorkloadExited")
    assert(exited._tag === "WorkloadExited" && exited.code === 3)
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("the-workload-executes-nothing-between-listening-and-the-report", () =>
  Effect.gen(function* () {
    const machine = yield* boot(shell("probe listen-again; echo after", { holdNanos: 0 }))
    yield* until(machine, "ListenerBound")
    assert.notInclude(lines(yield* machine.eventsSoFar(0)), "after")
    yield* until(machine, "WorkloadExited")
    assert.include(lines(yield* machine.eventsSoFar(0)), "after")
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("a-command-gets-all-its-input-though-another-has-just-kept-the-guest-busy", () =>
  Effect.gen(function* () {
    const machine = yield* boot(shell("sleep 100000", { holdNanos: 0 }))
    yield* until(machine, "HeartbeatTick")
    yield* Effect.flip(machine.exec({ argv: ["yes"], timeoutNanos: 1e9 }))
    const stdin = Uint8Array.from({ length: 2_500_000 }, (_, i) => (i * i) >> 7)
    const { code, stdout } = yield* machine.exec({ argv: ["cat"], stdin })
    assert.strictEqual(code, 0)
    assert.strictEqual(Buffer.compare(stdout, stdin), 0)
    // Nothing of it was lost on the way, and the line is understood as before.
    const refused = (yield* machine.eventsSoFar(0)).filter((event) => event._tag === "AgentRejected")
    assert.deepStrictEqual(refused, [])
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("a-hundred-commands-run-at-once", () =>
  Effect.gen(function* () {
    const machine = yield* boot(shell("sleep 100000", { holdNanos: 0 }))
    yield* until(machine, "HeartbeatTick")
    const numbers = Array.from({ length: 100 }, (_, i) => i)
    const outputs = yield* Effect.forEach(numbers, (i) => sh(machine, `sleep 0.${i % 7}; echo ${i}`), {
      concurrency: "unbounded"
    })
    assert.deepStrictEqual(outputs, numbers.map(String))
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("clones-of-a-held-guest-take-their-own-identity-before-the-workload-runs", () =>
  Effect.gen(function* () {
    const script = "echo id $(cat /proc/sys/kernel/random/uuid) $(hostname) $NAME $(cat /etc/machine-id) $(date -u +%s)"
    const original = yield* boot(shell(script))
    yield* until(original, "WorkloadPreExec")
    const outputs: Array<ReadonlyArray<string>> = []
    for (let i = 0; i < 12; i++) {
      const clone = yield* original.fork
      yield* identify(clone, {
        // The last two get the same entropy.
        entropy: Buffer.alloc(32, Math.min(i, 10)),
        hostname: `clone-${i}`,
        machineId: i.toString(16).padStart(32, "0"),
        env: { NAME: `name-${i}` },
        realtimeNanos: 1_800_000_000_000_000_000n + BigInt(i) * 1_000_000_000n
      })
      const before = lines(yield* clone.eventsSoFar())
      assert.isFalse(before.some((line) => line.startsWith("id ")))
      yield* until(clone, "WorkloadExited")
      const line = lines(yield* clone.eventsSoFar()).find((text) => text.startsWith("id "))
      outputs.push(line?.trim().split(" ").slice(1) ?? [])
    }
    for (const [i, [, hostname, name, machineId, seconds]] of outputs.entries()) {
      assert.deepStrictEqual([hostname, name, machineId], [`clone-${i}`, `name-${i}`, i.toString(16).padStart(32, "0")])
      assert.strictEqual(Number(seconds), 1_800_000_000 + i)
    }
    const ids = outputs.map(([id]) => id)
    assert.strictEqual(new Set(ids).size, 11)
    assert.strictEqual(ids[10], ids[11])
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("an-identity-that-arrives-as-the-hold-ends-comes-first", () =>
  Effect.gen(function* () {
    const holdNanos = 5_000_000
    const original = yield* boot(shell("echo host $(hostname)", { holdNanos, heartbeatMillis: 0 }))
    const held = yield* until(original, "WorkloadPreExec")
    const late: Array<string | undefined> = []
    for (let before = 0; before <= 60; before++) {
      const clone = yield* original.fork
      yield* clone.run({ atNanos: held.atNanos + holdNanos - before * 2_000 })
      yield* clone.requestIdentity(identity({ hostname: "clone" }))
      yield* until(clone, "WorkloadExited")
      late.push(lines(yield* clone.eventsSoFar()).find((line) => line.startsWith("host ")))
    }
    assert.deepStrictEqual(new Set(late), new Set(["host clone"]))
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("a-quiesced-guest-is-silent-and-its-workload-runs-again-only-after-the-acknowledgement", () =>
  Effect.gen(function* () {
    const machine = yield* boot(
      shell("probe listen-again; i=0; while :; do i=$((i+1)); echo tick $i; usleep 1000; done")
    )
    yield* until(machine, "ListenerBound")
    yield* machine.run({ budgetNanos: 200e6 })
    const token = yield* machine.requestQuiesce
    const quiesced = yield* until(machine, "AgentQuiesced", "AgentRejected")
    assert(quiesced._tag === "AgentQuiesced" && quiesced.token === token)
    const ticks = Effect.fnUntraced(function* (from: Machine, seq?: number) {
      return lines(yield* from.eventsSoFar(seq)).filter((line) => line.startsWith("tick "))
    })

    const still = yield* machine.fork
    yield* still.run({ budgetNanos: 10e9 })
    const kinds = new Set((yield* still.eventsSoFar()).map((event) => event._tag))
    assert.isFalse(kinds.has("HeartbeatTick"))
    assert.deepStrictEqual(yield* ticks(still), [])

    const clone = yield* machine.fork
    assert.strictEqual(yield* sh(clone, "hostname"), "stillpoint")
    const applied = yield* identify(clone, { hostname: "clone", thaw: true })
    assert.deepStrictEqual(yield* ticks(clone), [])
    const thawed = yield* until(clone, "AgentThawed")
    assert.isAtLeast(thawed.seq, applied.seq)
    yield* clone.run({ budgetNanos: 200e6 })
    assert.isAbove((yield* ticks(clone, applied.seq)).length, 5)
    assert.isTrue((yield* clone.eventsSoFar(applied.seq)).some((event) => event._tag === "HeartbeatTick"))
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("a-workload-has-no-way-to-the-agent-or-the-machine", () =>
  Effect.gen(function* () {
    const machine = yield* boot(shell("exec probe reach /dev/ttyS1", { holdNanos: 0 }))
    const exited = yield* until(machine, "WorkloadExited")
    assert(exited._tag === "WorkloadExited" && exited.code === 0, lines(yield* machine.eventsSoFar(0)).join("\n"))
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

const fillFiles = `for folder in / /tmp /run /var /dev /dev/shm; do
  dd if=/dev/zero of=$folder/fill bs=4k
  i=0; while : > $folder/fill$i; do i=$((i+1)); done
done; exit 3`

for (const [what, script] of [
  ["every-file-system", fillFiles],
  ["the-memory", "exec probe fill-memory"],
  ["the-processes", "exec probe fill-processes"],
  ["the-processor-in-real-time", "exec probe real-time"]
] as const) {
  it.effect(`commands-run-though-the-workload-takes-${what}`, () =>
    Effect.gen(function* () {
      const machine = yield* boot(shell(`${script} 2> /dev/null`, { holdNanos: 0, heartbeatMillis: 0 }))
      yield* until(machine, "WorkloadPreExec")
      yield* machine.run({ kinds: ["WorkloadExited", "GuestPanicked", "GuestReset"], budgetNanos: 2e9 })
      assert.strictEqual(yield* sh(machine, "stillpoint-emit seen; echo $(ls /bin | wc -l)"), "111")
      const kinds = (yield* machine.eventsSoFar()).map((event) => event._tag)
      assert.include(kinds, "Custom")
    }).pipe(Effect.provide(layer), TestClock.withLive)
  )
}

it.effect("large-input-and-output-of-a-command-arrive-whole", () =>
  Effect.gen(function* () {
    const machine = yield* boot({})
    yield* until(machine, "AgentReady")
    const stdin = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff))
    const { stdout, stderr, code } = yield* machine.exec({
      argv: ["/bin/sh", "-c", "cat; echo done >&2; exit 9"],
      stdin
    })
    assert.strictEqual(Buffer.compare(Buffer.from(stdout), stdin), 0)
    assert.strictEqual(Buffer.from(stderr).toString(), "done\n")
    assert.strictEqual(code, 9)
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("kernel-modules-of-the-kit-are-loaded", () =>
  Effect.gen(function* () {
    const machine = yield* boot({ modules: ["virtio_mmio", "virtio-rng"] })
    yield* until(machine, "AgentReady")
    assert.match(yield* sh(machine, "cat /sys/class/misc/hw_random/rng_available"), /virtio_rng/)
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

/** What the workload did, as the host is told: the events' fields without their place and time. */
const told = Effect.fnUntraced(function* (machine: Machine, last: GuestEventKind) {
  yield* until(machine, last)
  const kinds = new Set(["ListenerBound", "WorkloadParked", "WorkloadExited", "WorkloadFailed", "Custom"])
  return (yield* machine.eventsSoFar())
    .filter((event) => kinds.has(event._tag))
    .map(({ seq: _seq, atNanos: _atNanos, ...rest }) => rest)
})

const exited = (code: number | null, signal: number | null = null) => ({ _tag: "WorkloadExited", code, signal })
const bound = (protocol: "tcp" | "udp", address: string, port: number) => ({
  _tag: "ListenerBound",
  protocol,
  address,
  port
})

for (const [name, script, expected] of [
  ["exits-with-a-code", "exit 7", [exited(7)]],
  ["crashes", "kill -SEGV $$", [exited(null, 11)]],
  ["parks", "usleep 300000 & exit 0", [{ _tag: "WorkloadParked" }, exited(0)]],
  ["fails-with-children-left", "sleep 1000 & exit 1", [exited(1)]],
  ["leaves-a-server-behind", "httpd -p 80; sleep 1; killall httpd & exit 0", [bound("tcp", "::", 80), exited(0)]],
  [
    "listens-in-many-ways",
    [
      "probe listen-again; probe thread-listen",
      "probe unix-peer || exit 20",
      "probe bind-as 1000 53 && exit 21",
      "probe bind-as 1000 5300 || exit 22",
      "probe udp ::1 53 & usleep 100000; kill $!",
      "probe udp 0.0.0.0 0 & usleep 100000; kill $!",
      "exit 9"
    ].join("\n"),
    // Each once, however often it calls listen; no unix socket, no refused bind, and no client's port.
    [
      bound("tcp", "0.0.0.0", 7000),
      bound("tcp", "0.0.0.0", 7001),
      bound("udp", "0.0.0.0", 5300),
      bound("udp", "::1", 53),
      exited(9)
    ]
  ],
  [
    "sends-events",
    `stillpoint-emit warm '{"a":[1]}'; stillpoint-emit plain; stillpoint-emit 'bad name'; stillpoint-emit bad '{a}'; exit 5`,
    [{ _tag: "Custom", name: "warm", payload: { a: [1] } }, { _tag: "Custom", name: "plain", payload: null }, exited(5)]
  ]
] as const) {
  it.effect(`a-workload-that-${name}-is-told-as-that`, () =>
    Effect.gen(function* () {
      const machine = yield* boot(shell(script, { holdNanos: 0 }))
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* told(machine, "WorkloadExited"), expected)
    }).pipe(Effect.provide(layer), TestClock.withLive)
  )
}

for (const [argv, cwd, stage, errno] of [
  [["nowhere-in-path"], "/", "exec", 2],
  [["/etc/passwd"], "/", "exec", 13],
  [["/bin/true"], "/no/such", "cwd", 2]
] as const) {
  it.effect(`a-workload-that-cannot-start-says-why-${stage}-${errno}`, () =>
    Effect.gen(function* () {
      const machine = yield* boot({ workload: { argv, cwd }, holdNanos: 0 })
      const [failed] = yield* told(machine, "WorkloadFailed")
      assert(failed?._tag === "WorkloadFailed")
      assert.deepStrictEqual([failed.stage, failed.errno], [stage, errno])
      assert.strictEqual(yield* sh(machine, "echo alive"), "alive")
    }).pipe(Effect.provide(layer), TestClock.withLive)
  )
}

it.effect("where-the-kernel-tells-nothing-listeners-are-found-by-looking", () =>
  Effect.gen(function* () {
    const machine = yield* boot(shell("exec httpd -f -p 127.0.0.1:8081", { listeners: "scan" }))
    assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* told(machine, "ListenerBound"), [
      bound("tcp", "127.0.0.1", 8081)
    ])
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("console-text-that-looks-like-the-agents-is-no-event", () =>
  Effect.gen(function* () {
    const script = "echo workload-pre-exec; echo heartbeat counter=1000; exit 4"
    const machine = yield* boot(shell(script, { heartbeatMillis: 0, holdNanos: 0 }))
    assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* told(machine, "WorkloadExited"), [exited(4)])
    const events = yield* machine.eventsSoFar()
    assert.strictEqual(events.filter((event) => event._tag === "WorkloadPreExec").length, 1)
    assert.isFalse(events.some((event) => event._tag === "HeartbeatTick"))
    assert.include(lines(events), "heartbeat counter=1000")
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("markers-for-hosts-that-read-the-console-are-printed-on-request", () =>
  Effect.gen(function* () {
    const machine = yield* boot(shell("sleep 1; exit 0", { consoleMarkers: true }))
    yield* until(machine, "WorkloadExited")
    const printed = lines(yield* machine.eventsSoFar())
    for (const marker of ["workload-pre-exec", "heartbeat counter=1", "heartbeat counter=5"])
      assert.include(printed, marker)
  }).pipe(Effect.provide(layer), TestClock.withLive)
)
