/** What processes that were killed left, as a prune removes it. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "vitest"
import { makeFolder, runStillpoint } from "./runStillpoint.ts"

it("prune-removes-what-a-killed-bake-was-making", async () => {
  const { folder, home } = makeFolder()
  const snapshots = join(home, "snapshots")
  const draft = join(snapshots, `new-${"0".repeat(32)}`)
  mkdirSync(join(draft, "contents"), { recursive: true, mode: 0o700 })
  writeFileSync(`${draft}.lock`, "", { mode: 0o600 })
  const prune = async (...args: ReadonlyArray<string>) => {
    const { status, stderr } = await runStillpoint(folder, ["prune", ...args])
    assert.strictEqual(status, 0, stderr)
    return readdirSync(snapshots)
  }
  assert.lengthOf(await prune("--dry-run"), 2)
  assert.deepStrictEqual(await prune(), [])
})

it("prune-removes-what-the-claims-of-killed-processes-left", async () => {
  const { folder, home } = makeFolder()
  const prune = async (...args: ReadonlyArray<string>) => {
    const { status, stderr, stdout } = await runStillpoint(folder, ["prune", "--json", ...args])
    assert.strictEqual(status, 0, stderr)
    return JSON.parse(stdout) as { readonly runs: unknown }
  }
  await prune()
  const claims = join(home, "runs.journal-claims")
  writeFileSync(join(claims, "0".repeat(32)), "", { mode: 0o600 })
  await prune("--dry-run")
  assert.lengthOf(readdirSync(claims), 1)
  assert.deepStrictEqual([(await prune()).runs, readdirSync(claims)], [[], []])
})
