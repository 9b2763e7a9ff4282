/**
 * A process that moves names beside others: `node namingProcess.ts HOME OWN ROUNDS DIGEST…`; it prints one line of JSON.
 *
 * It prints `ready`, and begins on any input: in each round it first gives its own snapshot an unused name; then it moves the
 * name `ring` as often from the digest that it finds there to the next one.
 *
 * @module
 */
import { once } from "node:events"
import { writeSync } from "node:fs"
import { Effect, Result } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import { Snapshots } from "../names/Snapshots.ts"
import { handle } from "./sampleStore.ts"

/** The results of a process. */
export interface Named {
  /** Round by round: `won`, or why not. */
  readonly rounds: ReadonlyArray<string>
  /** Why moves of the ring failed; each was repeated. */
  readonly refusals: ReadonlyArray<string>
}

const [home = "", own = "", rounds = "", ...ring] = process.argv.slice(2)

const named = Effect.gen(function* () {
  const snapshots = yield* Snapshots
  const moved = (digest: string, name: string, expecting: string | null) =>
    Effect.map(Effect.result(snapshots.tag(digest, name, { expecting })), (outcome) =>
      Result.isSuccess(outcome) ? "won" : outcome.failure.reason._tag
    )
  const told: Array<string> = []
  const refusals: Array<string> = []
  for (let round = 0; round < Number(rounds); round++) told.push(yield* moved(own, `round-${round}`, null))
  for (let moves = 0; moves < Number(rounds);) {
    const { digest } = yield* snapshots.inspect("ring")
    const outcome = yield* moved(ring[(ring.indexOf(digest) + 1) % ring.length] ?? "", "ring", digest)
    if (outcome === "won") moves += 1
    else refusals.push(outcome)
  }
  return { rounds: told, refusals } satisfies Named
})

writeSync(1, "ready\n")
await once(process.stdin, "data")
process.stdin.destroy()
const seen = await Effect.runPromise(Effect.provide(named, handle(DurableFiles.layer, home)))
writeSync(1, `${JSON.stringify(seen)}\n`)
