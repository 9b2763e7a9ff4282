/**
 * What a guest of an amd64 image does under KVM, asked through the addon: one line for each case, `ok NAME` or `not ok NAME: why`.
 *
 * ```text
 * node cases.js GUEST FOLDER                  boots once and captures; each case has a clone of the snapshot
 * node cases.js clone SNAPSHOT                restores a clone in this process, and says what it answers
 * node cases.js stage SNAPSHOT TARGET         captures a clone for a publish, until it is killed
 * ```
 * `scripts/kvm/suite.sh` runs it where KVM is emulated; it runs as well on a host whose KVM is real.
 *
 * @module
 */
import { execFile, spawn } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs"
import { get } from "node:http"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { type BootSpec, Gate, Journal, type Machine, Pipeline, SnapshotStore, Vmm } from "@stillpoint/core"
import { confineGuests, NativeVmm } from "@stillpoint/native"
import { afterGuestTime, onListener, precedence, quiesce } from "@stillpoint/triggers"
import { Cause, Effect, Exit, Layer, Schema, type Scope } from "effect"

/** Far above what anything takes where page tables are emulated, too. */
const patience = { guestTimeout: "100 seconds", hostTimeout: "300 seconds", clockTolerance: "1 second" } as const
const commandNanos = 100e9

/** The guest that `build.ts` has written; no engine is named. */
const spec = (guest: string): BootSpec => ({
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- checked by the boot
  ...(JSON.parse(readFileSync(guest, "utf8")) as BootSpec),
  memoryMib: 128,
  network: {},
  // What a kernel says on its console costs an exit for each character.
  commandLine: "console=ttyS0 panic=-1 quiet cryptomgr.notests nokaslr",
  // Looking at the pages that were written costs where page tables are emulated.
  dirtySampleNanos: 0
})

/** Best: it listens, and is calm then. Else where it is after so long. */
const policy = precedence([
  quiesce(onListener({ port: 8080 }), { calmFor: "5 millis", deadline: "300 seconds" }),
  afterGuestTime("900 seconds")
])

const page = "a page of amd64"

class NotSo extends Schema.TaggedError<NotSo>()("NotSo", { message: Schema.String }) {}

const expect = (what: string, found: unknown, expected: unknown) => {
  const said = `${what}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`
  return found === expected ? Effect.void : Effect.fail(new NotSo({ message: said }))
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString().trim()

const run = (machine: Machine, ...argv: [string, ...Array<string>]) =>
  Effect.map(machine.exec({ argv, timeoutNanos: commandNanos }), ({ stdout }) => text(stdout))

const answered = (url: string) =>
  Effect.tryPromise(
    () =>
      new Promise<string>((resolve, reject) => {
        get(url, (response) => {
          const parts: Array<Buffer> = []
          response.on("data", (part: Buffer) => parts.push(part))
          response.on("end", () => resolve(text(Buffer.concat(parts))))
        }).on("error", reject)
      })
  )

/** A page of the guest's, through a port of this host's. */
const served = Effect.fn("served")(function* (machine: Machine) {
  const { host, hostPort } = yield* machine.ports.publish({ port: 8080 })
  yield* machine.live()
  return yield* answered(`http://${host}:${hostPort}/`)
}, Effect.scoped)

/** What a machine that has passed its gate says of itself. */
const said = Effect.fn("said")(function* ({ identity, machine }: Gate.GatedMachine) {
  const hostname = yield* run(machine, "hostname")
  const uuid = yield* run(machine, "cat", "/proc/sys/kernel/random/uuid")
  return { told: identity.hostname ?? "", hostname, uuid, page: yield* served(machine) }
})
type Said = Effect.Success<ReturnType<typeof said>>

const clone = (snapshot: string) => Gate.restore(snapshot, patience)

const cloneElsewhere = Effect.fn("cloneElsewhere")(function* (snapshot: string) {
  const args = [fileURLToPath(import.meta.url), "clone", snapshot]
  const { stdout } = yield* Effect.tryPromise(() => promisify(execFile)(process.execPath, args, { encoding: "utf8" }))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this program wrote it
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Said
})

let isGood = true

/** Says how a case went; nothing of what it says stops the others. */
const report = <A, E, R>(name: string, work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const begun = performance.now()
    const exit = yield* Effect.exit(Effect.scoped(work))
    if (Exit.isSuccess(exit)) {
      console.log(`ok ${name} (${((performance.now() - begun) / 1e3).toFixed(1)} s)`)
      return exit.value
    }
    isGood = false
    console.log(`not ok ${name}: ${Cause.pretty(exit.cause).split("\n").slice(0, 6).join(" · ")}`)
    return undefined
  })

const captured = Effect.fn("captured")(function* (guest: string, target: string) {
  const { value } = yield* Pipeline.run(spec(guest), { policy, target })
  yield* expect("the engine that the kernel is for", value.snapshot.manifest.engine, "kvm")
  const { cause } = value.firing
  if (cause._tag !== "Event") {
    const told = Buffer.from(yield* (yield* SnapshotStore).timeline(value.snapshot)).toString()
    for (const line of told.trim().split("\n").slice(-20)) console.log(`  ${line.slice(0, 300)}`)
  }
  yield* expect("its cause", cause._tag === "Event" ? cause.event._tag : cause._tag, "ListenerBound")
  yield* expect("frozen for its calm", value.snapshot.manifest.capture.isWorkloadFrozen, true)
})

const threeClones = Effect.fn("threeClones")(function* (snapshot: string) {
  const all = [
    yield* Effect.flatMap(clone(snapshot), said),
    yield* Effect.flatMap(clone(snapshot), said),
    yield* cloneElsewhere(snapshot)
  ]
  for (const each of all) {
    yield* expect("the page", each.page, page)
    yield* expect("its name", each.hostname, each.told)
  }
  yield* expect("names", new Set(all.map(({ hostname }) => hostname)).size, 3)
  yield* expect("what the kernels drew", new Set(all.map(({ uuid }) => uuid)).size, 3)
})

const commandsAndFiles = Effect.fn("commandsAndFiles")(function* (snapshot: string) {
  const { machine } = yield* clone(snapshot)
  yield* expect("its processor", yield* run(machine, "uname", "-m"), "x86_64")
  const mounts = yield* run(machine, "mount")
  yield* expect("its root", /^overlay on \/ type overlay/m.test(mounts), true)
  const failed = yield* machine.exec({ argv: ["sh", "-c", "cat; echo wrong >&2; exit 3"], stdin: "in" })
  yield* expect("a command", [failed.code, text(failed.stdout), text(failed.stderr)].join(), "3,in,wrong")
  yield* machine.files.write("/tmp/mark", Buffer.from("of the host"))
  yield* expect("read by the guest", yield* run(machine, "cat", "/tmp/mark"), "of the host")
  yield* expect("read by the host", text(yield* machine.files.read("/www/index.html")), page)
})

const reaches = Effect.fn("reaches")(function* (snapshot: string) {
  const { machine } = yield* clone(snapshot)
  const tried = yield* machine.exec({ argv: ["probe", "reach", "/dev/ttyS1"], timeoutNanos: commandNanos })
  const lines = text(tried.stdout).split("\n")
  if (tried.code !== 0) for (const line of lines) console.log(`  ${line}`)
  yield* expect("ways that are open", tried.code, 0)
  yield* expect("ways that were tried", lines.length > 150, true)
})

const forkAndDelta = Effect.fn("forkAndDelta")(function* (snapshot: string, folder: string) {
  const { machine, snapshot: parent } = yield* clone(snapshot)
  yield* run(machine, "sh", "-c", "echo before > /tmp/mark")
  const fork = yield* Gate.fork(machine, false, patience)
  yield* run(machine, "sh", "-c", "echo after > /tmp/mark")
  yield* expect("a fork", yield* run(fork.machine, "cat", "/tmp/mark"), "before")
  yield* expect("its name", yield* run(fork.machine, "hostname"), fork.identity.hostname)
  const delta = join(folder, "delta")
  mkdirSync(delta)
  const { identity } = yield* machine.capture(delta, { parent: parent.manifest.identity })
  const digest = yield* machine.digest
  const restored = yield* (yield* Vmm).restore(delta, { identity, parents: parent.layers })
  yield* expect("its whole state", yield* restored.digest, digest)
  yield* expect("a delta", yield* run(restored, "cat", "/tmp/mark"), "after")
})

const killed = Effect.fn("killed")(function* (snapshot: string, folder: string) {
  const target = join(folder, "killed")
  const args = [fileURLToPath(import.meta.url), "stage", snapshot, target]
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
  const signal = yield* Effect.promise(
    () =>
      new Promise<string | null>((resolve) => {
        child.stdout.once("data", () => child.kill("SIGKILL"))
        child.once("exit", (_code, how) => resolve(how))
      })
  )
  yield* expect("its end", signal, "SIGKILL")
  yield* expect("what it published", existsSync(target), false)
  yield* (yield* SnapshotStore).sweep(folder)
  yield* expect("what it left", readdirSync(folder).filter((name) => name.startsWith(".")).length, 0)
  yield* expect("the snapshot", (yield* Effect.flatMap(clone(snapshot), said)).page, page)
})

const stage = Effect.fn("stage")(function* (snapshot: string, target: string) {
  const { machine } = yield* clone(snapshot)
  const staging = yield* (yield* SnapshotStore).stage(target)
  console.log("captures")
  return yield* Effect.forever(machine.capture(staging.directory))
})

const suite = Effect.fn("suite")(function* (guest: string, folder: string) {
  const snapshot = join(folder, "web")
  yield* report("an-amd64-image-boots-as-the-root-and-is-captured-in-its-calm", captured(guest, snapshot))
  if (!isGood) return
  yield* report("three-gated-clones-one-elsewhere-answer-through-ports-and-are-others", threeClones(snapshot))
  yield* report("commands-and-files-go-in-and-out", commandsAndFiles(snapshot))
  yield* report("a-command-has-no-way-to-the-agent-or-the-machine", reaches(snapshot))
  yield* report("a-fork-and-a-delta-have-what-was", forkAndDelta(snapshot, folder))
  yield* report("a-process-killed-at-its-capture-leaves-nothing-half-made", killed(snapshot, folder))
})

const services = Layer.mergeAll(NativeVmm.layer, SnapshotStore.layerHost, Journal.layerMemory)
const [first = "", second = "", third = ""] = process.argv.slice(2)
const program: Effect.Effect<void, unknown, Scope.Scope | Vmm | SnapshotStore | Journal> =
  first === "clone"
    ? Effect.map(Effect.flatMap(clone(second), said), (found) => console.log(JSON.stringify(found)))
    : first === "stage"
      ? stage(second, third)
      : suite(first, second)
// All of it on confined threads.
await Effect.runPromise(Effect.andThen(confineGuests, Effect.scoped(program)).pipe(Effect.provide(services)))
process.exitCode = isGood ? 0 : 1
