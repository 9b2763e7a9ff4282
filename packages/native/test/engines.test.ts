/** The reports about this host's engines match what happens when one is named. */
import { BootError, Vmm } from "@stillpoint/core"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { engines, NativeVmm } from "../src/index.ts"

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
      if (isUsable) assert.notStrictEqual(refused.reason._tag, "EngineUnknown")
      else assert.include(refused.message, detail ?? "")
    }
  })
})
