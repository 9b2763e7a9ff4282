import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { type BootSpec, Vmm } from "@stillpoint/core"
import { MemoryFiles, ScriptedVmm } from "@stillpoint/core/testing"
import { Effect, Layer } from "effect"
import { bootedKey } from "./bootedMachine.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-booted-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** Machines of an engine on a real processor: no two have the same state. */
const counting = (build: string, isDeterministic: boolean) =>
  Layer.effect(
    Vmm,
    Effect.gen(function* () {
      const scripted = yield* Vmm
      let count = 0
      const boot = (spec: BootSpec) =>
        Effect.map(scripted.boot(spec), (machine) => ({ ...machine, digest: Effect.sync(() => `state ${count++}`) }))
      return { ...scripted, build, boot }
    })
  ).pipe(Layer.provide(ScriptedVmm.layer({ isDeterministic })), Layer.provide(new MemoryFiles().layer))

describe("the key of a booted kit", () => {
  it.effect("is-of-what-is-booted-where-no-two-machines-have-the-same-state", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const kernel = (name: string, content: string) => {
        writeFileSync(join(root, name), content)
        return join(root, name)
      }
      const spec: BootSpec = {
        kernelPath: kernel("one", "a kernel"),
        initramfs: new Uint8Array([1]),
        memoryMib: 128
      }
      const key = (changed: Partial<BootSpec> = {}, build = "build") =>
        Effect.provide(bootedKey({ ...spec, ...changed }), counting(build, false), { local: true })
      const first = yield* key()
      assert.match(first, /^[0-9a-f]{64}$/)
      // Another process, and the same kernel elsewhere.
      assert.deepStrictEqual([yield* key(), yield* key({ kernelPath: kernel("two", "a kernel") })], [first, first])
      const others = [
        yield* key({ kernelPath: kernel("one", "another kernel") }),
        yield* Effect.andThen(
          Effect.sync(() => kernel("one", "a kernel")),
          key({ initramfs: new Uint8Array([2]) })
        ),
        yield* key({ memoryMib: 256 }),
        yield* key({ commandLine: "quiet" }),
        yield* key({}, "another build")
      ]
      assert.strictEqual(new Set([first, ...others]).size, 6)
    })
  )

  it.effect("is-the-machine-s-whole-state-where-equal-inputs-give-equal-ones", () =>
    Effect.gen(function* () {
      const kernelPath = join(yield* folder, "kernel")
      writeFileSync(kernelPath, "a kernel")
      const key = yield* Effect.provide(bootedKey({ kernelPath }), counting("build", true))
      assert.strictEqual(key, "state 0")
    })
  )
})
