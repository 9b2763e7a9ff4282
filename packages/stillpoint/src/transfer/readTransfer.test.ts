import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { DurableFiles, manifestFileName, SnapshotStore } from "@stillpoint/core"
import { publishSample } from "@stillpoint/core/testing"
import { Effect, Layer, Schema } from "effect"
import * as fc from "fast-check"
import { TransferInvalid, TransferVersionUnknown } from "./TransferErrors.ts"
import { TransferReading, transferFailure } from "./readTransfer.ts"

const thrown = (work: () => unknown): unknown => {
  try {
    work()
  } catch (cause) {
    return cause
  }
  return undefined
}

const version = Schema.Struct({ format: Schema.Literal("sample"), version: Schema.Natural })
const form = {
  name: "a sample",
  version,
  supported: 1,
  record: Schema.Struct({ ...version.fields, size: Schema.Natural })
}

describe("what an archive or an artifact says", () => {
  it("is-read-if-this-build-knows-its-form-and-refused-by-name-if-not", () => {
    const reading = new TransferReading("somewhere")
    const read = (record: unknown) => reading.versioned(new TextEncoder().encode(JSON.stringify(record)), form)
    fc.assert(
      fc.property(fc.nat(), fc.nat(5), (size, version) => {
        const record = { format: "sample", version, size }
        if (version === 1) return assert.deepStrictEqual(read(record), record)
        const refused = thrown(() => read({ format: "sample", version, later: size }))
        assert(refused instanceof TransferVersionUnknown)
        assert.deepInclude(refused, { source: "somewhere", found: version, supported: 1 })
      })
    )
    fc.assert(fc.property(fc.jsonValue(), (record) => assert(thrown(() => read(record)) instanceof TransferInvalid)))
    assert(thrown(() => reading.versioned(new Uint8Array([123]), form)) instanceof TransferInvalid)
  })

  it.effect("of-a-manifest-is-what-the-manifest-says", () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "stillpoint-transfer-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
      const directory = join(folder, "sample")
      yield* publishSample(directory, "sample")
      const bytes = readFileSync(join(directory, manifestFileName))
      const reading = new TransferReading("somewhere")
      const { digest } = yield* SnapshotStore.use(({ open }) => open(directory)).pipe(
        Effect.map(({ manifest }) => manifest)
      )
      const announced = { digest, parent: null, image: null }
      assert.strictEqual(reading.manifest("manifest", bytes, announced).digest, digest)
      const other = "0".repeat(64)
      for (const wrong of [{ digest: other }, { parent: other }, { image: other }]) {
        const refused = thrown(() => reading.manifest("manifest", bytes, { ...announced, ...wrong }))
        assert(refused instanceof TransferInvalid, JSON.stringify(wrong))
      }
      const cut = bytes.subarray(1)
      assert(thrown(() => reading.manifest("manifest", cut, announced)) instanceof TransferInvalid)
    }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(SnapshotStore.layerHost, DurableFiles.layer)))
  )

  it("that-is-wrong-is-told-as-it-is-and-what-this-machine-says-as-a-fault-of-a-file", () => {
    const wrong = new TransferReading("somewhere").invalid("one thing", "x".repeat(1000))
    assert.strictEqual(transferFailure("pull", "somewhere")(wrong), wrong)
    assert.isBelow(wrong.found.length, 400)
    const fault = transferFailure("pull", "somewhere")(Object.assign(new Error("no"), { code: "ENOSPC" }))
    assert.deepInclude(fault, { _tag: "FileFault", operation: "pull", path: "somewhere", code: "ENOSPC" })
  })
})
