import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { type BootSpec, type Machine, type MachineError, machineReasons, Vmm } from "@stillpoint/core"
import { type SaidBody, toldAgent, toldId, objectIn } from "@stillpoint/core/testing"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Exit, Scope } from "effect"
import { engines } from "../src/engines.ts"
import { guestMemory, limitGuestMemory } from "../src/guestMemory.ts"
import { folder, layer, linux, linuxAt, payload, spinning, waiting } from "./guests.ts"

/** Reasons that no user can bring about on purpose, each with where it is tested or why it exists all the same. */
const fromWithin: Readonly<Record<string, string>> = {
  "BootError.MemorySizeInvalid":
    "the schema of this side is stricter; machine::tests::machines_that_cannot_be_made_say_why",
  "BootError.MachineInvalid": "boards describe machines that they can make; machine::description",
  "BootError.DeviceTreeFailed": "the writer of device trees does not fail on what is given to it",
  "BootError.MemoryOutOfRange": "places are checked before anything is written to them",
  "BootError.SnapshotChunkCorrupt": "nothing that boots has a snapshot; memory's errors are one type",
  "BootError.SnapshotChunkUnreadable": "as above",
  "MachineError.EventsLost": "ten million events; event_log.rs",
  "MachineError.TooLittleEntropy": "the schema of this side names it InvalidIdentity; control::encode",
  "MachineError.FrameInvalid": "frames are built here; machine::tests::frames_of_the_hosts_are_checked",
  "MachineError.RenewalInvalid": "renewal.test.ts",
  "MachineError.FramesInvalid": "frames come from the host's side of the network; machine::tests::network",
  "MachineError.PortPrivileged": "a privileged program is refused no port",
  "MachineError.HostRefused": "a host that has no thread or descriptor left",
  "MachineError.RegisterUnknown": "registers are set by tests of the core only",
  "MachineError.MemoryExhausted": "a guest that needs a page faults, and the event says so; memoryLimit.test.ts",
  "MachineError.MemoryOutOfRange": "memory is written at addresses by tests of the core only",
  "CaptureError.EngineFailed": "snapshot::tests::engines",
  "CaptureError.MemoryOutOfRange": "captures read the pages that there are",
  "CaptureError.MemoryExhausted": "captures write files and take no pages",
  "RestoreError.VersionUnsupported": "snapshot::tests::what_is_no_snapshot_is_refused_by_name",
  "RestoreError.EngineMismatch": "there is one engine here; snapshot::tests::engines",
  "RestoreError.MachineInvalid": "takes a forged digest; machine::description",
  "RestoreError.StateInvalid": "takes a forged digest; snapshot::tests::forged_states_are_survived",
  "RestoreError.EngineFailed": "snapshot::tests::engines",
  "RestoreError.MemoryOutOfRange": "restores take the pages that there are",
  "RestoreError.MemoryExhausted": "a restored machine shares its snapshot's memory; it takes pages when it runs",
  "RestoreError.SnapshotChunkCorrupt": "memory is read when it is touched, not by the restore",
  "RestoreError.SnapshotChunkUnreadable": "as above",
  "CaptureError.KeyMissing": "snapshot::tests::encryption::a_delta_is_encrypted_as_its_parent_is",
  "CaptureError.KeyWrong": "as above",
  "CaptureError.NotEncrypted": "as above",
  "RestoreError.KeyMissing": "snapshot::tests::encryption::the_key_is_compared_on_every_restore_and_named",
  "RestoreError.KeyWrong": "as above",
  "RestoreError.NotEncrypted": "as above",
  "RestoreError.FileForged": "snapshot::tests::encryption::without_the_key_no_byte_can_be_changed_unnoticed",
  "ForkError.EngineFailed": "snapshot::tests::engines",
  "BootError.TooManyDisks": "disks::tests::what_is_no_disk_is_refused_with_everything_that_is_wrong",
  "BootError.DiskInvalid": "as above",
  "BootError.DiskNameTaken": "as above",
  "BootError.DiskUnreadable": "as above",
  "BootError.DiskSizeWrong": "as above",
  "BootError.DiskInUse": "disks::tests::a_volume_has_one_writer_whoever_asks_and_its_forks_none",
  "CaptureError.DiskChanged": "snapshot::tests::disks::a_source_that_changed_keeps_a_capture_from_being_one",
  "CaptureError.DiskUnreadable": "disks::tests::a_source_that_changes_or_shrinks_is_an_error_of_what_is_read_there",
  "RestoreError.DiskUnknown": "snapshot::tests::disks::a_source_is_found_again_by_what_it_is",
  "RestoreError.DiskIsCopy": "as above",
  "RestoreError.DiskUnreadable": "as above",
  "RestoreError.DiskSizeWrong": "as above",
  "RestoreError.DiskInUse": "disks::tests::a_volume_has_one_writer_whoever_asks_and_its_forks_none",
  "AttachError.SlotUnknown": "snapshot::tests::disks::a_slot_takes_one_disk_and_says_why_not_another",
  "AttachError.SlotTaken": "as above",
  "AttachError.DiskInvalid": "as above",
  "AttachError.DiskNameTaken": "as above",
  "AttachError.DiskUnreadable": "as BootError.DiskUnreadable",
  "AttachError.DiskSizeWrong": "as BootError.DiskSizeWrong",
  "AttachError.DiskInUse": "as BootError.DiskInUse",
  "AttachError.MachineEnded": "as MachineError.MachineEnded",
  "BootError.EngineUnfit":
    "guests::linux_is_refused_by_name_where_kvm_emulates, of crates/kvm: where the host's KVM does",
  "AttachError.Closed": "as MachineError.Closed"
}
/** The errors of an operation whose core or host fails; `session/tests.rs` causes them. */
const ofTheHost = new Set(["Panicked", "NoThread"])
/** The errors of recordings; see core's `ReplayVmm.test.ts`. */
const ofRecordings = new Set(["NotInARecording", "RecordingEnded"])

const reached = new Set<string>()
/** Reasons that this system does not let a test reach; each was said aloud as skipped. */
const skipped = new Set<string>()

/** Notes the reason of a typed error that an effect ended with. */
const reach = <A, E extends { readonly _tag: string; readonly reason: { readonly _tag: string } }, R>(
  name: string,
  effect: Effect.Effect<A, E, R>
) =>
  Effect.map(Effect.flip(effect), (error) => {
    const found = `${error._tag}.${error.reason._tag}`
    assert.strictEqual(found, name)
    reached.add(found)
    return error
  })

/** An ELF file whose program header lies beyond its end. */
const cutElf = (() => {
  const bytes = new Uint8Array(64)
  const view = new DataView(bytes.buffer)
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, 2, true)
  view.setUint16(18, 243, true)
  view.setUint32(20, 1, true)
  view.setBigUint64(24, 0x8020_0000n, true)
  view.setBigUint64(32, 64n, true)
  view.setUint16(52, 64, true)
  view.setUint16(54, 56, true)
  view.setUint16(56, 1, true)
  return bytes
})()

/** A capture of a payload, in a directory of its own. */
const captured = Effect.gen(function* () {
  const machine = yield* (yield* Vmm).boot(yield* payload(waiting))
  const directory = join(yield* folder, "capture")
  mkdirSync(directory)
  const files = yield* machine.capture(directory)
  return { machine, directory, files }
})

describe("every reason is reached by its name", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("of-boots", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const root = yield* folder
        const file = (name: string, bytes: Uint8Array | string) => {
          writeFileSync(join(root, name), bytes)
          return join(root, name)
        }
        const guest = yield* linux(null)
        const flat = yield* payload(waiting)
        const boot = (reason: string, spec: BootSpec) => reach(`BootError.${reason}`, Effect.scoped(vmm.boot(spec)))
        yield* boot("InvalidConfiguration", { ...guest, memoryMib: 0 })
        yield* boot("EngineUnknown", { ...guest, engine: "sofd" })
        const unusable = (yield* engines).find(({ isUsable }) => !isUsable)
        if (unusable !== undefined) yield* boot("EngineUnusable", { ...guest, engine: unusable.name })
        else {
          skipped.add("BootError.EngineUnusable")
          yield* Effect.logWarning("skipped: this host can use every engine")
        }
        yield* boot("SampleStepInvalid", { ...guest, dirtySampleNanos: 1 })
        yield* boot("KernelUnreadable", { kernelPath: join(root, "nothing") })
        yield* boot("KernelUnknown", { kernelPath: file("text", "not a kernel".repeat(50)) })
        yield* boot("KernelDamaged", { kernelPath: file("cut.elf", cutElf) })
        yield* boot("KernelTooLarge", { ...flat, kernelPath: file("large", new Uint8Array(3 << 20)) })
        yield* boot("KernelOutsideMemory", { ...flat, loadAddress: 0x1000 })
        yield* boot("InitramfsUnreadable", { kernelPath: guest.kernelPath, initramfsPath: join(root, "nothing") })
        yield* boot("InitramfsTooLarge", { ...guest, memoryMib: 64, initramfs: new Uint8Array(65 << 20) })
        const roomy = { files: { "/large": { content: new Uint8Array(90 << 20) } } }
        const initramfs = yield* (yield* GuestKit).initramfs(roomy)
        yield* boot("RootTooLarge", { ...guest, memoryMib: 192, initramfs })
        // The kernel's file fits, what it needs does not.
        for (let memoryMib = 20; !reached.has("BootError.MemoryTooSmall") && memoryMib < 64; memoryMib += 2) {
          const { _tag, reason } = yield* Effect.flip(Effect.scoped(vmm.boot({ ...guest, memoryMib })))
          if (reason._tag === "MemoryTooSmall") reached.add(`${_tag}.${reason._tag}`)
          else assert.strictEqual(reason._tag, "KernelTooLarge")
        }
        // As many characters as may be, and more bytes.
        yield* boot("CommandLineInvalid", { ...guest, commandLine: "é".repeat(2000) })
        const { inUseBytes, limitBytes } = yield* guestMemory
        yield* Effect.acquireUseRelease(
          limitGuestMemory(inUseBytes + 4096),
          () => boot("MemoryExhausted", guest),
          () => Effect.orDie(limitGuestMemory(limitBytes))
        )
      })
    )

    it.effect("of-machines", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const on = <A>(reason: string, effect: Effect.Effect<A, MachineError>) =>
          reach(`MachineError.${reason}`, effect)
        const machine = yield* vmm.boot(yield* payload(spinning))
        yield* on("InvalidRun", machine.run({ atNanos: -1 }))
        const identity = { realtimeNanos: null, hostname: null, machineId: null, env: {}, thaw: false }
        yield* on("InvalidIdentity", machine.agent.requestIdentity({ ...identity, entropy: new Uint8Array(3) }))
        yield* on("InvalidWorkload", machine.agent.requestWorkload({ argv: ["a\0b"] }))
        yield* on("PortUnknown", machine.sendSerial(9, new Uint8Array(1)))
        yield* on("InputFull", machine.sendSerial(0, new Uint8Array(8 << 20)))
        // Each part is what it may be, and all of it is more than a frame holds.
        const large = { ...identity, entropy: new Uint8Array(64), env: { NAME: "x".repeat(70_000) } }
        yield* on("FrameTooLarge", machine.agent.requestIdentity(large))
        const running = yield* Effect.forkChild(machine.run({}), { startImmediately: true })
        yield* on("AlreadyRunning", machine.run({}))
        running.interruptUnsafe()

        const { directory } = yield* captured
        const restore = Effect.gen(function* () {
          const copy = join(yield* folder, "copy")
          cpSync(directory, copy, { recursive: true })
          return { copy, restored: yield* vmm.restore(copy) }
        })
        // Each reads another file: verified memory is shared by all who read the same.
        const cut = yield* restore
        truncateSync(objectIn(cut.copy), 0)
        yield* on("SnapshotChunkUnreadable", cut.restored.digest)
        const edited = join(yield* folder, "edited")
        cpSync(directory, edited, { recursive: true })
        writeFileSync(objectIn(edited), new Uint8Array(statSync(objectIn(edited)).size).fill(1))
        const other = yield* vmm.restore(edited)
        yield* on("SnapshotChunkCorrupt", other.digest)
        yield* other.run({ budgetNanos: 10 })
        yield* on("MachineEnded", other.sendSerial(0, new Uint8Array(1)))
        yield* reach("CaptureError.MachineFaulted", other.capture(yield* folder))
        yield* reach("ForkError.MachineFaulted", Effect.scoped(other.fork))

        // Every page is taken: the digest reads, and a guest's write is a fault of its run.
        const { inUseBytes, limitBytes } = yield* guestMemory
        const third = yield* vmm.boot(yield* payload(waiting))
        yield* Effect.acquireUseRelease(
          limitGuestMemory(inUseBytes),
          () => Effect.andThen(third.digest, third.run({ budgetNanos: 10 })),
          () => Effect.orDie(limitGuestMemory(limitBytes))
        )
      })
    )

    it.effect("of-closed-machines", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const machine = yield* Scope.provide((yield* Vmm).boot(yield* payload(waiting)), scope)
        yield* Scope.close(scope, Exit.void)
        yield* reach("MachineError.Closed", machine.run({}))
        yield* reach("CaptureError.Closed", machine.capture("/nowhere"))
        yield* reach("ForkError.Closed", Effect.scoped(machine.fork))
      })
    )

    it.effect("of-captures", () =>
      Effect.gen(function* () {
        const { directory, machine } = yield* captured
        const capture = (reason: string, path: string, parent?: string) =>
          reach(`CaptureError.${reason}`, machine.capture(path, parent === undefined ? {} : { parent }))
        yield* capture("DirectoryUnusable", join(directory, "none"))
        yield* capture("FileExists", directory)
        yield* capture("ParentUnknown", yield* folder, "0".repeat(64))
        yield* capture("WriteFailed", "/sys/kernel")
        // A snapshot that vanished under its restored machine cannot be captured again.
        for (const [reason, spoil] of [
          ["SnapshotChunkUnreadable", (file: string) => truncateSync(file, 0)],
          ["SnapshotChunkCorrupt", (file: string) => writeFileSync(file, new Uint8Array(statSync(file).size).fill(1))]
        ] as const) {
          const copy = join(yield* folder, "copy")
          cpSync(directory, copy, { recursive: true })
          const restored = yield* (yield* Vmm).restore(copy)
          spoil(objectIn(copy))
          yield* reach(`CaptureError.${reason}`, restored.capture(yield* folder))
        }
      })
    )

    it.effect("of-captures-to-a-full-disk", () =>
      Effect.gen(function* () {
        const script = fileURLToPath(new URL("./captureToFullDisk.ts", import.meta.url))
        const mountAndRun = `mount -t tmpfs -o size=16k none "$0" && exec "$1" --conditions=stillpoint-source --no-warnings "$2" "$0"`
        const where = yield* folder
        const mounted = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "-o", "size=16k", "none", where])
        if (mounted.status !== 0) {
          skipped.add("CaptureError.DiskFull")
          return yield* Effect.logWarning("skipped: this system does not let its users mount")
        }
        const ran = spawnSync("unshare", ["-rm", "sh", "-c", mountAndRun, where, process.execPath, script], {
          encoding: "utf8"
        })
        assert.strictEqual(ran.stdout, "CaptureError.DiskFull: nothing left\n", ran.stderr)
        reached.add("CaptureError.DiskFull")
      })
    )

    it.effect("of-restores", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const { directory, files, machine } = yield* captured
        const damaged = Effect.fnUntraced(function* (name: string, spoil: (file: string) => void) {
          const copy = join(yield* folder, "copy")
          cpSync(directory, copy, { recursive: true })
          spoil(join(copy, name))
          return copy
        })
        const object = basename(objectIn(directory))
        const restore = (reason: string, path: string, chain: Parameters<typeof vmm.restore>[1] = {}) =>
          reach(`RestoreError.${reason}`, Effect.scoped(vmm.restore(path, chain)))
        yield* restore("SnapshotMissing", join(directory, "none"))
        yield* restore("FileMissing", yield* damaged(object, (file) => rmSync(file)))
        yield* restore("FileSizeWrong", yield* damaged(object, (file) => truncateSync(file, 4096)))
        yield* restore("NotASnapshot", yield* damaged("machine.bin", (file) => writeFileSync(file, "something else")))
        const flipped = yield* damaged("memory.digests", (file) => writeFileSync(file, "something else"))
        yield* restore("FileCorrupt", flipped)
        const directoryThere = yield* damaged(object, (file) => {
          rmSync(file)
          mkdirSync(file)
        })
        yield* restore("FileInvalid", directoryThere)
        // The longest name that a directory can have: that of no file in it can be said.
        let long = yield* folder
        while (long.length < 3_800) long = join(long, "d".repeat(200))
        long = join(long, "d".repeat(4_090 - 1 - long.length))
        mkdirSync(long, { recursive: true })
        yield* restore("FileUnreadable", long)
        yield* restore("IdMismatch", directory, { identity: "0".repeat(64) })
        yield* restore("IdMismatch", directory, { identity: "not an identity" })
        const delta = yield* folder
        yield* machine.capture(delta, { parent: files.identity })
        yield* restore("ParentMissing", delta)
        yield* restore("ParentMismatch", delta, { parents: [delta] })
        yield* Effect.scoped(vmm.restore(delta, { parents: [directory] }))
      })
    )

    it.effect("of-commands", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const another = yield* machine.fork
        const exec = (reason: string, spec: Parameters<Machine["exec"]>[0], on = machine) =>
          reach(
            `ExecError.${reason}`,
            Effect.catchTag(on.exec(spec), "MachineError", (error) => Effect.die(error))
          )
        yield* exec("InvalidCommand", { argv: [] })
        yield* exec("ExecFailed", { argv: ["/bin/nothing"] })
        yield* exec("AgentAbsent", { argv: ["true"] }, yield* (yield* Vmm).boot(yield* payload(waiting)))
        yield* exec("TimedOut", { argv: ["sleep", "1000"], timeoutNanos: 1e9 })
        yield* Effect.scoped(
          Effect.gen(function* () {
            const endless = yield* machine.spawn({ argv: ["yes"], windowBytes: 4096 })
            yield* reach("ExecError.OutputUnread", endless.exit)
            const brief = yield* machine.spawn({ argv: ["true"] })
            yield* brief.exit
            yield* reach("ExecError.InputClosed", brief.write("too late"))
          })
        )
        yield* Effect.all([exec("GuestEnded", { argv: ["sleep", "1000"] }), machine.agent.powerOff()], {
          concurrency: "unbounded"
        })
        // A command that prints without an end, and one that the agent cannot serve, as the events tell them.
        const told = (...said: ReadonlyArray<SaidBody>) =>
          Effect.catchTag(toldAgent(...said).execute({ argv: ["yes"] }), "MachineError", (error) => Effect.die(error))
        const output = { _tag: "ExecOutput", id: toldId, stream: "stdout", data: new Uint8Array(33 << 20) } as const
        const ended = { _tag: "ExecExited", id: toldId, code: 0, signal: null } as const
        type Rejected = Extract<SaidBody, { readonly _tag: "AgentRejected" }>
        const rejected = (
          request: Rejected["request"],
          reason: Rejected["reason"],
          id: number | null = toldId
        ): Rejected => ({ _tag: "AgentRejected", request, id, reason, message: "words, which decide nothing" })
        yield* reach("ExecError.TooMuchOutput", told(output, output, ended))
        const unserved = rejected("Exec", "StreamsFailed")
        yield* reach("ExecError.AgentRejected", told(unserved))
        yield* reach("ExecError.AgentRejected", told(rejected("ExecStdin", "InputFull")))
        // Refusals of another command, or that no longer matter to an ended one, are not its own.
        for (const harmless of [
          rejected("Exec", "StreamsFailed", 77),
          rejected("ExecStdin", "CommandUnknown"),
          rejected("ExecStdin", "InputClosed"),
          rejected("ExecKill", "CommandUnknown"),
          rejected("Custom", "EventPayloadInvalid", null)
        ]) {
          assert.strictEqual((yield* told(harmless, ended)).code, 0)
        }
        assert.strictEqual((yield* told(ended, unserved)).code, 0)
        const { code } = yield* another.exec({ argv: ["true"], stdin: new Uint8Array(2 << 20) })
        assert.strictEqual(code, 0)
      })
    )

    it.effect("of-ports", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const spec = yield* payload(waiting)
        const alone = yield* vmm.boot(spec)
        yield* reach("MachineError.InterfaceMissing", alone.ports.publish({ port: 80 }))
        const { ports } = yield* vmm.boot({ ...spec, network: {} })
        const first = yield* ports.publish({ port: 80 })
        yield* reach("MachineError.PortInUse", ports.publish({ port: 80, hostPort: first.hostPort }))
        yield* reach("MachineError.AddressUnknown", ports.publish({ port: 80, host: "192.0.2.1" }))
        yield* reach("MachineError.NetworkInvalid", ports.publish({ port: 0 }))
        for (let more = 1; more < 64; more++) yield* ports.publish({ port: 80 })
        yield* reach("MachineError.TooManyPorts", ports.publish({ port: 80 }))
      })
    )

    it.effect("or-has-a-reason-not-to-be", () =>
      Effect.sync(() => {
        for (const [error, { cases }] of Object.entries(machineReasons)) {
          for (const name of Object.keys(cases)) {
            const reason = `${error}.${name}`
            if (skipped.has(reason)) continue
            const isExplained = reason in fromWithin || ofTheHost.has(name) || ofRecordings.has(name)
            assert.isTrue(reached.has(reason) !== isExplained, `${reason}: ${isExplained ? "reached" : "not reached"}`)
          }
        }
        for (const reason of Object.keys(fromWithin)) {
          const [error = "", name = ""] = reason.split(".")
          assert.property(machineReasons[error as keyof typeof machineReasons].cases, name)
        }
      })
    )
  })
})
