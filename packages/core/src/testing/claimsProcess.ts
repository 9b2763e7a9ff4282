/**
 * A process that claims names beside a journal and sweeps, in parallel with others, until it is killed.
 *
 * `node claimsProcess.ts JOURNAL SEED`; it prints a word for each thing that it did:
 *
 * ```text
 * held      it had a name that others want too
 * refused   another had it
 * alone     it had a name of its own, which nobody else wants
 * swept     it removed what a killed process left
 * robbed    a name of its own was refused
 * shared    another process had the name at the same time
 * ```
 *
 * @module
 */
import { readFileSync, rmSync, writeFileSync, writeSync } from "node:fs"
import { Effect } from "effect"
import { journalClaims } from "../journal/journalClaims.ts"

const [path = "", seed = "1"] = process.argv.slice(2)

const say = (word: string) => Effect.sync(() => void writeSync(1, `${word}\n`))

/** The next of numbers that are all over the place, as the seed has them. */
let state = Number(seed)
const below = (limit: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * limit)
}

const contentOf = (file: string): string | null => {
  try {
    return readFileSync(file, "utf8")
  } catch {
    return null
  }
}

/** Whether a process is at work: not gone, and not dead and only not waited for. */
const isAlive = (pid: string): boolean => {
  const stat = pid === "" ? null : contentOf(`/proc/${pid}/stat`)
  return stat !== null && !/\) [ZX] /.test(stat)
}

/** Says in a file who has a name. One who was killed leaves that; of one who lives it changes meanwhile. */
const whileInside = (name: string) =>
  Effect.gen(function* () {
    const file = `${path}-inside-${name}`
    const before = contentOf(file)
    const pid = before?.split(" ")[0] ?? ""
    while (isAlive(pid)) {
      // It may have been killed a moment ago: its locks end before it does.
      yield* Effect.yieldNow
      if (contentOf(file) !== before) return yield* say("shared")
    }
    const ours = `${process.pid} ${below(1 << 30)}`
    yield* Effect.sync(() => writeFileSync(file, ours))
    for (let turn = below(20); turn > 0; turn--) yield* Effect.yieldNow
    if (contentOf(file) !== ours) return yield* say("shared")
    yield* Effect.sync(() => rmSync(file))
    yield* say("held")
  })

const { claim, sweepClaims } = journalClaims(path)

const wanted = Effect.suspend(() => {
  const name = `wanted ${below(3)}`
  return Effect.flatMap(claim(name), (isOurs) => (isOurs ? whileInside(name) : say("refused")))
})

let next = 0
const ofItsOwn = Effect.suspend(() =>
  Effect.flatMap(claim(`of ${process.pid} ${next++}`), (isOurs) => say(isOurs ? "alone" : "robbed"))
)

const sweep = Effect.flatMap(sweepClaims, (count) => (count > 0 ? say("swept") : Effect.void))

const acts = [wanted, wanted, ofItsOwn, ofItsOwn, sweep]

await Effect.runPromise(Effect.forever(Effect.suspend(() => Effect.scoped(acts[below(acts.length)] ?? sweep))))
