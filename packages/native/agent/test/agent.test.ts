/**
 * The agent's promises, frame by frame, in guests under QEMU: an implementation of the machine that is not ours.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import { type GuestConfigInput, GuestKit } from "@stillpoint/kit"
import { Context, Effect, Layer } from "effect"
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as NativeAgent from "../../src/NativeAgent.ts"
import { frame, type GuestFrame } from "../../../../scripts/contract/frames.ts"
import { hostFrames } from "./testing/agentFrames.ts"
import { type QemuGuest, qemuGuest, qemuMissing } from "./testing/QemuGuest.ts"

const agentFolder = fileURLToPath(new URL("..", import.meta.url))
const probePath = join(agentFolder, "build/probe")

const why = [qemuMissing, existsSync(probePath) ? "" : `${probePath} is not built`].find((reason) => reason !== "")

/** A guest whose agent is ready. */
const booted = Effect.fnUntraced(
  function* (config: GuestConfigInput) {
    const kit = yield* GuestKit
    const { kernelPath } = yield* kit.files
    const probe = { from: probePath, mode: 0o755 }
    const initramfs = yield* kit.initramfs({ ...config, files: { ...config.files, "/bin/probe": probe } })
    const guest = yield* qemuGuest(kernelPath, initramfs)
    yield* guest.until("AgentReady")
    return guest
  },
  Effect.provide(Layer.provide(GuestKit.layer, NativeAgent.layer))
)

type Check = (guest: QemuGuest) => Effect.Effect<void>

const named = (name: string): string => (why === undefined ? name : `${name} (skipped: ${why})`)

/** A test with a guest of its own, or a test that says why it cannot be run here. */
const guestTest = (name: string, config: GuestConfigInput, check: Check) =>
  it.effect.skipIf(why !== undefined)(named(name), () => Effect.flatMap(booted(config), check))

class PlainGuest extends Context.Service<PlainGuest, QemuGuest>()("PlainGuest") {}

/** Tests of one guest that has no workload, one after the other: each leaves it as another can use it. */
const plainGuestTests = (checks: Readonly<Record<string, Check>>) =>
  describe.skipIf(why !== undefined)("a guest without a workload", () => {
    layer(Layer.effect(PlainGuest, booted({})), { excludeTestServices: true })((it) => {
      for (const [name, check] of Object.entries(checks))
        it.effect(named(name), () => Effect.flatMap(PlainGuest, check))
    })
  })

const shell = (script: string, more: GuestConfigInput = {}): GuestConfigInput => ({
  ...more,
  workload: { argv: ["/bin/sh", "-c", script] }
})

const brief = (frames: ReadonlyArray<GuestFrame>) => frames.map(({ name, fields }) => [name, ...fields])

/** Runs a command: what it wrote and how it ended. */
const run = Effect.fnUntraced(function* (
  guest: QemuGuest,
  id: number,
  argv: ReadonlyArray<string>,
  more?: Parameters<typeof hostFrames.exec>[2]
) {
  guest.send(hostFrames.exec(id, argv, more))
  const frames = yield* guest.until((found) => found.name === "ExecExited" && found.fields[0] === id)
  const text = (stream: number) =>
    frames
      .filter((found) => found.name === "ExecOutput" && found.fields[0] === id && found.fields[1] === stream)
      .map((found) => found.fields[2])
      .join("")
  return { out: text(1), err: text(2), ended: frames.at(-1)?.fields.slice(1) }
})

it("the-parts-without-input-or-output-hold-their-promises-under-sanitizers", () => {
  const made = spawnSync("make", ["-C", agentFolder, "--no-print-directory", "check"], { encoding: "utf8" })
  assert.strictEqual(made.status, 0, made.stdout + made.stderr)
  assert.match(made.stdout, /[1-9]\d* checks, 0 failures/)
  assert.match(made.stdout, /[1-9]\d* frames, [1-9]\d* served, [1-9]\d* refused/)
})

guestTest(
  "a-service-is-announced-before-it-runs-and-at-the-moment-it-listens",
  { ...shell("exec httpd -f -p 8080 -h /etc"), heartbeatMillis: 20 },
  Effect.fnUntraced(function* (guest) {
    assert.deepStrictEqual(brief(yield* guest.until("ListenerBound")), [
      ["WorkloadPreExec", ["/bin/sh", "-c", "exec httpd -f -p 8080 -h /etc"], 100_000_000n],
      ["ListenerBound", 6, "::", 8080]
    ])
    const got = yield* run(guest, 1, ["wget", "-qO-", "http://127.0.0.1:8080/group"])
    assert.deepStrictEqual(got, { out: "root:x:0:\nnogroup:x:65534:\n", err: "", ended: [0, 0] })
    const beats = [yield* guest.until("HeartbeatTick"), yield* guest.until("HeartbeatTick")].map((frames) =>
      frames.at(-1)
    )
    assert.strictEqual(Number(beats[1]?.fields[0]) - Number(beats[0]?.fields[0]), 1)
    guest.send(hostFrames.powerOff)
    yield* guest.stopped
  })
)

guestTest(
  "a-held-workload-takes-the-identity-that-came-before-the-go",
  shell('stillpoint-emit who "\\"$WHO $(hostname) $(cat /etc/machine-id) $(date -u +%Y)\\""', { hold: "untilGo" }),
  Effect.fnUntraced(function* (guest) {
    yield* guest.until("WorkloadPreExec")
    guest.send(hostFrames.freeze(1))
    yield* guest.until("AgentFrozen")
    const machineId = "0123456789abcdef0123456789abcdef"
    const identity = hostFrames.applyIdentity(2, {
      realtimeNanos: 1_900_000_000_000_000_000n,
      hostname: "clone-1",
      machineId,
      env: ["WHO=me"],
      thaw: true
    })
    // The go arrives with only a part of the identity behind it: the rest is waited for.
    guest.send(hostFrames.go, identity.subarray(0, 30))
    guest.send(identity.subarray(30))
    assert.deepStrictEqual(brief(yield* guest.until("WorkloadExited")), [
      ["IdentityApplied", 2],
      ["AgentThawed", 2],
      ["Custom", "who", `"me clone-1 ${machineId} 2030"`],
      ["WorkloadExited", 0, 0]
    ])
    guest.send(hostFrames.go)
    assert.strictEqual((yield* guest.until("AgentRejected")).at(-1)?.fields[0], 0x81)
  })
)

guestTest(
  "a-frozen-workload-stands-still-while-commands-run-and-goes-on-after-the-thaw",
  shell("i=0; while :; do i=$((i+1)); echo $i > /tmp/i.new; mv /tmp/i.new /tmp/i; (true); done", {
    heartbeatMillis: 5
  }),
  Effect.fnUntraced(function* (guest) {
    const count = Effect.map(run(guest, 1, ["cat", "/tmp/i"]), ({ out }) => Number(out))
    yield* run(guest, 1, ["sh", "-c", "until [ -e /tmp/i ]; do usleep 1000; done"])
    for (const token of [5, 6, 7]) {
      guest.send(hostFrames.freeze(token))
      assert.deepStrictEqual((yield* guest.until("AgentFrozen")).at(-1)?.fields, [token])
      const before = yield* count
      yield* run(guest, 1, ["usleep", "50000"])
      assert.strictEqual(yield* count, before)
      // Not even a heartbeat disturbs a frozen guest.
      guest.send(hostFrames.exec(2, ["usleep", "50000"]))
      const meanwhile = yield* guest.until((found) => found.name === "ExecExited" || found.name === "HeartbeatTick")
      assert.strictEqual(meanwhile.at(-1)?.name, "ExecExited")
      guest.send(hostFrames.thaw(token))
      assert.deepStrictEqual((yield* guest.until("AgentThawed")).at(-1)?.fields, [token])
      yield* run(guest, 1, ["sh", "-c", `until [ "$(cat /tmp/i)" != ${before} ]; do usleep 1000; done`])
    }
  })
)

guestTest(
  "a-refused-identity-changes-nothing-and-thaws-nothing",
  shell("exec httpd -f -p 80"),
  Effect.fnUntraced(function* (guest) {
    yield* guest.until("ListenerBound")
    guest.send(hostFrames.freeze(1))
    yield* guest.until("AgentFrozen")
    const machineId = "0123456789abcdef0123456789abcdef"
    for (const parts of [
      { entropy: Buffer.alloc(31) },
      { machineId: "xyz" },
      { machineId: machineId.toUpperCase() },
      { hostname: "a b" },
      { hostname: "h".repeat(65) },
      { env: ["novalue"] }
    ]) {
      guest.send(hostFrames.applyIdentity(2, { hostname: "other", machineId, thaw: true, ...parts }))
      const frames = brief(yield* guest.until("AgentRejected"))
      assert.strictEqual(frames.length, 1)
      assert.strictEqual(frames[0]?.[1], 0x87)
    }
    assert.deepStrictEqual(yield* run(guest, 3, ["sh", "-c", "hostname; cat /etc/machine-id"]), {
      out: "stillpoint\n",
      err: "cat: can't open '/etc/machine-id': No such file or directory\n",
      ended: [0, 1]
    })
    const asked = yield* run(guest, 4, ["wget", "-T", "1", "-qO-", "http://127.0.0.1/"])
    assert.include(asked.err, "timed out")
  })
)

guestTest(
  "a-workload-that-stops-the-console-or-kills-everything-does-not-stop-the-agent",
  shell("probe stop-console; kill -9 -1; kill -9 1", { holdNanos: 0, consoleMarkers: true, heartbeatMillis: 2 }),
  Effect.fnUntraced(function* (guest) {
    yield* guest.until("WorkloadExited")
    guest.send(hostFrames.freeze(1))
    yield* guest.until("AgentFrozen")
    assert.strictEqual((yield* run(guest, 10, ["echo", "alive"])).out, "alive\n")
  })
)

plainGuestTests({
  "commands-run-apart-from-each-other-and-report-exactly": Effect.fnUntraced(function* (guest) {
    const mixed = yield* run(guest, 1, ["sh", "-c", "echo out; echo err >&2; cat; pwd; echo $A; exit 3"], {
      env: ["A=1=2"],
      cwd: "/etc",
      input: "in\n"
    })
    assert.deepStrictEqual(mixed, { out: "out\nin\n/etc\n1=2\n", err: "err\n", ended: [0, 3] })
    assert.deepStrictEqual((yield* run(guest, 2, ["sh", "-c", "kill -9 $$"])).ended, [1, 9])
    for (const [argv, cwd, step, errno] of [
      [["/no/such"], "/", "exec", 2],
      [["nowhere-in-path"], "/", "exec", 2],
      [["/etc/passwd"], "/", "exec", 13],
      [["/bin/true"], "/no/such", "cwd", 2]
    ] as const) {
      guest.send(hostFrames.exec(7, argv, { cwd }))
      assert.deepStrictEqual((yield* guest.until("ExecFailed")).at(-1)?.fields.slice(0, 3), [7, step, errno])
    }

    const ids = Array.from({ length: 12 }, (_, i) => 10 + i)
    for (const id of ids) guest.send(hostFrames.exec(id, ["cat"], { open: true }))
    for (const id of ids.toReversed()) guest.send(hostFrames.execStdin(id, `input of ${id}`, true))
    const said = new Map<number, string>()
    for (let left = ids.length; left > 0; left--) {
      for (const { name, fields } of yield* guest.until("ExecExited")) {
        if (name === "ExecOutput") said.set(Number(fields[0]), `${said.get(Number(fields[0])) ?? ""}${fields[2]}`)
      }
    }
    assert.deepStrictEqual(
      [...said].sort(([a], [b]) => a - b),
      ids.map((id) => [id, `input of ${id}`])
    )

    const large = yield* run(guest, 40, ["sh", "-c", "cat; head -c 100000 /dev/zero | tr '\\0' z"], {
      input: "y".repeat(60_000)
    })
    assert.strictEqual(large.out, "y".repeat(60_000) + "z".repeat(100_000))

    guest.send(hostFrames.exec(50, ["sleep", "1000"]), hostFrames.exec(50, ["true"]), hostFrames.execKill(50, 15))
    const killed = brief(yield* guest.until("ExecExited"))
    assert.deepStrictEqual(killed.slice(1), [
      ["AgentRejected", 0x82, 50, 9, "exec 50: a command of this id is running"],
      ["ExecExited", 50, 1, 15]
    ])
    guest.send(hostFrames.execKill(50, 15), hostFrames.execStdin(50, "x", false))
    assert.strictEqual((yield* guest.until("AgentRejected")).at(-1)?.fields[0], 0x84)
    assert.strictEqual((yield* guest.until("AgentRejected")).at(-1)?.fields[0], 0x83)
  }),
  "malformed-frames-are-refused-and-the-agent-lives-on": Effect.fnUntraced(function* (guest) {
    const bad = [
      frame(0x99, Buffer.from("unknown")),
      frame(0x00),
      frame(0x85, Buffer.from([1])),
      frame(0x85, Buffer.alloc(5)),
      frame(0x81, Buffer.from([0])),
      frame(0x82, Buffer.from("0100000000ffffff", "hex")),
      frame(0x82, Buffer.from("01000000000000000000000000000000000000000000000001", "hex")),
      frame(0x87, Buffer.alloc(3)),
      hostFrames.exec(1, ["nul\0inside"]),
      hostFrames.exec(1, [""]),
      frame(0x82, Buffer.alloc(65_535, 0xff))
    ]
    for (const [i, bytes] of bad.entries()) {
      guest.send(bytes)
      assert.deepStrictEqual((yield* guest.until("AgentRejected")).at(-1)?.fields[0], bytes[4], `${i}`)
    }
    let id = 100
    for (const bytes of [
      Buffer.from("ffffffff8101", "hex"),
      Buffer.from("0000000081", "hex"),
      frame(0x81, Buffer.alloc(90)).subarray(0, 50)
    ]) {
      guest.send(bytes)
      assert.deepStrictEqual((yield* guest.until("AgentRejected")).at(-1)?.fields[0], 0)
      // After a broken length the line must be silent before it is understood again: the guest says when.
      const sent: Array<number> = []
      const again = Effect.sync(() => {
        sent.push(id)
        guest.send(hostFrames.exec(id++, ["true"]))
      }).pipe(Effect.andThen(Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 800)))), Effect.forever)
      const [first = 0] = (yield* Effect.raceFirst(guest.until("ExecStarted"), again)).at(-1)?.fields ?? []
      // However late it says so: what was sent behind the first that it has understood is answered, too.
      const left = new Set(sent.filter((one) => one >= Number(first)))
      while (left.size > 0) left.delete(Number((yield* guest.until("ExecExited")).at(-1)?.fields[0]))
    }
    assert.strictEqual((yield* run(guest, 10, ["echo", "alive"])).out, "alive\n")
  }),
  "a-command-has-no-way-to-the-agent-or-the-machine": Effect.fnUntraced(function* (guest) {
    const { out, ended } = yield* run(guest, 1, ["probe", "reach", "/dev/ttyS1"])
    assert.deepStrictEqual(ended, [0, 0], out)
    assert.isAbove(out.split("\n").length, 150)
  }),
  "a-command-that-leaves-children-behind-still-ends": Effect.fnUntraced(function* (guest) {
    const left = yield* run(guest, 1, ["sh", "-c", "(while :; do echo more; usleep 1000; done) & echo first"])
    assert.deepStrictEqual(left.ended, [0, 0])
    assert.include(left.out, "first")
    // Nothing of the child's later output may come, and it is not killed by a closed pipe either.
    const after = yield* run(guest, 2, ["sh", "-c", "usleep 100000; ps | grep -c '[e]cho first'"])
    assert.strictEqual(after.out, "1\n")
  })
})
