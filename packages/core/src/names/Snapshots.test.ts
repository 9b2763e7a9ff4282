import { mkdtemp, readdir, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { DurableFiles } from "../files/DurableFiles.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { handle, home, keepSample, run, type Services } from "../testing/sampleStore.ts"
import { parseReference } from "./Reference.ts"
import { Snapshots, type SnapshotsShape } from "./Snapshots.ts"

type Step =
  | { readonly do: "keep"; readonly name: string; readonly replace: boolean; readonly parent: string | null }
  | { readonly do: "tag"; readonly from: string; readonly name: string; readonly replace: boolean }
  | { readonly do: "untag" | "remove"; readonly name: string }

const name = fc.constantFrom("web", "web:v2", "job", "a-b.c")
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("keep" as const), name, replace: fc.boolean(), parent: fc.option(name, { freq: 2 }) }),
  fc.record({ do: fc.constant("tag" as const), from: name, name, replace: fc.boolean() }),
  fc.record({ do: fc.constantFrom("untag" as const, "remove" as const), name })
)

/** A model of a store without files: names and snapshots, each with its parent. */
interface Model {
  readonly names: ReadonlyMap<string, string>
  readonly parents: ReadonlyMap<string, string | null>
}

/** The effect of a step on a store, and its error; labels replace digests. */
const expected = (model: Model, one: Step, label: string): { readonly model: Model; readonly error: string | null } => {
  const refused = (error: string) => ({ model, error })
  const names = new Map(model.names)
  const parents = new Map(model.parents)
  const done = { model: { names, parents }, error: null }
  switch (one.do) {
    case "keep": {
      const parent = one.parent === null ? null : names.get(one.parent)
      if (parent === undefined) return refused("SnapshotUnknown")
      if (names.has(one.name) && !one.replace) return refused("NameTaken")
      parents.set(label, parent)
      names.set(one.name, label)
      return done
    }
    case "tag": {
      const from = names.get(one.from)
      if (from === undefined) return refused("SnapshotUnknown")
      if (names.has(one.name) && names.get(one.name) !== from && !one.replace) return refused("NameTaken")
      names.set(one.name, from)
      return done
    }
    case "untag":
    case "remove": {
      const snapshot = names.get(one.name)
      if (snapshot === undefined) return refused("SnapshotUnknown")
      names.delete(one.name)
      const isLast = one.do === "remove" && ![...names.values()].includes(snapshot)
      if (!isLast) return done
      if ([...parents.values()].includes(snapshot)) return refused("SnapshotNeeded")
      parents.delete(snapshot)
      return done
    }
  }
}

const perform = (snapshots: SnapshotsShape, one: Step, label: string) => {
  switch (one.do) {
    case "keep":
      return keepSample(label, one.name, {
        replace: one.replace,
        ...(one.parent === null ? {} : { parent: one.parent })
      })
    case "tag":
      return snapshots.tag(one.from, one.name, { replace: one.replace })
    case "untag":
      return snapshots.untag(one.name)
    case "remove":
      return snapshots.remove(one.name)
  }
}

/** The content of a store, in the model's form. */
const standing = Effect.gen(function* () {
  const all = yield* (yield* Snapshots).list
  const labels = new Map(all.map(({ digest, manifest }) => [digest, manifest?.runId ?? "damaged"]))
  assert.deepStrictEqual(
    all.map(({ problem }) => problem).filter((problem) => problem !== null),
    []
  )
  return {
    names: all.flatMap(({ digest, names }) => names.map((one) => `${one}=${labels.get(digest)}`)).toSorted(),
    snapshots: all
      .map(({ digest, parent }) => `${labels.get(digest)}<${parent === null ? "" : labels.get(parent)}`)
      .toSorted()
  }
})

const said = ({ names, parents }: Model) => ({
  names: [...names].map(([one, label]) => `${one}=${label}`).toSorted(),
  snapshots: [...parents].map(([label, parent]) => `${label}<${parent ?? ""}`).toSorted()
})

const empty: Model = { names: new Map(), parents: new Map() }

describe("a store of names", () => {
  it("is-a-map-of-names-whichever-process-does-what", async () => {
    const outcomes = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 10 }), (steps) =>
        Effect.runPromise(
          Effect.gen(function* () {
            const files = new MemoryFiles()
            yield* files.shape.makeDirectory("/data")
            let model = empty
            for (const [index, one] of steps.entries()) {
              const label = `s${index}`
              const next = expected(model, one, label)
              // Each step is done by a process that has seen none of those before.
              const outcome = yield* run(
                files,
                Effect.flatMap(Snapshots, (snapshots) => Effect.result(perform(snapshots, one, label)))
              )
              const failure: unknown = Result.isFailure(outcome) ? outcome.failure : null
              const error = failure === null ? null : (failure as { reason: { _tag: string } }).reason._tag
              assert.strictEqual(error, next.error)
              model = next.model
              const key = `${one.do} ${error ?? "done"}`
              outcomes.set(key, (outcomes.get(key) ?? 0) + 1)
              assert.deepStrictEqual(yield* run(files, standing), said(model))
            }
            // Nothing else is left.
            const others = files
              .paths()
              .filter((path) => /new-|gone-|unless-named-|names\.json\.|\.stillpoint-/.test(path))
            assert.deepStrictEqual(others, [])
          })
        )
      ),
      {
        numRuns: 60,
        examples: [
          [
            [
              { do: "keep", name: "web", replace: false, parent: null },
              { do: "keep", name: "job", replace: false, parent: "web" },
              { do: "remove", name: "web" },
              { do: "keep", name: "web", replace: false, parent: null },
              { do: "tag", from: "job", name: "web", replace: false },
              { do: "untag", name: "a-b.c" },
              { do: "remove", name: "job" },
              { do: "remove", name: "web" }
            ]
          ]
        ]
      }
    )
    for (const key of [
      "keep done",
      "keep NameTaken",
      "tag NameTaken",
      "untag SnapshotUnknown",
      "remove SnapshotNeeded",
      "remove done"
    ]) {
      assert.isAbove(outcomes.get(key) ?? 0, 0, key)
    }
  })

  it("a-kill-at-any-moment-leaves-the-store-as-before-or-as-after", async () => {
    const before: Model = { names: new Map([["web", "old"]]), parents: new Map([["old", null]]) }
    const steps: ReadonlyArray<Step> = [
      { do: "keep", name: "web", replace: true, parent: null },
      { do: "keep", name: "job", replace: false, parent: "web" },
      { do: "tag", from: "web", name: "job", replace: false },
      { do: "untag", name: "web" },
      { do: "remove", name: "web" }
    ]
    const kept = { before: 0, after: 0 }
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...steps), fc.nat(70), fc.infiniteStream(fc.nat(1000)), (one, at, choices) =>
        Effect.runPromise(
          Effect.gen(function* () {
            const files = new MemoryFiles()
            yield* files.shape.makeDirectory("/data")
            yield* files.shape.flushDirectory("/")
            yield* run(files, keepSample("old", "web"))
            files.injectFault({ atOperation: files.operations + at, code: "crash" })
            yield* run(
              files,
              Effect.flatMap(Snapshots, (snapshots) => Effect.result(perform(snapshots, one, "new")))
            )
            files.reboot((outcomes) => (choices.next().value as number) % outcomes)
            // The next process finds one of the two states, and clears the rest.
            const found = yield* run(files, standing)
            const after = said(expected(before, one, "new").model)
            const isAfter = JSON.stringify(found.names) === JSON.stringify(after.names)
            assert.include(
              [JSON.stringify(said(before).names), JSON.stringify(after.names)],
              JSON.stringify(found.names)
            )
            kept[isAfter ? "after" : "before"] += 1
            yield* run(files, keepSample("later", "later"))
            const others = files
              .paths()
              .filter((path) => /new-|gone-|unless-named-|names\.json\.|\.stillpoint-/.test(path))
            assert.deepStrictEqual(others, [])
            // Every name that is there can be opened, and there is no snapshot between before and after.
            const whole = isAfter ? after : said(before)
            assert.deepStrictEqual(yield* run(files, standing), {
              names: [...whole.names, "later=later"].toSorted(),
              snapshots: [...whole.snapshots, "later<"].toSorted()
            })
          })
        )
      ),
      { numRuns: 150 }
    )
    assert.isAbove(kept.before, 0)
    assert.isAbove(kept.after, 0)
  })

  it("an-error-of-the-disk-at-any-operation-leaves-names-and-snapshots-as-they-were", async () => {
    let failures = 0
    for (let at = 0; at < 70; at++) {
      const files = new MemoryFiles()
      await Effect.runPromise(
        Effect.gen(function* () {
          yield* files.shape.makeDirectory("/data")
          yield* run(files, keepSample("old", "web"))
          files.injectFault({ atOperation: files.operations + at, code: "ENOSPC" })
          const outcome = yield* run(files, Effect.result(keepSample("new", "web", { replace: true })))
          files.injectFault()
          const found = yield* run(files, standing)
          if (Result.isSuccess(outcome)) return assert.deepStrictEqual(found.names, ["web=new"])
          failures += 1
          assert.deepStrictEqual(found, { names: ["web=old"], snapshots: ["old<"] })
        })
      )
    }
    assert.isAbove(failures, 20)
  })

  it.live("of-many-who-give-one-name-one-does-and-the-others-are-told", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-names-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
      )
      const onHost = handle(DurableFiles.layer, join(folder, "home"))
      const asHandle = <A, E>(work: Effect.Effect<A, E, Services>) => Effect.provide(work, onHost, { local: true })
      const kept = yield* Effect.forEach(["a", "b", "c", "d"], (label) => asHandle(keepSample(label)), {
        concurrency: "unbounded"
      })
      const tagged = yield* Effect.forEach(
        kept,
        ({ digest }) => asHandle(Effect.result(Snapshots.use((snapshots) => snapshots.tag(digest, "web")))),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(tagged.filter((one) => Result.isSuccess(one)).length, 1)
      for (const one of tagged) if (Result.isFailure(one)) assert.strictEqual(one.failure.reason._tag, "NameTaken")
      const winner = (yield* asHandle(Snapshots.use(({ get }) => get("web")))).manifest.digest
      const moved = yield* Effect.forEach(
        kept.filter(({ digest }) => digest !== winner),
        ({ digest }) => asHandle(Effect.result(Snapshots.use(({ tag }) => tag(digest, "web", { expecting: winner })))),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(moved.filter((one) => Result.isSuccess(one)).length, 1)
      for (const one of moved) if (Result.isFailure(one)) assert.strictEqual(one.failure.reason._tag, "NameMoved")

      // Everything is its owner's alone.
      const entries = yield* Effect.promise(() =>
        readdir(join(folder, "home"), { recursive: true, withFileTypes: true })
      )
      assert.isAbove(entries.length, 8)
      for (const entry of entries) {
        const { mode } = yield* Effect.promise(() => stat(join(entry.parentPath, entry.name)))
        assert.strictEqual(mode & 0o777, entry.isDirectory() ? 0o700 : 0o600, entry.name)
      }
    }).pipe(Effect.scoped)
  )

  it.live("what-is-asked-for-by-a-wrong-name-is-told-which-was-meant", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      yield* files.shape.makeDirectory("/data")
      const { digest } = yield* run(files, keepSample("old", "web-server"))
      const asked = (reference: string) =>
        run(files, Effect.map(Effect.result(Snapshots.use(({ inspect }) => inspect(reference))), Result.merge))
      const messageOf = (found: object) => ("message" in found ? found.message : "found")
      assert.include(messageOf(yield* asked("web-servr")), "did you mean web-server")
      // Names of the cache are nobody's.
      yield* run(files, keepSample("cached", "cache:web-servr-x"))
      assert.include(messageOf(yield* asked("web-servr")), "did you mean web-server")
      assert.match(String(messageOf(yield* asked("nothing-like-it"))), /the store has web-server$/)
      assert.include(messageOf(yield* asked("../web")), "expected NAME or NAME:TAG")
      for (const known of [digest, `sha256:${digest}`, `sha256:${digest.slice(0, 8)}`, "web-server:latest"]) {
        assert.strictEqual(messageOf(yield* asked(known)), "found", known)
      }
      // A later build's record is refused by its version, and nothing is written over it.
      files.alter(`${home}/names.json`, (bytes) =>
        new TextEncoder().encode(new TextDecoder().decode(bytes).replace('"version":1', '"version":2'))
      )
      assert.include(messageOf(yield* asked("web-server")), "has version 2; this build reads version 1")
      assert.isTrue(Result.isFailure(yield* run(files, Effect.result(keepSample("new", "web")))))
    })
  )

  it("no-text-is-a-reference-that-leads-out-of-the-store", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-f0-9:./_-]{1,70}$/)), (text) => {
        const parsed = parseReference(text)
        if (Result.isFailure(parsed)) return
        const parts =
          parsed.success._tag === "Named" ? [parsed.success.name, parsed.success.tag] : [parsed.success.digest]
        for (const part of parts) assert.match(part, /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/)
      })
    )
  })
})
