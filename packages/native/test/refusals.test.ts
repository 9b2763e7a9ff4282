import { assert, describe, layer as withLayer } from "@effect/vitest"
import { type BootSpec, Vmm } from "@stillpoint/core"
import { objectIn } from "@stillpoint/core/testing"
import { Effect } from "effect"
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { join } from "node:path"
import { enough, folder, layer, linux, linuxAt, payload, waiting } from "./guests.ts"

/** The error of a boot that is refused. */
const refused = Effect.fn(function* (spec: BootSpec) {
  return yield* Effect.flip(Effect.scoped((yield* Vmm).boot(spec)))
})

const flip = (file: string, at: number): void => {
  const bytes = readFileSync(file)
  const handle = openSync(file, "r+")
  writeSync(handle, new Uint8Array([(bytes[at] ?? 0) ^ 1]), 0, 1, at)
  closeSync(handle)
}

describe("bad input is refused by name", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("a-configuration-with-several-problems-names-them-all", () =>
      Effect.gen(function* () {
        const error = yield* refused({ kernelPath: "", memoryMib: 1.5, seed: -1, typo: true } as unknown as BootSpec)
        assert.strictEqual(error.reason._tag, "InvalidConfiguration")
        for (const part of ["kernelPath", "memoryMib", "seed", "typo"]) assert.include(error.message, part)
      })
    )

    it.effect("a-kernel-that-is-missing-or-none", () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const missing = yield* refused({ kernelPath: join(directory, "nothing") })
        assert.strictEqual(missing.reason._tag, "KernelUnreadable")
        assert.include(missing.message, "nothing")
        writeFileSync(join(directory, "text"), "this is not a kernel".repeat(100))
        assert.strictEqual((yield* refused({ kernelPath: join(directory, "text") })).reason._tag, "KernelUnknown")
        writeFileSync(join(directory, "empty"), "")
        assert.strictEqual((yield* refused({ kernelPath: join(directory, "empty") })).reason._tag, "KernelUnknown")
        assert.strictEqual((yield* refused({ kernelPath: directory })).reason._tag, "KernelUnreadable")
      })
    )

    it.effect("a-cut-kernel", () =>
      Effect.gen(function* () {
        const { kernelPath } = yield* linux(null)
        const cut = join(yield* folder, "cut")
        cpSync(kernelPath, cut)
        truncateSync(cut, 20)
        assert.strictEqual((yield* refused({ kernelPath: cut })).reason._tag, "KernelUnknown")
      })
    )

    it.effect("an-initramfs-that-is-missing-or-larger-than-memory", () =>
      Effect.gen(function* () {
        const { kernelPath } = yield* linux(null)
        const missing = yield* refused({ kernelPath, initramfsPath: "/nowhere/initramfs" })
        assert.strictEqual(missing.reason._tag, "InitramfsUnreadable")
        const large = yield* refused({ kernelPath, memoryMib: 64, initramfs: new Uint8Array(65 << 20) })
        assert.strictEqual(large.reason._tag, "InitramfsTooLarge")
        const beside = yield* refused({ kernelPath, memoryMib: 64, initramfs: new Uint8Array(40 << 20) })
        assert.include(["InitramfsTooLarge", "MemoryTooSmall"], beside.reason._tag)
      })
    )

    it.effect("too-little-memory", () =>
      Effect.gen(function* () {
        const spec = yield* linux(null)
        const error = yield* refused({ ...spec, memoryMib: 16 })
        assert.include(["KernelTooLarge", "MemoryTooSmall"], error.reason._tag)
      })
    )

    it.effect("an-initramfs-without-an-agent-ends-the-run", () =>
      Effect.gen(function* () {
        const { kernelPath } = yield* linux(null)
        const machine = yield* (yield* Vmm).boot({ kernelPath })
        const stop = yield* machine.run({ kinds: ["AgentReady"], budgetNanos: enough })
        assert.strictEqual(stop.reason, "reset")
        const panicked = (yield* machine.eventsSoFar()).find((event) => event._tag === "GuestPanicked")
        assert.isDefined(panicked)
        assert.strictEqual((yield* Effect.flip(machine.go)).reason._tag, "MachineEnded")
        assert.strictEqual((yield* Effect.flip(machine.exec({ argv: ["true"] }))).reason._tag, "GuestEnded")
      })
    )

    it.effect("a-workload-that-does-not-exist-is-reported-by-the-agent", () =>
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot(yield* linux(["/bin/no-such-program"]))
        const stop = yield* machine.run({ kinds: ["WorkloadFailed"], budgetNanos: enough })
        assert.strictEqual(stop.reason, "event")
        const failed = (yield* machine.eventsSoFar()).at(-1)
        assert.deepInclude(failed, { _tag: "WorkloadFailed", errno: 2 })
      })
    )

    it.effect("commands-and-identities-that-cannot-be", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const empty = yield* Effect.flip(machine.exec({ argv: [] }))
        assert.strictEqual(empty.reason._tag, "InvalidCommand")
        const large = yield* Effect.flip(machine.exec({ argv: ["echo", "x".repeat(70_000)] }))
        assert.strictEqual(large.reason._tag, "FrameTooLarge")
        const identity = yield* Effect.flip(
          machine.agent.requestIdentity({
            entropy: new Uint8Array(3),
            realtimeNanos: null,
            hostname: "not a name",
            machineId: "short",
            env: {},
            thaw: false
          })
        )
        assert.strictEqual(identity.reason._tag, "InvalidIdentity")
        for (const part of ["entropy", "hostname", "machineId"]) assert.include(identity.message, part)
        const until = yield* Effect.flip(machine.run({ atNanos: -1 }))
        assert.strictEqual(until.reason._tag, "InvalidRun")
        // Nothing would ever be it: the run would last for ever.
        const misspelt = yield* Effect.flip(machine.run({ kinds: ["ListenerBuond" as never] }))
        assert.strictEqual(misspelt.reason._tag, "InvalidRun")
        assert.include(misspelt.message, "ListenerBuond")
        const port = yield* Effect.flip(machine.sendSerial(9, new Uint8Array(1)))
        assert.strictEqual(port.reason._tag, "PortUnknown")
      })
    )

    it.effect("a-snapshot-that-is-missing-empty-cut-edited-or-of-another-version", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const root = yield* folder
        const whole = join(root, "whole")
        mkdirSync(whole)
        const machine = yield* vmm.boot(yield* payload(waiting))
        yield* machine.run({ budgetNanos: 1_000_000 })
        yield* machine.capture(whole)
        const restore = (directory: string) => Effect.scoped(vmm.restore(directory))
        yield* restore(whole)

        assert.strictEqual((yield* Effect.flip(restore(join(root, "none")))).reason._tag, "SnapshotMissing")
        const empty = join(root, "empty")
        mkdirSync(empty)
        assert.strictEqual((yield* Effect.flip(restore(empty))).reason._tag, "FileMissing")

        for (const name of readdirSync(whole)) {
          const damaged = join(root, `without-${name}`)
          cpSync(whole, damaged, { recursive: true })
          rmSync(join(damaged, name))
          const missing = yield* Effect.flip(restore(damaged))
          assert.strictEqual(missing.reason._tag, "FileMissing", name)
          assert.include(missing.message, name)

          const cut = join(root, `cut-${name}`)
          cpSync(whole, cut, { recursive: true })
          truncateSync(join(cut, name), Math.floor(statSync(join(cut, name)).size / 2))
          const short = yield* Effect.flip(restore(cut))
          assert.include(short.message, name)
        }

        for (const name of ["machine.bin", "memory.digests"]) {
          const size = statSync(join(whole, name)).size
          for (const at of [0, 8, Math.floor(size / 2), size - 1]) {
            const edited = join(root, `edited-${name}-${at}`)
            cpSync(whole, edited, { recursive: true })
            flip(join(edited, name), at)
            const error = yield* Effect.flip(restore(edited))
            assert.include(
              ["NotASnapshot", "VersionUnsupported", "FileCorrupt", "FileInvalid", "FileSizeWrong"],
              error.reason._tag
            )
            assert.include(error.message, name)
          }
        }
      })
    )

    it.effect("edited-memory-stops-the-guest-before-it-executes-on-it", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const directory = join(yield* folder, "snapshot")
        mkdirSync(directory)
        const machine = yield* vmm.boot(yield* payload(waiting))
        yield* machine.capture(directory)
        const object = objectIn(directory)
        flip(object, 0)
        const restored = yield* vmm.restore(directory)
        const stop = yield* restored.run({ budgetNanos: 1000 })
        assert.strictEqual(stop.reason, "fault")
        assert.strictEqual(yield* restored.nowNanos, 0)
        const fault = (yield* restored.eventsSoFar()).at(-1)
        assert.strictEqual(fault?._tag, "EngineFault")
        assert.include(fault?._tag === "EngineFault" ? fault.message : "", object)
      })
    )

    it.effect("a-capture-that-cannot-be-written-leaves-nothing", () =>
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot(yield* payload(waiting))
        const root = yield* folder
        const missing = yield* Effect.flip(machine.capture(join(root, "none")))
        assert.strictEqual(missing.reason._tag, "DirectoryUnusable")
        assert.isFalse(existsSync(join(root, "none")))
        const used = join(root, "used")
        mkdirSync(used)
        yield* machine.capture(used)
        assert.strictEqual((yield* Effect.flip(machine.capture(used))).reason._tag, "FileExists")
        const other = join(root, "other")
        mkdirSync(other)
        const parent = yield* Effect.flip(machine.capture(other, { parent: "00".repeat(32) }))
        assert.strictEqual(parent.reason._tag, "ParentUnknown")
        assert.deepStrictEqual(readdirSync(other), [])
      })
    )
  })
})
