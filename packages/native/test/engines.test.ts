/** The reports about this host's engines match what happens when one is named. */
import { BootError, Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Layer } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { engines, NativeAgent, NativeVmm } from "../src/index.ts"

describe("engines", () => {
  it("the-first-can-be-used-everywhere-and-what-cannot-be-used-says-why", async () => {
    const all = await Effect.runPromise(engines)
    assert.deepStrictEqual(all[0], { name: "soft", board: "riscv", isUsable: true, detail: null })
    for (const { detail, isUsable, name } of all) {
      if (!isUsable) assert.notStrictEqual(detail ?? "", "", name)
    }
  })

  it("an-engine-that-cannot-be-used-is-refused-with-what-was-said-of-it", async () => {
    for (const { detail, isUsable, name } of await Effect.runPromise(engines)) {
      const initramfs = new Uint8Array(8)
      const boot = Vmm.use((vmm) => vmm.boot({ kernelPath: process.execPath, initramfs, engine: name }))
      const tried = await Effect.runPromise(Effect.result(Effect.scoped(Effect.provide(boot, NativeVmm.layer))))
      // An engine that can be used may take that file for a payload.
      if (tried._tag === "Success") {
        assert.isTrue(isUsable, name)
        continue
      }
      const refused = tried.failure
      assert.instanceOf(refused, BootError)
      assert.notStrictEqual(refused.reason._tag, "EngineUnknown")
      if (isUsable) assert.notStrictEqual(refused.reason._tag, "EngineUnusable")
      else assert.include(refused.message, detail ?? "")
    }
  })

  it("what-was-chosen-and-why-is-the-first-event-and-goes-with-forks-and-snapshots", async () => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-engines-"))
    const choices = Effect.gen(function* () {
      const vmm = yield* Vmm
      const { kernelPath } = yield* Effect.provide(
        GuestKit.use(({ files }) => files),
        Layer.provide(GuestKit.layer, NativeAgent.layer)
      )
      const told = []
      for (const requested of [undefined, "auto", "soft"]) {
        const machine = yield* vmm.boot({ kernelPath, ...(requested === undefined ? {} : { engine: requested }) })
        assert.strictEqual(machine.beginning.atNanos, 0)
        yield* machine.run({ budgetNanos: 1_000_000 })
        const events = yield* machine.eventsSoFar()
        assert.deepStrictEqual(
          events.filter(({ _tag }) => _tag === "EngineChosen"),
          events.slice(0, 1)
        )
        const { engineChoice } = machine
        assert.deepStrictEqual(events[0], {
          _tag: "EngineChosen",
          seq: 0,
          atNanos: 0,
          engine: "soft",
          ...engineChoice!
        })
        const fork = yield* machine.fork
        const directory = mkdtempSync(join(folder, "capture-"))
        yield* machine.capture(directory)
        const restored = yield* vmm.restore(directory)
        assert.deepStrictEqual([fork.engineChoice, restored.engineChoice], [engineChoice, engineChoice])
        yield* restored.run({ budgetNanos: 1_000_000 })
        assert.notInclude(
          (yield* restored.eventsSoFar()).map(({ _tag }) => _tag),
          "EngineChosen"
        )
        told.push(engineChoice)
      }
      return told
    })
    try {
      const auto = { requested: "auto", reason: "the kernel is a RISC-V kernel" }
      const named = { requested: "soft", reason: "asked for by name" }
      const told = await Effect.runPromise(Effect.scoped(Effect.provide(choices, NativeVmm.layer)))
      assert.deepStrictEqual(told, [auto, auto, named])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it("a-kernel-of-another-platform-is-refused-before-a-boot-with-the-engine-that-starts-it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-engines-"))
    const elf = (machine: number) => {
      const bytes = Buffer.alloc(64)
      bytes.write("\u007fELF\u0002\u0001", "latin1")
      bytes.writeUInt16LE(machine, 18)
      return bytes
    }
    const image = (at: number, magic: string) => {
      const bytes = Buffer.alloc(4096)
      bytes.write(magic, at, "latin1")
      return bytes
    }
    const kernels = {
      kvm: [elf(62), image(0x202, "HdrS")],
      soft: [elf(243), image(0x38, "RSC\u0005")]
    }
    const refused = async (kernel: Buffer, engine: string) => {
      const kernelPath = join(folder, "kernel")
      writeFileSync(kernelPath, kernel)
      const boot = Vmm.use((vmm) => vmm.boot({ kernelPath, engine }))
      const error = await Effect.runPromise(Effect.flip(Effect.scoped(Effect.provide(boot, NativeVmm.layer))))
      assert.instanceOf(error, BootError)
      return error
    }
    try {
      for (const { detail, isUsable, name } of await Effect.runPromise(engines)) {
        for (const [other, files] of Object.entries(kernels)) {
          for (const kernel of files) {
            const named = await refused(kernel, name)
            const own = name === other
            if (!isUsable) assert.strictEqual(named.reason._tag, "EngineUnusable")
            else if (!own) {
              assert.strictEqual(named.reason._tag, "KernelUnknown")
              assert.include(named.message, `engine "${other}"`)
            }
            // Where none is named, the one that it is for says what is wrong with it, or why it cannot be used here.
            const auto = await refused(kernel, "auto")
            if (own && !isUsable) {
              assert.strictEqual(auto.reason._tag, "EngineUnusable")
              assert.match(auto.message, /use a host that has it, or what runs on soft/)
              assert.include(auto.message, detail ?? "")
            } else if (own) assert.strictEqual(auto.message, named.message)
          }
        }
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
