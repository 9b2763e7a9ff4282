import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { type BootSpec, Pipeline, Vmm } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Effect } from "effect"
import { folder, linux } from "../guests.ts"
import { compile, hasCompiler, layer } from "./witness.ts"

/** Assembles the payload as an ELF file for an address; with `isFlat`, as its plain bytes. */
const assemble = Effect.fn("assemble")(function* (address: number, type: number, reason: number, isFlat: boolean) {
  const directory = yield* folder
  const elf = join(directory, "payload.elf")
  yield* Effect.sync(() =>
    compile(
      "./payload.S",
      elf,
      "-nostdlib",
      "-static",
      "-Wl,--build-id=none",
      "-Wl,-N,--no-warn-rwx-segments",
      `-Wl,-Ttext=0x${address.toString(16)}`,
      `-DTYPE=${type}`,
      `-DREASON=${reason}`
    )
  )
  if (!isFlat) return elf
  const flat = join(directory, "payload.bin")
  yield* Effect.sync(() => execFileSync("riscv64-linux-gnu-objcopy", ["-O", "binary", elf, flat]))
  return flat
})

/** How a payload ends: the stop, its last event, and what it printed. */
const endOf = Effect.fn("endOf")(function* (spec: BootSpec) {
  const machine = yield* (yield* Vmm).boot(spec)
  const { reason } = yield* machine.run({ budgetNanos: 1_000_000_000 })
  const events = yield* machine.eventsSoFar()
  const lines = events.flatMap((event) => (event._tag === "SerialLine" ? [event.text] : []))
  const end = events.find((event) => event._tag === "GuestHalted" || event._tag === "GuestReset")
  return { reason, lines, end: end !== undefined && "reason" in end ? [end._tag, end.reason] : [] }
})

const policy = kindTrigger("ListenerBound")

describe.skipIf(!hasCompiler)("payloads (skipped without riscv64-linux-gnu-gcc)", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    const address = 0x8020_0000
    for (const isFlat of [false, true]) {
      it.effect(`${isFlat ? "a-flat" : "an-elf"}-payload-runs-and-says-how-it-ended`, () =>
        Effect.gen(function* () {
          const ends: Array<unknown> = []
          for (const [type, reason] of [
            [0, 0],
            [0, 1],
            [1, 0],
            [2, 1]
          ] as const) {
            const kernelPath = yield* assemble(address, type, reason, isFlat)
            const end = yield* endOf({ kernelPath, memoryMib: 16, ...(isFlat ? { loadAddress: address } : {}) })
            assert.deepStrictEqual(end.lines, ["payload runs"])
            assert.strictEqual(end.reason, type === 0 ? "halted" : "reset")
            ends.push(end.end)
          }
          assert.strictEqual(new Set(ends.map((end) => JSON.stringify(end))).size, 4)
          assert.deepStrictEqual(
            ends.map((end) => (end as ReadonlyArray<string>)[0]),
            ["GuestHalted", "GuestHalted", "GuestReset", "GuestReset"]
          )
        })
      )
    }

    it.effect("an-elf-payload-runs-at-other-addresses", () =>
      Effect.gen(function* () {
        for (const at of [0x8000_0000, 0x8040_0000, 0x80f0_0000]) {
          const end = yield* endOf({ kernelPath: yield* assemble(at, 0, 0, false), memoryMib: 16 })
          assert.deepStrictEqual([end.reason, end.lines], ["halted", ["payload runs"]])
        }
      })
    )

    it.effect("a-payload-that-does-not-fit-is-refused-by-name", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const refused = (spec: BootSpec) =>
          Effect.map(Effect.flip(Effect.scoped(vmm.boot(spec))), ({ reason }) => reason._tag)
        const far = yield* assemble(0x9000_0000, 0, 0, false)
        const names = [yield* refused({ kernelPath: far, memoryMib: 16 })]
        const flat = yield* assemble(address, 0, 0, true)
        names.push(yield* refused({ kernelPath: flat, memoryMib: 16, loadAddress: 0x1000 }))
        const cut = join(yield* folder, "cut.elf")
        writeFileSync(cut, readFileSync(yield* assemble(address, 0, 0, false)))
        truncateSync(cut, 100)
        names.push(yield* refused({ kernelPath: cut, memoryMib: 16 }))
        for (const name of names) assert.match(name, /^(Kernel|Memory|Load|Payload|Address)/)
      })
    )
  })
})

describe("a run whose guest cannot be", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("ends-with-a-typed-error-and-publishes-nothing", () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const good = yield* linux()
        const text = join(directory, "text")
        writeFileSync(text, "this is not a kernel\n".repeat(1000))
        const run = (spec: BootSpec) =>
          Effect.scoped(Effect.flip(Pipeline.run(spec, { policy, target: join(directory, "snapshot") })))
        const names: Array<string> = []
        for (const spec of [
          { ...good, kernelPath: join(directory, "missing") },
          { ...good, kernelPath: directory },
          { ...good, kernelPath: text },
          { ...good, memoryMib: 24 },
          { ...good, memoryMib: 64, initramfs: new Uint8Array(65 << 20) }
        ] satisfies ReadonlyArray<BootSpec>) {
          const error = yield* run(spec)
          assert.strictEqual(error._tag, "BootError")
          if (error._tag === "BootError") names.push(error.reason._tag)
        }
        assert.deepStrictEqual(names.slice(0, 3), ["KernelUnreadable", "KernelUnreadable", "KernelUnknown"])
        assert.include(["KernelTooLarge", "MemoryTooSmall"], names[3])
        assert.strictEqual(names[4], "InitramfsTooLarge")
        // Problems that need no look at a file are reported before the run begins, with all others.
        assert.strictEqual((yield* run({ ...good, memoryMib: 0 }))._tag, "PipelineRefused")
      })
    )

    it.effect("without-an-agent-or-without-its-workload-ends-with-a-typed-error-too", () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const target = join(directory, "snapshot")
        const { kernelPath } = yield* linux(null)
        const absent = yield* Effect.scoped(Effect.flip(Pipeline.run({ kernelPath }, { policy, target })))
        assert.strictEqual(absent._tag, "KernelPanicked")
        assert.include(absent.message, "Unable to mount root fs")
        const missing = yield* Effect.scoped(
          Effect.flip(Pipeline.run(yield* linux(["/bin/no-such-program"]), { policy, target }))
        )
        assert.strictEqual(missing._tag, "WorkloadNotStarted")
        assert.deepInclude(missing, { step: "exec", errno: 2 })
        assert.deepStrictEqual(readdirSync(directory), [])
      })
    )
  })
})
