/**
 * A program that measures the allocations of replays in its own process, because V8's earlier work in a process decides what it
 * inlines and so what it boxes. Prints `{ [policy]: { shorter, longer } }`, bytes.
 *
 * @module
 */
import { getHeapStatistics } from "node:v8"
import type { GuestEvent } from "@stillpoint/core"
import { type Policy, Trigger } from "../index.ts"
import { bustle, undecided } from "./undecided.ts"

const heapBytes = (): number => getHeapStatistics().used_heap_size
const shorter = bustle(20_000)
const longer = bustle(200_000)
const slackBytes = Number(process.argv[2])

// The least of several: the first runs are the compiler's, which takes its time on a busy host, and a collection in between gives a
// negative number.
const leastBytes = (policy: Policy, events: ReadonlyArray<GuestEvent>, enough: number): number => {
  let least = Infinity
  for (let round = 0; round < 40 || (round < 1000 && least > enough); round++) {
    const before = heapBytes()
    Trigger.replay(policy, { events })
    const bytes = heapBytes() - before
    if (bytes >= 0) least = Math.min(least, bytes)
  }
  return least
}

const measured = Object.entries(undecided).map(([name, policy]) => {
  const ofShorter = leastBytes(policy, shorter, Infinity)
  return [name, { shorter: ofShorter, longer: leastBytes(policy, longer, ofShorter + slackBytes) }] as const
})
console.log(JSON.stringify(Object.fromEntries(measured)))
