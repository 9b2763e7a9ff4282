import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import {
  compactSnapshot,
  type CapturedFiles,
  Gate,
  makeClonePool,
  Pipeline,
  restoreSnapshot,
  type Snapshot,
  SnapshotStore,
  Vmm
} from "@stillpoint/core"
import { kindTrigger, objectIn } from "@stillpoint/core/testing"
import { Effect, Stream } from "effect"
import * as fc from "fast-check"
import { folder, layer as machines, linux, linuxAt } from "../guests.ts"
import { layer } from "./witness.ts"

const page = { argv: ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"] }

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim()

/** Snapshots of a listening guest at some heartbeats after each other, each frozen, the later ones deltas. */
const beats = Effect.fn("beats")(function* (root: string) {
  const heartbeats = kindTrigger("HeartbeatTick", 10)
  const taken = yield* Pipeline.repeat(yield* linux(), {
    policy: heartbeats,
    target: (index) => join(root, `beat-${index}`),
    deltas: true
  }).pipe(Stream.runCollect, Effect.scoped)
  return taken.map(({ value }) => value)
})

const digestOf = (directory: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      return yield* (yield* restoreSnapshot(yield* (yield* SnapshotStore).open(directory))).digest
    })
  )

describe("deltas of a running guest", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("hold-what-changed-restore-as-what-they-were-and-compact-to-the-same", () =>
      Effect.gen(function* () {
        const root = yield* folder
        const store = yield* SnapshotStore
        const taken = yield* beats(root)
        const last = taken.at(-1)?.snapshot
        if (last === undefined) return assert.fail("nothing was taken")
        assert.strictEqual(last.parents.length, taken.length - 1)
        const [full, ...deltas] = taken.map(({ storedBytes }) => storedBytes)
        for (const bytes of deltas) assert.isBelow(bytes, (full ?? 0) / 2)
        assert.isTrue(taken.some(({ snapshot }) => snapshot.manifest.capture.isWorkloadFrozen))
        assert.isTrue(taken.some(({ snapshot }) => !snapshot.manifest.capture.isWorkloadFrozen))

        const whole = yield* compactSnapshot(last.directory, join(root, "whole"))
        assert.deepStrictEqual(whole.parents, [])
        assert.strictEqual(yield* digestOf(whole.directory), yield* digestOf(last.directory))
        assert.deepStrictEqual(yield* store.timeline(whole), yield* store.timeline(last))

        // A clone of the chain and one of the whole serve the same page, as another machine each.
        const told = yield* Effect.forEach([last.directory, whole.directory], (directory) =>
          Effect.scoped(
            Effect.gen(function* () {
              const { identity, machine } = yield* Gate.restore(directory)
              return { page: text((yield* machine.exec(page)).stdout), machineId: identity.machineId }
            })
          )
        )
        assert.match(told[0]?.page ?? "", /^[0-9a-f]{32}$/)
        assert.strictEqual(told[0]?.page, told[1]?.page)
        assert.notStrictEqual(told[0]?.machineId, told[1]?.machineId)

        yield* Effect.scoped(
          Effect.gen(function* () {
            const pool = yield* makeClonePool({ snapshot: last.directory, ready: 2 })
            const { machine } = yield* pool.acquire
            assert.strictEqual(text((yield* machine.exec(page)).stdout), told[0]?.page)
          })
        )
      })
    )

    it.effect("are-taken-of-clones-layer-upon-layer", () =>
      Effect.gen(function* () {
        const root = yield* folder
        const store = yield* SnapshotStore
        const spec = yield* linux()
        const { value } = yield* Effect.scoped(
          Pipeline.run(spec, { policy: kindTrigger("ListenerBound"), target: join(root, "base") })
        )
        // Layers on a base: each a clone of the one below, with something installed.
        let below: Snapshot = value.snapshot
        for (const name of ["one", "two"]) {
          below = yield* Effect.scoped(
            Effect.gen(function* () {
              const { machine } = yield* Gate.restore(below.directory)
              const { code } = yield* machine.exec({ argv: ["sh", "-c", `echo ${name} > /run/${name}`] })
              assert.strictEqual(code, 0)
              yield* machine.agent.requestFreeze
              yield* machine.run({ kinds: ["AgentFrozen"], budgetNanos: 1e9 })
              const staging = yield* store.stage(join(root, name))
              const captured = yield* machine.capture(staging.directory, { parent: below.manifest.identity })
              const { capture, ...rest } = below.manifest
              return yield* store.publish(staging, {
                draft: { ...rest, capture: { ...capture, atNanos: captured.atNanos, isWorkloadFrozen: true } },
                captured,
                timeline: yield* store.timeline(below),
                parent: below
              })
            })
          )
        }
        assert.strictEqual(below.parents.length, 2)
        const { machine } = yield* Gate.restore(below.directory)
        const { stdout } = yield* machine.exec({ argv: ["cat", "/run/one", "/run/two"] })
        assert.strictEqual(text(stdout), "one\ntwo")
      })
    )

    it.effect("damaged-anywhere-are-refused-by-name-or-give-what-was-captured", () =>
      Effect.gen(function* () {
        const root = yield* folder
        const store = yield* SnapshotStore
        const taken = (yield* beats(root)).slice(0, 4)
        const last = taken.at(-1)?.snapshot
        if (last === undefined) return assert.fail("nothing was taken")
        const digest = yield* digestOf(last.directory)
        const context = yield* Effect.context<Vmm | SnapshotStore>()
        const names = ["an object", "memory.digests", "machine.bin", "timeline.ndjson", "manifest.json"]
        yield* Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(
              fc.nat({ max: taken.length - 1 }),
              fc.constantFrom(...names),
              fc.oneof(
                fc.record({ kind: fc.constant("flip" as const), at: fc.double({ min: 0, max: 1, noNaN: true }) }),
                fc.record({ kind: fc.constant("cut" as const), at: fc.double({ min: 0, max: 1, noNaN: true }) }),
                fc.constant({ kind: "remove" as const, at: 0 })
              ),
              async (link, name, { at, kind }) => {
                const { directory = "", layers: [contents = ""] = [] } = taken[link]?.snapshot ?? {}
                const file =
                  name === "an object"
                    ? objectIn(contents)
                    : join(name === "manifest.json" ? directory : contents, name)
                const original = readFileSync(file)
                const offset = Math.min(original.length - 1, Math.floor(at * original.length))
                if (kind === "remove") rmSync(file)
                else if (kind === "cut") truncateSync(file, offset)
                else writeFileSync(file, original.with(offset, (original[offset] ?? 0) ^ 0x10))
                try {
                  const outcome = await Effect.runPromiseWith(context)(Effect.result(digestOf(last.directory)))
                  if (outcome._tag === "Success") {
                    // Nothing but memory that is overwritten above can be other than it was.
                    assert.strictEqual(name, "an object")
                    assert.strictEqual(outcome.success, digest)
                  } else {
                    assert.include(["SnapshotOpenError", "RestoreError", "MachineError"], outcome.failure._tag)
                    assert.include(outcome.failure.message, file)
                  }
                } finally {
                  rmSync(file, { force: true })
                  writeFileSync(file, original)
                }
              }
            ),
            { numRuns: 40 }
          )
        )
        assert.strictEqual(yield* digestOf(last.directory), digest)
        yield* store.open(last.directory)
      })
    )
  })

  withLayer(machines, { excludeTestServices: true })((it) => {
    it.effect("of-random-depth-restore-as-a-full-capture-of-the-same-moment", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady")
        const root = yield* folder
        const vmm = yield* Vmm
        const context = yield* Effect.context<Vmm>()
        let directories = 0
        const fresh = () => {
          const path = join(root, `${directories++}`)
          mkdirSync(path)
          return path
        }
        yield* Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(
              fc.array(fc.record({ millis: fc.integer({ min: 1, max: 60 }), forked: fc.boolean() }), {
                minLength: 1,
                maxLength: 6
              }),
              (steps) =>
                Effect.runPromiseWith(context)(
                  Effect.scoped(
                    Effect.gen(function* () {
                      const links: Array<{ readonly directory: string; readonly captured: CapturedFiles }> = []
                      for (const { forked, millis } of steps) {
                        yield* machine.run({ budgetNanos: millis * 1e6 })
                        // A fork goes its own way for a moment and is captured; the machine does not.
                        const subject = forked ? yield* machine.fork : machine
                        if (forked) yield* subject.run({ budgetNanos: 2e6 })
                        const parent = links.at(-1)?.captured.identity
                        const directory = fresh()
                        const captured = yield* subject.capture(directory, parent === undefined ? {} : { parent })
                        links.push({ directory, captured })
                        const [newest, ...parents] = links.map((link) => link.directory).toReversed()
                        const restored = yield* vmm.restore(newest ?? "", { parents, identity: captured.identity })
                        const full = fresh()
                        yield* subject.capture(full)
                        const whole = yield* vmm.restore(full)
                        const digest = yield* subject.digest
                        assert.strictEqual(yield* restored.digest, digest)
                        assert.strictEqual(yield* whole.digest, digest)
                      }
                    })
                  )
                )
            ),
            { numRuns: 6 }
          )
        )
        // A copy elsewhere is as good.
        const copied = join(root, "copied")
        cpSync(join(root, "0"), copied, { recursive: true })
        yield* Effect.scoped(vmm.restore(copied))
      })
    )
  })
})
