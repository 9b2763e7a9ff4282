/** The agent's promises about a new identity. */
import { assert, it } from "@effect/vitest"
import { Gate, type GuestEventKind, type Machine } from "@stillpoint/core"
import type { GuestConfigInput } from "@stillpoint/kit"
import { Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import { boot, identify, identity, layer, lines, sh, shell, until } from "./testing/softGuest.ts"

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
      yield* clone.agent.requestIdentity(identity({ hostname: "clone" }))
      yield* until(clone, "WorkloadExited")
      late.push(lines(yield* clone.eventsSoFar()).find((line) => line.startsWith("host ")))
    }
    assert.deepStrictEqual(new Set(late), new Set(["host clone"]))
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

/** A hook that tells what it was given, and whether the workload had run by then. */
const hookScript = `#!/bin/sh
set | grep ^STILLPOINT_ > /tmp/given
cp /run/stillpoint/identity /tmp/seen
cat /proc/sys/kernel/random/boot_id > /tmp/boot
stillpoint-emit hook "$STILLPOINT_GENERATION"
`

const hooked = (script: string, more: GuestConfigInput = {}): GuestConfigInput => ({
  ...more,
  files: { "/hook": { content: script, mode: 0o755 } },
  identityHook: ["/hook", "argument"]
})

const order = Effect.fnUntraced(function* (machine: Machine, seq: number, ...kinds: ReadonlyArray<GuestEventKind>) {
  return (yield* machine.eventsSoFar(seq)).map((event) => event._tag).filter((tag) => kinds.includes(tag))
})

it.effect("the-hook-of-the-image-runs-with-the-new-identity-before-the-workload-does", () =>
  Effect.gen(function* () {
    const workload = [
      "/bin/sh",
      "-c",
      "cp /run/stillpoint/identity /tmp/mine; stillpoint-emit workload; sleep 1000"
    ] as const
    const original = yield* boot({ ...hooked(hookScript), workload: { argv: workload }, hold: "untilGo" })
    const held = yield* until(original, "WorkloadPreExec")
    assert.include(yield* sh(original, "cat /run/stillpoint/identity"), "STILLPOINT_GENERATION=0")
    const bootId = yield* sh(original, "cat /proc/sys/kernel/random/boot_id")
    const secrets = new Set<string>()
    const bootIds = new Set([bootId])
    for (let i = 1; i <= 2; i++) {
      const clone = yield* original.fork
      const machineId = String(i).padStart(32, "a")
      const from = (yield* identify(clone, { hostname: `clone-${i}`, machineId, entropy: Buffer.alloc(32, i) })).seq
      yield* clone.go
      yield* clone.run({ kinds: ["Custom"], budgetNanos: 5e9 })
      assert.deepStrictEqual(yield* order(clone, held.seq, "Custom", "IdentityApplied"), [
        "Custom",
        "IdentityApplied",
        "Custom"
      ])
      assert.isAbove((yield* clone.eventsSoFar(from)).length, 1)
      const given = (yield* sh(clone, "cat /tmp/given")).replaceAll("'", "")
      for (const line of [
        "STILLPOINT_GENERATION=1",
        `STILLPOINT_HOSTNAME=clone-${i}`,
        `STILLPOINT_MACHINE_ID=${machineId}`
      ])
        assert.include(given.split("\n"), line)
      // The file says the same to everybody, but for the secret; hook and workload have read the same one.
      const file = yield* sh(
        clone,
        "cat /run/stillpoint/identity; cmp /tmp/seen /tmp/mine; stat -c %a /run/stillpoint/identity"
      )
      assert.notInclude(file, "ENTROPY")
      assert.strictEqual(file.split("\n").at(-1), "644")
      for (const line of file.split("\n").slice(0, -1)) assert.include(given.split("\n"), line)
      const secret = /STILLPOINT_ENTROPY=([0-9a-f]{64})/.exec(given)?.[1] ?? ""
      assert.lengthOf(secret, 64)
      secrets.add(secret)
      const [inHook, now] = (yield* sh(clone, "cat /tmp/boot /proc/sys/kernel/random/boot_id")).split("\n")
      assert.strictEqual(inHook, now)
      assert.match(now ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      bootIds.add(now ?? "")
      // A further identity is one generation more, and no mount more.
      yield* identify(clone, { hostname: "again" })
      const again = yield* sh(clone, "cat /run/stillpoint/identity; grep -c boot_id /proc/mounts")
      assert.include(again, "STILLPOINT_GENERATION=2")
      assert.strictEqual(again.split("\n").at(-1), "1")
    }
    assert.strictEqual(secrets.size, 2)
    assert.strictEqual(bootIds.size, 3)
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

for (const [what, script, reason] of [
  ["fails", "#!/bin/sh\nexit 3\n", "HookFailed"],
  ["is-killed", "#!/bin/sh\nkill -9 $$\n", "HookFailed"],
  ["is-no-program", "no program", "HookFailed"],
  ["does-not-end", "#!/bin/sh\n(sleep 1000) & sleep 1000\n", "HookTimedOut"]
] as const) {
  it.effect(`a-hook-that-${what}-refuses-the-identity-and-the-workload-does-not-run`, () =>
    Effect.gen(function* () {
      const workload = { argv: ["/bin/sh", "-c", "stillpoint-emit workload"] as const }
      const machine = yield* boot({
        ...hooked(script),
        workload,
        holdNanos: 50_000_000,
        identityHookNanos: 200_000_000
      })
      const held = yield* until(machine, "WorkloadPreExec")
      const token = yield* machine.agent.requestIdentity(identity({ hostname: "clone", thaw: true }))
      const refused = yield* until(machine, "IdentityApplied", "AgentRejected", "Custom")
      assert(refused._tag === "AgentRejected")
      assert.deepStrictEqual([refused.request, refused.id, refused.reason], ["ApplyIdentity", token, reason])
      yield* machine.run({ budgetNanos: 5e9 })
      assert.deepStrictEqual(yield* order(machine, held.seq, "Custom", "WorkloadExited"), [])
      // The agent lives, and nothing of the hook is left.
      assert.strictEqual(yield* sh(machine, "ps | grep -c '[s]leep 1000'"), "0")
    }).pipe(Effect.provide(layer), TestClock.withLive)
  )
}

it.effect("a-hook-that-takes-its-time-keeps-a-workload-whose-hold-is-over", () =>
  Effect.gen(function* () {
    const workload = { argv: ["/bin/sh", "-c", "stillpoint-emit workload $(hostname)"] as const }
    const script = "#!/bin/sh\nusleep 300000; stillpoint-emit hook\n"
    const machine = yield* boot({ ...hooked(script), workload, holdNanos: 20_000_000 })
    const held = yield* until(machine, "WorkloadPreExec")
    yield* machine.agent.requestIdentity(identity({ hostname: "clone" }))
    yield* machine.go
    // Commands are served meanwhile.
    assert.strictEqual(yield* sh(machine, "echo served"), "served")
    yield* until(machine, "WorkloadExited")
    assert.deepStrictEqual(yield* order(machine, held.seq, "Custom", "IdentityApplied", "WorkloadExited"), [
      "Custom",
      "IdentityApplied",
      "WorkloadExited"
    ])
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("a-frozen-workload-meets-the-signal-when-it-goes-on", () =>
  Effect.gen(function* () {
    const machine = yield* boot({ workload: { argv: ["probe", "on-signal", "10"] }, identitySignal: 10, holdNanos: 0 })
    const heard = Effect.map(
      machine.eventsSoFar(),
      (events) => lines(events).filter((line) => /^signalled/.test(line)).length
    )
    yield* until(machine, "WorkloadPreExec")
    yield* machine.run({ budgetNanos: 200e6 })
    yield* machine.agent.requestFreeze
    yield* until(machine, "AgentFrozen")
    yield* identify(machine, { hostname: "clone" })
    yield* machine.run({ budgetNanos: 1e9 })
    assert.strictEqual(yield* heard, 0)
    yield* machine.agent.requestThaw
    yield* until(machine, "AgentThawed")
    yield* machine.run({ budgetNanos: 100e6 })
    assert.strictEqual(yield* heard, 1)
    // One that runs has it at once; a frame may name another.
    yield* identify(machine, { hostname: "clone-2" })
    yield* machine.run({ budgetNanos: 100e6 })
    assert.strictEqual(yield* heard, 2)
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("a-gate-waits-for-the-hook-and-fails-with-it", () =>
  Effect.gen(function* () {
    const script = "#!/bin/sh\nusleep 50000; stillpoint-emit hook; exit $(cat /etc/how)\n"
    const workload = { argv: ["probe", "on-signal", "12"] as const }
    const original = yield* boot({ ...hooked(script), workload, holdNanos: 0 })
    yield* until(original, "WorkloadPreExec")
    yield* original.run({ budgetNanos: 200e6 })
    for (const [how, options, expected] of [
      [0, { signal: 12 }, undefined],
      [4, {}, "HookFailed"],
      [0, { hookTimeout: "10 millis" }, "HookTimedOut"]
    ] as const) {
      const clone = yield* original.fork
      yield* sh(clone, `echo ${how} > /etc/how`)
      const result = yield* Effect.result(Gate.admit(clone, false, options))
      if (Result.isSuccess(result)) {
        assert.isUndefined(expected)
        yield* clone.run({ budgetNanos: 50e6 })
        assert.include(lines(yield* clone.eventsSoFar()), "signalled")
      } else {
        const { reason } = result.failure
        assert(reason._tag === "IdentityRejected", JSON.stringify(reason))
        assert.strictEqual(reason.why, expected)
      }
    }
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("a-guest-whose-file-systems-are-full-takes-a-new-identity-all-the-same", () =>
  Effect.gen(function* () {
    const fill =
      "i=0; while true > /fill$i; do i=$((i+1)); done; dd if=/dev/zero of=/fill0 bs=4k; stillpoint-emit full; sleep 1000"
    const machine = yield* boot(shell(`(${fill}) 2> /dev/null`, { holdNanos: 0 }))
    yield* until(machine, "Custom")
    yield* identify(machine, { hostname: "clone", machineId: "b".repeat(32) })
    const text = yield* sh(machine, "cat /etc/hostname /etc/machine-id /run/stillpoint/identity")
    assert.deepStrictEqual(text.split("\n").slice(0, 3), ["clone", "b".repeat(32), "STILLPOINT_GENERATION=1"])
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("a-link-in-the-way-of-the-agents-files-is-not-followed", () =>
  Effect.gen(function* () {
    const script = "echo keep > /tmp/mine; ln -s /tmp/mine /etc/.hostname.partial; mkfifo /etc/.machine-id.partial"
    const machine = yield* boot(shell(`${script}; stillpoint-emit laid; sleep 1000`, { holdNanos: 0 }))
    yield* until(machine, "Custom")
    yield* identify(machine, { hostname: "clone", machineId: "c".repeat(32) })
    assert.strictEqual(
      yield* sh(machine, "cat /tmp/mine /etc/hostname /etc/machine-id"),
      `keep\nclone\n${"c".repeat(32)}`
    )
  }).pipe(Effect.provide(layer), TestClock.withLive)
)
