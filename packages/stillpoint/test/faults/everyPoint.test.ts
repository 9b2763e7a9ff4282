/** Whatever the disk does while a store is changed: it is as before or as after, all of it can be opened, and nothing else is left. */
import { randomBytes } from "node:crypto"
import { rmSync } from "node:fs"
import { Effect } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { countCalls, injected, systemFaults, whyNotTraced } from "./tracedProcess.ts"
import { crashed, type Fault, faults, interpose, recorded, withFault } from "./interposedFiles.ts"
import { copyOf, inFolder, newFolder, type Prepared, prepare, standingIn, type Verb, verbs } from "./storeVerbs.ts"

/** How many faults, and how many losses of power, of each verb are tried; `all` of the faults are some ten thousand. */
const asked = process.env["STILLPOINT_FAULTS"] ?? "3"
const losses = asked === "all" ? 2000 : Number(asked)
/** A hang, and what was asked for: all of it takes hours. */
const timeout = 600_000 + (asked === "all" ? 86_400_000 : losses * 5_000)
const seed = Number(process.env["STILLPOINT_SEED"] ?? Math.floor(Math.random() * 2 ** 31))

/** Numbers in [0, 1) that follow from a seed. */
const random = (from: number): (() => number) => {
  let state = from >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** So many of what could be tried, evenly, from a place that the seed says. */
const sampled = <A>(all: ReadonlyArray<A>, next: () => number, most = Number(asked)): ReadonlyArray<A> => {
  const count = asked === "all" ? all.length : Math.min(all.length, most)
  const first = next()
  return Array.from({ length: count }, (_, index) => all[Math.floor(((index + first) * all.length) / count)] as A)
}

const without = (folder: string): void => rmSync(folder, { recursive: true, force: true })

const stores = [
  { what: "a store whose disk fails", encryptionKey: null },
  { what: "a store with an encryption key whose disk fails", encryptionKey: randomBytes(32) }
]

describe.each(stores)("$what", ({ encryptionKey }) => {
  const encrypted = encryptionKey === null ? "" : "encrypted: "
  const base = newFolder()
  let prepared: Prepared
  let before: ReadonlyArray<string> = []
  beforeAll(async () => {
    await interpose()
    prepared = await prepare(base, encryptionKey)
    before = (await standing(copyOf(prepared))).snapshots
  })
  afterAll(() => without(base))

  const standing = async (folder: string) => {
    const found = await standingIn(folder, prepared)
    without(folder)
    return found
  }
  const once = (folder: string, verb: Verb) => inFolder(folder, prepared, Effect.result(verb(folder, prepared)))

  /** The effect of a verb on the store, and its number of calls. */
  const clean = async (verb: Verb) => {
    const folder = copyOf(prepared)
    const { calls, result } = await withFault(folder, null, () => once(folder, verb))
    assert.strictEqual(result._tag, "Success")
    return { calls, after: (await standing(folder)).snapshots }
  }

  /** A lineage that comes is taken snapshot by snapshot: what it was taken against may be there already, whole and without a name. */
  const isBetween = (name: string, found: ReadonlyArray<string>): boolean =>
    (name === "import" || name === "pull") && JSON.stringify(found) === JSON.stringify([...before, "full< "].toSorted())

  const judge = (
    name: string,
    found: Awaited<ReturnType<typeof standing>>,
    after: ReadonlyArray<string>,
    of: string
  ) => {
    assert.deepStrictEqual(found.left, [], of)
    if (isBetween(name, found.snapshots)) return
    const said = JSON.stringify(found.snapshots)
    assert.include([JSON.stringify(before), JSON.stringify(after)], said, of)
  }

  it.skipIf(whyNotTraced !== "")(
    `a-process-for-which-the-system-fails-leaves-what-was-or-what-is-to-be${whyNotTraced}`,
    { timeout },
    async ({ task }) => {
      const next = random(seed + 2)
      const shown = sampled(Object.entries(verbs), next, Math.ceil(Number(asked) / 8))
      let tried = 0
      for (const [name, verb] of shown) {
        const { after } = await clean(verb)
        const traced = copyOf(prepared)
        const counts = countCalls(name, traced, prepared.base)
        without(traced)
        const points = [...counts].flatMap(([call, count]) =>
          Array.from({ length: count }, (_, at) => systemFaults.map((how) => ({ call, at: at + 1, how }))).flat()
        )
        assert.isAbove(points.length, 0)
        for (const { at, call, how } of sampled(points, next)) {
          const of = `${name}: ${how} at ${call} ${at} of ${counts.get(call)}, seed ${seed}`
          const folder = copyOf(prepared)
          const isDone = injected(name, folder, prepared.base, `${call}:${how}:when=${at}`)
          const found = await standing(folder)
          judge(name, found, after, of)
          if (isDone) assert.deepStrictEqual(found.snapshots, after, of)
          tried += 1
        }
      }
      assert.isAbove(tried, 0)
      const told = `${encrypted}faults of the system, by strace, in ${shown.map(([name]) => name).join(", ")}: ${tried} processes, 0 failures`
      Object.assign(task.meta, { told })
    }
  )

  for (const [name, verb] of Object.entries(verbs)) {
    it(
      `${name}-that-fails-at-any-call-or-is-cut-off-there-leaves-what-was-or-what-is-to-be`,
      { timeout },
      async ({ task }) => {
        const { after, calls } = await clean(verb)
        const points = Array.from({ length: calls }, (_, at) =>
          faults.map((kind): [number, Fault] => [at, kind])
        ).flat()
        const tried = sampled(points, random(seed))
        for (const [at, kind] of tried) {
          const of = `${name}: ${kind} at call ${at} of ${calls}, seed ${seed}`
          const folder = copyOf(prepared)
          const { isHit, result } = await withFault(folder, { at, kind }, () => once(folder, verb))
          // The order in which files are read in parallel is not guaranteed: one call more or less does not matter.
          if (at < calls - 5) assert.isTrue(isHit, of)
          if (result._tag === "Failure") {
            assert.match(String((result.failure as { readonly _tag?: string })._tag), /^[A-Z]\w+$/, of)
          }
          const found = await standingIn(folder, prepared)
          judge(name, found, after, of)
          if (result._tag === "Success") assert.deepStrictEqual(found.snapshots, after, of)
          // And a retry succeeds.
          if (JSON.stringify(found.snapshots) !== JSON.stringify(after)) await once(folder, verb)
          assert.deepStrictEqual((await standing(folder)).snapshots, after, of)
        }
        Object.assign(task.meta, {
          told: `${encrypted}faults of the disk in ${name}: ${tried.length} of ${points.length} tried at ${calls} calls, 0 failures`
        })
      }
    )

    it(
      `${name}-in-which-power-is-lost-leaves-what-was-or-what-is-to-be-and-done-is-durable`,
      { timeout },
      async ({ task }) => {
        const next = random(seed + 1)
        const { after } = await clean(verb)
        const worked = copyOf(prepared)
        const recording = await recorded(worked, () => inFolder(worked, prepared, verb(worked, prepared)))
        without(worked)
        const { length } = recording.changes
        assert.isAbove(length, 0)
        for (let index = 0; index < losses; index++) {
          // The first is after all of it: what was said to be done is there.
          const cut = index === 0 ? length : Math.floor(next() * (length + 1))
          const share = next()
          const of = `${name}: power lost after ${cut} of ${length} changes, seed ${seed}`
          const folder = newFolder()
          crashed(recording, cut, folder, () => next() < share)
          const found = await standing(folder)
          judge(name, found, after, of)
          if (cut === length) assert.deepStrictEqual(found.snapshots, after, of)
        }
        Object.assign(task.meta, {
          told: `${encrypted}losses of power in ${name}: ${losses} disks made of ${length} recorded changes, 0 failures`
        })
      }
    )
  }
})
