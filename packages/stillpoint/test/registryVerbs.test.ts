/** `push` and `pull` as people type them, each a process of its own. */
import { generateKeyPairSync } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { DurableFiles, Snapshots, SnapshotStore } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { namesInStore } from "./namesInStore.ts"
import { keepLineage } from "./keepLineage.ts"
import { hasRegistry, type Registry, startRegistry } from "../../../scripts/testing/registryOf.ts"
import { makeFolder, type Ran, runStillpoint } from "./runStillpoint.ts"

const why = hasRegistry ? "" : " (skipped: no docker-registry)"

describe(`verbs of registries${why}`, () => {
  const here = makeFolder()
  const there = makeFolder()
  let registry: Registry
  let digest = ""
  beforeAll(async () => {
    if (why !== "") return
    registry = await startRegistry()
    const services = Layer.mergeAll(
      Snapshots.layerHost({ home: here.home }),
      SnapshotStore.layerHost,
      DurableFiles.layer
    )
    digest = (await Effect.runPromise(Effect.provide(keepLineage, services, { local: true }))).digest
    for (const { folder } of [here, there]) {
      writeFileSync(
        join(folder, "other.pem"),
        generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" })
      )
    }
  })
  afterAll(() => registry?.stop())

  const json = ({ status, stderr, stdout }: Ran): Record<string, unknown> => {
    assert.strictEqual(status, 0, stderr)
    assert.match(stdout, /^[^\n]+\n$/)
    return JSON.parse(stdout) as Record<string, unknown>
  }

  it.skipIf(why !== "")(`what-is-pushed-is-pulled-elsewhere-with-its-lineage${why}`, async () => {
    const place = `${registry.host}/team/web:v1`
    const pushed = json(await runStillpoint(here.folder, ["push", "web", place, "--json"]))
    assert.deepInclude(pushed, { snapshot: digest, reference: `docker://${place}`, snapshots: 2 })
    assert.strictEqual(pushed["sentBytes"], pushed["sizeBytes"])
    const pulled = json(await runStillpoint(there.folder, ["pull", place, "--name", "theirs", "--json"]))
    assert.deepInclude(pulled, { snapshot: digest, names: ["theirs"], problem: null, artifact: pushed["artifact"] })
    assert.isAbove(Number(pulled["fetchedBytes"]), 0)
    assert.lengthOf(namesInStore(there.home), 2)
    const [again, moved] = await Promise.all([
      runStillpoint(here.folder, ["push", "web", `docker://${place}`]),
      runStillpoint(there.folder, [
        "pull",
        `${place.replace(":v1", "")}@${String(pushed["artifact"])}`,
        "--name",
        "theirs",
        "--replace"
      ])
    ])
    assert.match(again.stdout, /^docker:\/\/[^\n]*: 0\.0 MiB of [^\n]* sent; the registry had the rest\n$/)
    assert.match(moved.stdout, /^theirs: 0\.0 MiB fetched, [^\n]* on the disk\n$/)
  })

  it.skipIf(why !== "")(`what-cannot-be-pushed-or-pulled-ends-with-a-status-that-says-why${why}`, async () => {
    const place = `${registry.host}/team/refused:v1`
    json(await runStillpoint(here.folder, ["push", "web", place, "--json"]))
    const cases: ReadonlyArray<readonly [status: number, says: RegExp, ...args: ReadonlyArray<string>]> = [
      [
        3,
        /the registry has no snapshot called docker:\/\/\S+\/none:v1/,
        "pull",
        `${registry.host}/none:v1`,
        "--name",
        "none"
      ],
      [3, /no snapshot is called wbe; did you mean web/, "push", "wbe", place],
      [2, /expected NAME or NAME:TAG/, "pull", place, "--name", "No"],
      [2, /place: expected \[docker:\/\/\]REGISTRY\/NAME/, "pull", "oci:./folder"],
      [4, /the name web is already taken by/, "pull", place, "--name", "web"],
      [5, /expected a signature by one of the keys/, "push", "web", place, "--require-key", "other.pem"],
      [5, /expected a signature by one of the keys/, "pull", place, "--require-key", "other.pem"],
      [1, /expected an answer of the registry/, "pull", "127.0.0.1:1/none"]
    ]
    await Promise.all(
      cases.map(async ([status, says, ...args]) => {
        const ran = await runStillpoint(here.folder, [...args, "--json"])
        assert.strictEqual(ran.status, status, `${args.join(" ")}: ${ran.stderr}`)
        assert.strictEqual(ran.stdout, "")
        assert.match(ran.stderr, says)
        assert.notMatch(ran.stderr, /\n {4}at /)
      })
    )
  })

  it.skipIf(why !== "")(`a-store-that-cannot-be-made-is-told-of-and-not-tried-for-ever${why}`, async () => {
    const place = `${registry.host}/team/nowhere:v1`
    json(await runStillpoint(here.folder, ["push", "web", place, "--json"]))
    // In /proc the system says of a new folder that the one above is not there, which it is.
    const [pull, replay] = await Promise.all([
      runStillpoint("/proc", ["pull", place]),
      runStillpoint("/proc", ["replay", "none"])
    ])
    assert.strictEqual(pull.status, 1, pull.stderr)
    assert.match(pull.stderr, /^stillpoint: makeDirectory of \/proc\/home failed: ENOENT: no such file or directory\n$/)
    assert.strictEqual(replay.status, 3, replay.stderr)
  })
})
