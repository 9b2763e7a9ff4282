/** A signed delta of a guest with a disk, and what it was taken against, of which any file is changed in any place. */
import { generateKeyPairSync, randomBytes } from "node:crypto"
import {
  closeSync,
  copyFileSync,
  rmSync,
  truncateSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readdirSync,
  readSync,
  renameSync,
  writeSync
} from "node:fs"
import { join } from "node:path"
import { DurableFiles, restoreSnapshot, SigningKey, type Snapshot, SnapshotStore } from "@stillpoint/core"
import { sampleDraft, objectIn } from "@stillpoint/core/testing"
import { Effect, Layer, Result } from "effect"
import * as fc from "fast-check"
import { assert, describe, it } from "vitest"
import { bootedTo, folder, layer, say, smallImage } from "./guests.ts"

/** How many changes are tried. */
const mutations = Number(process.env["STILLPOINT_MUTATIONS"] ?? 25)
/** A hang, and what was asked for. */
const longestMillis = 600_000 + mutations * 500
const pageBytes = 4096

const key = Effect.runSync(
  SigningKey.read(generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString())
)
const keyed = (encryptionKey?: Uint8Array) =>
  Layer.provide(
    SnapshotStore.layerKeyed({
      signingKey: key,
      requiredKeys: [key.verifying],
      ...(encryptionKey === undefined ? {} : { encryptionKey })
    }),
    DurableFiles.layer
  )

/** A file of a snapshot, and where in it there is something. */
interface Target {
  readonly path: string
  readonly sizeBytes: number
  /** Pages that are not zero. */
  readonly pages: ReadonlyArray<number>
}

const targetOf = (path: string): Target => {
  const bytes = readFileSync(path)
  const zeros = Buffer.alloc(pageBytes)
  const pages: Array<number> = []
  for (let at = 0; at < bytes.length; at += pageBytes) {
    const page = bytes.subarray(at, at + pageBytes)
    if (!page.equals(zeros.subarray(0, page.length))) pages.push(at)
  }
  return { path, sizeBytes: bytes.length, pages }
}

/** Takes a snapshot of a machine, signed and with a verdict. */
const taken = Effect.fnUntraced(function* (
  machine: Effect.Success<ReturnType<typeof bootedTo>>,
  target: string,
  parent?: Snapshot
) {
  const store = yield* SnapshotStore
  const staging = yield* store.stage(target)
  const captured = yield* machine.capture(staging.directory, {
    ...staging.kind,
    ...(parent === undefined ? {} : { parent: parent.manifest.identity })
  })
  return yield* store.publish(staging, {
    draft: { ...sampleDraft("mutated"), engine: captured.engine, memoryMib: captured.memoryMib },
    captured,
    timeline: new TextEncoder().encode("{}\n"),
    ...(parent === undefined ? {} : { parent }),
    verdict: { verdict: "passed", detail: "", workingSet: null }
  })
}, Effect.scoped)

const someTime = { budgetNanos: 300_000_000 }

/**
 * A clone whose parent's memory file shrinks stops with a named error before it executes anything more; another clone continues.
 */
const unreadable = Effect.fnUntraced(function* (full: Snapshot, delta: Snapshot) {
  const memory = objectIn(full.layers[0] ?? "")
  const [victim, sibling] = yield* Effect.all([restoreSnapshot(delta), restoreSnapshot(delta)])
  copyFileSync(memory, `${memory}.kept`)
  truncateSync(memory, 0)
  const began = yield* victim.nowNanos
  const asked = yield* Effect.result(victim.exec({ argv: ["wc", "-c", "/c/first"] }))
  assert(Result.isFailure(asked))
  assert.match(asked.failure.message, /the run ended: fault: snapshot memory .*[0-9a-f]{64}, chunk \d+/)
  const last = (yield* victim.eventsSoFar()).at(-1)
  assert(last?._tag === "EngineFault")
  assert.include(last.message, memory)
  // Not one instruction was executed on other bytes, nor is one when they are there again.
  writeSparse(`${memory}.kept`, memory)
  rmSync(`${memory}.kept`)
  assert.strictEqual((yield* victim.run(someTime)).reason, "fault")
  assert.strictEqual(yield* victim.nowNanos, last.atNanos)
  assert.isAtMost(last.atNanos - began, someTime.budgetNanos)
  assert.match(yield* say(sibling, "wc", "-c", "/c/first"), /^262144 /)
}, Effect.scoped)

/** Writes into a file that is there what another one holds. */
const writeSparse = (from: string, to: string): void => {
  const bytes = readFileSync(from)
  const file = openSync(to, "r+")
  ftruncateSync(file, bytes.length)
  for (const at of targetOf(from).pages) writeSync(file, bytes, at, Math.min(pageBytes, bytes.length - at), at)
  closeSync(file)
}

const change = fc.record({
  file: fc.nat(),
  how: fc.oneof(
    { weight: 8, arbitrary: fc.constant("flip" as const) },
    { weight: 2, arbitrary: fc.constant("cut" as const) },
    { weight: 1, arbitrary: fc.constant("extend" as const) },
    { weight: 1, arbitrary: fc.constant("remove" as const) },
    { weight: 2, arbitrary: fc.constant("zero" as const) }
  ),
  /** Whether a place is taken where there is something. */
  isHeld: fc.boolean(),
  at: fc.nat(),
  by: fc.integer({ min: 1, max: 255 })
})

/** Changes a file; says how it becomes what it was. */
const changed = (target: Target, { at, by, how, isHeld }: typeof change extends fc.Arbitrary<infer A> ? A : never) => {
  const { pages, path, sizeBytes } = target
  if (how === "remove" || sizeBytes === 0) {
    renameSync(path, `${path}.away`)
    return () => renameSync(`${path}.away`, path)
  }
  const file = openSync(path, "r+")
  const page = pages.length > 0 && isHeld ? (pages[at % pages.length] ?? 0) : at % sizeBytes
  const place = Math.min(sizeBytes - 1, page + (at % pageBytes))
  const length = how === "flip" ? 1 : Math.min(sizeBytes - place, by)
  const before = Buffer.alloc(length)
  readSync(file, before, 0, length, place)
  const tail = Buffer.alloc(Math.min(sizeBytes, by))
  readSync(file, tail, 0, tail.length, sizeBytes - tail.length)
  if (how === "flip") writeSync(file, Buffer.of((before[0] ?? 0) ^ by), 0, 1, place)
  if (how === "zero") writeSync(file, Buffer.alloc(length), 0, length, place)
  if (how === "cut") ftruncateSync(file, sizeBytes - tail.length)
  if (how === "extend") ftruncateSync(file, sizeBytes + by)
  return () => {
    writeSync(file, before, 0, length, place)
    ftruncateSync(file, sizeBytes)
    if (how === "cut") writeSync(file, tail, 0, tail.length, sizeBytes - tail.length)
    assert.strictEqual(fstatSync(file).size, sizeBytes)
    closeSync(file)
  }
}

describe("a snapshot of which something was changed", () => {
  it.for([
    { what: "a signed delta", encryptionKey: undefined },
    { what: "a signed and encrypted delta", encryptionKey: randomBytes(32) }
  ])(
    "$what is-refused-by-name-or-is-the-same-machine",
    { timeout: longestMillis },
    async ({ encryptionKey, what }, { task }) => {
      const seen = { refused: 0, stopped: 0, same: 0 }
      const program = Effect.gen(function* () {
        const base = yield* folder
        const image = yield* smallImage([], {
          Cmd: ["sh", "-c", "dd if=/dev/urandom of=/c/first bs=64k count=4; sync"]
        })
        const machine = yield* bootedTo("WorkloadExited", {
          image,
          disks: [{ name: "c", path: "/c", access: "scratch", sizeBytes: 16 << 20 }]
        })
        const full = yield* taken(machine, join(base, "full"))
        yield* say(machine, "sh", "-c", "dd if=/dev/urandom of=/c/second bs=64k count=2; sync")
        const delta = yield* taken(machine, join(base, "delta"), full)
        const expected = yield* machine.digest
        const store = yield* SnapshotStore
        const outcome = Effect.gen(function* () {
          const opened = yield* Effect.result(store.open(delta.directory))
          if (Result.isFailure(opened)) return { how: "refused" as const, error: opened.failure }
          const digest = yield* Effect.result(
            Effect.scoped(Effect.flatMap(restoreSnapshot(opened.success), (restored) => restored.digest))
          )
          if (Result.isFailure(digest)) return { how: "stopped" as const, error: digest.failure }
          assert.strictEqual(digest.success, expected)
          return { how: "same" as const, error: null }
        })
        const targets = [delta, full].flatMap(({ directory, layers: [contents = ""] }) => [
          targetOf(join(directory, "manifest.json")),
          ...readdirSync(contents).map((name) => targetOf(join(contents, name)))
        ])
        // Memory, a disk, what names them, what happened, a verdict and signatures, of both.
        assert.isAtLeast(targets.length, 16)
        yield* unreadable(full, delta)
        const context = yield* Effect.context<Effect.Services<typeof outcome>>()
        assert.strictEqual((yield* outcome).how, "same")
        yield* Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(change, async (one) => {
              const target = targets[one.file % targets.length]
              if (target === undefined) return
              const undo = changed(target, one)
              try {
                const { error, how } = await Effect.runPromiseWith(context)(outcome)
                seen[how] += 1
                if (error !== null) assert.include(["SnapshotOpenError", "RestoreError", "MachineError"], error._tag)
              } finally {
                undo()
              }
            }),
            { numRuns: mutations, endOnFailure: true }
          )
        )
        assert.strictEqual((yield* outcome).how, "same")
      })
      await Effect.runPromise(
        Effect.scoped(program).pipe(Effect.provide(Layer.provideMerge(keyed(encryptionKey), layer), { local: true }))
      )
      assert.isAbove(seen.refused, 0)
      const { refused, same, stopped } = seen
      Object.assign(task.meta, {
        told: `changes to ${what} with a disk: ${mutations} tried, ${refused} refused when opened, ${stopped} when touched, ${same} without effect, 0 failures`
      })
    }
  )
})
