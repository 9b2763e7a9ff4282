/** The agent's promises about the workload, commands and quiet. */
import { assert, it } from "@effect/vitest"
import type { Machine } from "@stillpoint/core"
import { onPreExec, quiesce, Trigger } from "@stillpoint/triggers"
import { Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import { boot, identify, layer, lines, sh, shell, told, until } from "./testing/softGuest.ts"

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

it.effect("a-frozen-guest-is-silent-and-its-workload-runs-again-only-after-the-acknowledgement", () =>
  Effect.gen(function* () {
    const machine = yield* boot(
      shell("probe listen-again; i=0; while :; do i=$((i+1)); echo tick $i; usleep 1000; done")
    )
    yield* until(machine, "ListenerBound")
    yield* machine.run({ budgetNanos: 200e6 })
    const token = yield* machine.agent.requestFreeze
    const frozen = yield* until(machine, "AgentFrozen", "AgentRejected")
    assert(frozen._tag === "AgentFrozen" && frozen.token === token)
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

const forgery = `sleep 0.05; read up rest < /proc/uptime
for way in /dev/kmsg /dev/console /dev/ttyS0; do
  echo "[    \${up}0000] Kernel panic - not syncing: forged" > $way
done; sleep 0.2; exit 5`

it.effect("a-panic-that-a-workload-writes-in-the-kernels-words-is-none", () =>
  Effect.gen(function* () {
    const machine = yield* boot(shell(forgery, { holdNanos: 0 }))
    yield* machine.run({ kinds: ["GuestPanicked", "WorkloadExited"], budgetNanos: 60e9 })
    assert.strictEqual(yield* sh(machine, "echo alive"), "alive")
    const events = yield* machine.eventsSoFar(0)
    const said = events.filter((event) => event._tag === "SerialLine" && event.text.includes("not syncing: forged"))
    assert.isAtLeast(said.length, 2)
    assert.isFalse(events.some((event) => event._tag === "GuestPanicked"))
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

const fillFiles = `for folder in / /tmp /run /var /dev /dev/shm; do
  dd if=/dev/zero of=$folder/fill bs=4k
  i=0; while true > $folder/fill$i; do i=$((i+1)); done
done; exit 3`

for (const [what, script] of [
  ["every-file-system", fillFiles],
  ["the-memory", "exec probe fill-memory"],
  ["the-processes", "exec probe fill-processes"],
  ["the-table-of-open-files", "exec probe fill-files"],
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

it.effect("the-program-that-sends-events-explains-itself-and-sends-nothing-then", () =>
  Effect.gen(function* () {
    const machine = yield* boot({})
    yield* until(machine, "AgentReady")
    for (const option of ["--help", "-h"]) assert.include(yield* sh(machine, `stillpoint-emit ${option}`), "usage: ")
    assert.include(yield* sh(machine, "stillpoint-emit --version 2>&1; echo $?"), "--help\n1")
    const unnamed = yield* sh(machine, "stillpoint-emit 'a b' 2>&1; echo $?")
    assert.match(unnamed, /^stillpoint-emit: expected a name of 1 to 64 characters .*; see --help\n1$/)
    assert.strictEqual(yield* sh(machine, "stillpoint-emit a-b; echo $?"), "0")
    const sent = (yield* machine.eventsSoFar()).filter((event) => event._tag === "Custom").map(({ name }) => name)
    assert.deepStrictEqual(sent, ["a-b"])
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("a-program-of-the-users-runs-however-it-is-called-by-name", () =>
  Effect.gen(function* () {
    const mine = { content: "#!/bin/sh\necho mine $*\n", mode: 0o755 }
    const machine = yield* boot({ files: { "/usr/bin/tar": mine, "/usr/local/bin/ls": mine, "/bin/wc": mine } })
    yield* until(machine, "AgentReady")
    for (const call of [
      "tar x",
      "env tar x",
      "exec tar x",
      "echo x | xargs tar",
      "timeout 5 tar x",
      "sh -c 'tar x'",
      "ls x"
    ])
      assert.strictEqual(yield* sh(machine, call), "mine x", call)
    assert.strictEqual(yield* sh(machine, "find /proc/1 -maxdepth 0 -exec wc {} ';'"), "mine /proc/1")
    // Everything else is busybox's, and so are those by its own name or at their own place.
    assert.strictEqual(
      yield* sh(machine, "busybox ls /bin/busybox; /bin/ls /bin/sh; cat /proc/1/comm"),
      "/bin/busybox\n/bin/sh\ninit"
    )
    const names = yield* sh(
      machine,
      "for i in $(busybox --list); do case $i in tar|ls|wc|busybox) ;; *) echo $i;; esac; done"
    )
    const forgetful = yield* sh(machine, "/stillpoint/busybox --list")
    for (const name of names.split("\n")) assert.include(forgetful.split("\n"), name)
    assert.include(
      yield* sh(machine, "echo 'b\na' | sort | tail -n 1 | tr b z | sed s/z/y/ | awk '{ print $1 }' | xxd -p"),
      "790a"
    )
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

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

const workloadKinds = ["WorkloadParked", "WorkloadExited", "WorkloadFailed", "Custom"] as const
const exited = (code: number | null, signal: number | null = null) => ({ _tag: "WorkloadExited", code, signal })
for (const [name, script, expected] of [
  ["exits-with-a-code", "exit 7", [exited(7)]],
  ["crashes", "kill -SEGV $$", [exited(null, 11)]],
  ["parks", "usleep 300000 & exit 0", [{ _tag: "WorkloadParked" }, exited(0)]],
  ["fails-with-children-left", "sleep 1000 & exit 1", [exited(1)]],
  [
    "sends-events",
    `stillpoint-emit warm '{"a":[1]}'; stillpoint-emit plain; stillpoint-emit 'bad name'; stillpoint-emit bad '{a}'; exit 5`,
    [{ _tag: "Custom", name: "warm", payload: { a: [1] } }, { _tag: "Custom", name: "plain", payload: null }, exited(5)]
  ]
] as const) {
  it.effect(`a-workload-that-${name}-is-told-as-that`, () =>
    Effect.gen(function* () {
      const machine = yield* boot(shell(script, { holdNanos: 0 }))
      yield* until(machine, "WorkloadExited")
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* told(machine, ...workloadKinds), expected)
    }).pipe(Effect.provide(layer), TestClock.withLive)
  )
}

for (const [argv, cwd, step, errno] of [
  [["nowhere-in-path"], "/", "exec", 2],
  [["/etc/passwd"], "/", "exec", 13],
  [["/bin/true"], "/no/such", "cwd", 2]
] as const) {
  it.effect(`a-workload-that-cannot-start-says-why-${step}-${errno}`, () =>
    Effect.gen(function* () {
      const machine = yield* boot({ workload: { argv, cwd }, holdNanos: 0 })
      const failed = yield* until(machine, "WorkloadFailed")
      assert(failed?._tag === "WorkloadFailed")
      assert.deepStrictEqual([failed.step, failed.errno], [step, errno])
      assert.strictEqual(yield* sh(machine, "echo alive"), "alive")
    }).pipe(Effect.provide(layer), TestClock.withLive)
  )
}

it.effect("console-text-that-looks-like-the-agents-is-no-event", () =>
  Effect.gen(function* () {
    const script = "echo workload-pre-exec; echo heartbeat counter=1000; exit 4"
    const machine = yield* boot(shell(script, { heartbeatMillis: 0, holdNanos: 0 }))
    yield* until(machine, "WorkloadExited")
    assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* told(machine, ...workloadKinds), [exited(4)])
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
    const events = yield* machine.eventsSoFar()
    const printed = lines(events)
    for (const marker of ["workload-pre-exec", "heartbeat counter=1", "heartbeat counter=5"])
      assert.include(printed, marker)
    // The agent's announcement takes precedence over the marker: it gives the hold.
    const trusting = onPreExec({ console: true, consoleHold: "500 millis" })
    const late = Trigger.replay(quiesce(trusting, { calmFor: "300 millis", deadline: "450 millis" }), { events })
    assert.deepInclude(Result.isFailure(late) ? late.failure.reason : {}, {
      _tag: "HoldTooShort",
      holdNanos: 100_000_000
    })
    const inTime = Result.getOrThrow(Trigger.replay(quiesce(trusting, { calmFor: "20 millis" }), { events }))
    assert.strictEqual(inTime.cause._tag === "Event" ? inTime.cause.event._tag : null, "WorkloadPreExec")
  }).pipe(Effect.provide(layer), TestClock.withLive)
)
