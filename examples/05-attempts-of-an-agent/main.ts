/**
 * A tree of attempts: the work continues in one sandbox, each idea is tried in a fork of it, and the best fork becomes the next
 * trunk.
 *
 * `node --conditions=stillpoint-source main.ts`
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Stillpoint } from "stillpoint"
import { say } from "../asProgram.ts"

/** The goal: a number whose square is this. An agent has ideas; here they are steps. */
const wanted = 1764
const steps = [1, 5, 20]

const score = async (sandbox: Stillpoint): Promise<number> => {
  const { stdout } = await sandbox.exec(`n=$(cat /tmp/guess); echo $(( n * n - ${wanted} ))`)
  return Math.abs(Number(stdout))
}

const home = await mkdtemp(join(tmpdir(), "stillpoint-attempts-"))
try {
  let trunk = await Stillpoint.create({ image: "kit:httpd", captureAt: "listener", home })
  await trunk.files.write("/tmp/guess", "0")
  for (let round = 1; (await score(trunk)) > 0 && round <= 10; round++) {
    const forks = await trunk.fork(steps.length)
    const scores = await Promise.all(
      forks.map(async (fork, index) => {
        // Each fork has the files, the processes and the memory of the trunk, and none sees what another does.
        await fork.exec(`echo $(( $(cat /tmp/guess) + ${steps[index]} )) > /tmp/guess`)
        return score(fork)
      })
    )
    const best = scores.indexOf(Math.min(...scores))
    const kept = forks[best]
    if (kept === undefined) throw new Error("expected an attempt, found none")
    for (const other of [trunk, ...forks]) if (other !== kept) await other.close()
    trunk = kept
    say(`round ${round}: +${steps[best]} is best, off by ${scores[best]}`)
  }
  say(`found ${new TextDecoder().decode(await trunk.files.read("/tmp/guess")).trim()}`)
  await trunk.close()
} finally {
  await rm(home, { recursive: true, force: true })
}
