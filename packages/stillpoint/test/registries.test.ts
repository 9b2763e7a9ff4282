/** Snapshots that travel through a registry: one that is honest, and one that fails, breaks off and lies. */
import { createHash, generateKeyPairSync } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DurableFiles, SigningKey, type SnapshotKeys, Snapshots, SnapshotStore } from "@stillpoint/core"
import { Artifacts } from "@stillpoint/images"
import { Effect, Layer, Result } from "effect"
import * as fc from "fast-check"
import { pullSnapshot, pushSnapshot } from "stillpoint"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { namesInStore } from "./namesInStore.ts"
import { keepLineage } from "./keepLineage.ts"
import { sampleObject } from "@stillpoint/core/testing"
import { hasRegistry, type Registry, standBefore, startRegistry } from "../../../scripts/testing/registryOf.ts"

const folder = mkdtempSync(join(tmpdir(), "stillpoint-registries-"))
const noConfiguration = join(folder, "no-docker-configuration.json")
let made = 0
const newHome = (): string => {
  const home = join(folder, `home-${made++}`)
  mkdirSync(home, { mode: 0o700 })
  return home
}

type Services = Snapshots | SnapshotStore | DurableFiles | Artifacts

const inStore = <A, E>(home: string, work: Effect.Effect<A, E, Services>, keys: SnapshotKeys = {}) =>
  Effect.runPromise(
    Effect.provide(
      work,
      Layer.mergeAll(
        Snapshots.layerHost({ home, ...keys }),
        Layer.provide(SnapshotStore.layerKeyed(keys), DurableFiles.layer),
        DurableFiles.layer,
        Artifacts.layer({ dockerConfig: noConfiguration })
      ),
      { local: true }
    )
  )

const listed = (home: string) =>
  inStore(
    home,
    Snapshots.use(({ list }) => list)
  )

/** The content of a store besides snapshots and names. */
const othersIn = (home: string): ReadonlyArray<string> =>
  [...namesInStore(home), ...(existsSync(join(home, "images")) ? readdirSync(join(home, "images")) : [])].filter(
    (name) => !/^[0-9a-f]{64}$/.test(name)
  )

const tagOf = (outcome: Result.Result<unknown, unknown>): string => {
  if (Result.isSuccess(outcome)) return ""
  const error = outcome.failure as { readonly _tag?: string; readonly reason?: { readonly _tag?: string } }
  return error.reason?._tag ?? error._tag ?? "untyped"
}

describe.skipIf(!hasRegistry)("a snapshot in a registry", () => {
  const ours = Effect.runSync(
    SigningKey.read(generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString())
  )
  const home = newHome()
  let registry: Registry
  let before: Awaited<ReturnType<typeof standBefore>>
  let digest = ""
  beforeAll(async () => {
    registry = await startRegistry()
    before = await standBefore(registry.host)
    digest = (await inStore(home, keepLineage, { signingKey: ours })).digest
  })
  afterAll(async () => {
    await before?.stop()
    await registry?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it("is-what-was-pushed-with-its-lineage-its-verdict-and-its-signatures", async () => {
    const reference = `docker://${registry.host}/team/web:v1`
    const pushed = await inStore(home, pushSnapshot("web", reference))
    assert.strictEqual(pushed.snapshot, digest)
    assert.strictEqual(pushed.snapshots, 2)
    // Common parts travel once.
    assert.isAbove(pushed.sentBytes, 0)
    assert.isAtMost(pushed.sentBytes, pushed.sizeBytes)
    const again = await inStore(home, pushSnapshot("web", `docker://${registry.host}/team/web:v2`))
    assert.deepInclude(again, { artifact: pushed.artifact, sentBytes: 0 })

    const elsewhere = newHome()
    const requiring = { requiredKeys: [ours.verifying] }
    const pulled = await inStore(elsewhere, pullSnapshot(reference, "theirs"), requiring)
    assert.deepInclude(pulled.kept, { digest, names: ["theirs"], problem: null })
    const original = await inStore(
      home,
      Snapshots.use(({ get }) => get("web"))
    )
    const copy = await inStore(
      elsewhere,
      Snapshots.use(({ get }) => get("theirs")),
      requiring
    )
    assert.deepStrictEqual([copy.manifest, copy.validation], [original.manifest, original.validation])
    assert.strictEqual(copy.parents.length, 1)
    // Content that is here is not fetched, and by its digest it is the same.
    const once = await inStore(elsewhere, pullSnapshot(reference.replace(":v1", `@${pushed.artifact}`)))
    assert.isBelow(once.fetchedBytes, pulled.fetchedBytes)
    const taken = await inStore(elsewhere, Effect.result(pullSnapshot(reference, "theirs")))
    assert.strictEqual(tagOf(taken), "NameTaken")
    assert.deepStrictEqual(readdirSync(join(elsewhere, "pulls")), [])
    assert.deepStrictEqual(othersIn(elsewhere), [])
  })

  it("is-there-or-not-wherever-a-push-is-cut-and-the-next-one-goes-on", async () => {
    let cuts = 0
    await fc.assert(
      fc.asyncProperty(fc.nat(30), async (at) => {
        const name = `cut/push-${made++}`
        let requests = 0
        const puts = { first: 0, second: 0, whole: 0 }
        const counting =
          (which: keyof typeof puts): typeof before.fault =>
          ({ method }) => {
            if (method === "PUT") puts[which] += 1
            return "pass"
          }
        before.fault = (asked, answer) => {
          if (requests++ < at) return counting("first")(asked, answer)
          answer.writeHead(403).end()
          return "done"
        }
        const outcome = await inStore(home, Effect.result(pushSnapshot("web", `docker://${before.host}/${name}:v1`)))
        const direct = `docker://${registry.host}/${name}:v1`
        const isThere = await inStore(home, Effect.result(Artifacts.use(({ manifest }) => manifest(direct))))
        if (Result.isSuccess(outcome)) return assert.strictEqual(tagOf(isThere), "")
        assert.strictEqual(tagOf(outcome), "RegistryRefused")
        cuts += 1
        before.fault = counting("second")
        await inStore(home, pushSnapshot("web", `docker://${before.host}/${name}:v1`))
        before.fault = counting("whole")
        await inStore(home, pushSnapshot("web", `docker://${before.host}/whole/${name}:v1`))
        // Uploaded content is not uploaded again: pieces, the record, and the manifest.
        if (Result.isFailure(isThere)) assert.strictEqual(puts.first + puts.second, puts.whole)
      }),
      { numRuns: 3, examples: [[0], [7]], endOnFailure: true }
    )
    assert.isAbove(cuts, 0)
  })

  it("is-taken-whole-or-not-at-all-wherever-a-pull-is-cut-and-the-next-one-goes-on", async () => {
    const reference = (host: string): string => `docker://${host}/cut/pull:v1`
    await inStore(home, pushSnapshot("web", reference(registry.host)))
    const whole = await inStore(newHome(), pullSnapshot(reference(registry.host)))
    let cuts = 0
    let saved = 0
    await fc.assert(
      fc.asyncProperty(fc.nat(14), async (at) => {
        const elsewhere = newHome()
        let requests = 0
        before.fault = (_asked, answer) => {
          if (requests++ < at) return "pass"
          answer.writeHead(403).end()
          return "done"
        }
        const outcome = await inStore(elsewhere, Effect.result(pullSnapshot(reference(before.host), "web")))
        if (Result.isSuccess(outcome)) return assert.strictEqual(outcome.success.kept.digest, digest)
        cuts += 1
        assert.strictEqual(tagOf(outcome), "RegistryRefused")
        assert.deepStrictEqual(await listed(elsewhere), [])
        assert.deepStrictEqual(othersIn(elsewhere), [])
        before.fault = () => "pass"
        const { fetchedBytes, kept } = await inStore(elsewhere, pullSnapshot(reference(before.host), "web"))
        assert.deepInclude(kept, { digest, names: ["web"], problem: null })
        saved += whole.fetchedBytes - fetchedBytes
        assert.deepStrictEqual(readdirSync(join(elsewhere, "pulls")), [])
      }),
      { numRuns: 6, examples: [[0], [1], [3], [8]], endOnFailure: true }
    )
    assert.isAbove(cuts, 2)
    assert.isAbove(saved, 0)
  })

  it("that-lies-or-answers-what-was-is-refused-by-name", async () => {
    const reference = `docker://${before.host}/lies/web:v1`
    before.fault = () => "pass"
    await inStore(home, pushSnapshot("web", reference))
    const refusal = async (fault: typeof before.fault) => {
      const elsewhere = newHome()
      before.fault = fault
      const outcome = await inStore(elsewhere, Effect.result(pullSnapshot(reference, "web")))
      assert.deepStrictEqual(await listed(elsewhere), [])
      assert.deepStrictEqual(othersIn(elsewhere), [])
      return tagOf(outcome)
    }
    const blob = (url = ""): boolean => url.includes("/blobs/")
    const answered =
      (length: number, bytes: Uint8Array): typeof before.fault =>
      ({ url }, answer) => {
        if (!blob(url)) return "pass"
        answer.writeHead(200, { "content-length": length }).end(bytes)
        return "done"
      }
    assert.strictEqual(await refusal(answered(1 << 30, new Uint8Array(100))), "BlobSizeWrong")
    const sized: typeof before.fault = ({ url }, answer) => {
      if (!blob(url)) return "pass"
      // Of unknown length, endless as far as it is read.
      answer.writeHead(200)
      answer.end(new Uint8Array(8 << 20))
      return "done"
    }
    assert.strictEqual(await refusal(sized), "BlobSizeWrong")
    const flipped: typeof before.fault = ({ url }, answer) => {
      if (!blob(url)) return "pass"
      void fetch(`http://${registry.host}${url}`).then(async (came) => {
        const bytes = Buffer.from(await came.arrayBuffer())
        bytes[0] = (bytes[0] ?? 0) ^ 1
        answer.writeHead(200, { "content-length": bytes.byteLength }).end(bytes)
      })
      return "done"
    }
    assert.strictEqual(await refusal(flipped), "BlobDigestWrong")
    assert.strictEqual(
      await refusal(({ url }, answer) => {
        if (!url?.includes("/manifests/")) return "pass"
        answer.writeHead(200, { "content-type": "application/vnd.oci.image.manifest.v1+json" }).end("{}")
        return "done"
      }),
      "TransferInvalid"
    )
    // One that takes a push and answers what was there before it.
    let isPut = false
    before.fault = ({ method, url }, answer) => {
      if (!url?.includes("/manifests/")) return "pass"
      if (method === "PUT") isPut = true
      if (method !== "GET" || !isPut) return "pass"
      answer.writeHead(200, { "content-type": "application/vnd.oci.image.manifest.v1+json" }).end("{}")
      return "done"
    }
    const pushed = await inStore(home, Effect.result(pushSnapshot("web", reference)))
    assert.strictEqual(tagOf(pushed), "RegistryInvalid")
    before.fault = () => "pass"
  })

  it("that-somebody-made-who-means-harm-is-refused-by-name-and-nothing-is-left", async () => {
    const honest = `docker://${registry.host}/harm/honest:v1`
    await inStore(home, pushSnapshot("web", honest))
    const text = new TextDecoder()
    const manifest = JSON.parse(
      text.decode(
        (
          await inStore(
            home,
            Artifacts.use((artifacts) => artifacts.manifest(honest))
          )
        ).bytes
      )
    ) as { config: { digest: string; size: number } }
    const file = join(folder, "record.json")
    const fetchRecord = ({ digest, size }: { readonly digest: string; readonly size: number }) => {
      writeFileSync(file, "")
      return inStore(
        home,
        Artifacts.use((artifacts) => artifacts.fetch(honest, [{ digest, size, places: [{ file, offset: 0 }] }]))
      )
    }
    await fetchRecord(manifest.config)
    const record = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>
    const files = record["files"] as Array<{ path: string; sizeBytes: number; pieces: Array<Record<string, unknown>> }>
    const snapshots = record["snapshots"] as Array<string>
    const changed = (index: number, change: (one: (typeof files)[number]) => object) => ({
      ...record,
      files: files.map((one, at) => (at === index % files.length ? { ...one, ...change(one) } : one))
    })
    const huge = Number.MAX_SAFE_INTEGER
    const harm = fc.oneof(
      fc.nat().map((at) => changed(at, () => ({ path: "../../../escaped" }))),
      fc.nat().map((at) => changed(at, ({ path }) => ({ path: `${path}/..` }))),
      fc.nat().map((at) => changed(at, () => ({ sizeBytes: huge }))),
      fc.nat().map((at) => changed(at, ({ pieces }) => ({ pieces: [...pieces, ...pieces] }))),
      fc
        .nat()
        .map((at) => changed(at, ({ pieces }) => ({ pieces: pieces.map((piece) => ({ ...piece, offset: huge })) }))),
      fc.nat().map((at) => changed(at, ({ pieces }) => ({ pieces: pieces.map((piece) => ({ ...piece, size: 1 })) }))),
      // Of memory, what is left out is zeros: its digest finds them when they are first touched.
      fc.nat().map((at) =>
        changed(at, ({ path, pieces }) => ({
          pieces: path.endsWith("/memory.bin") || path.endsWith(`/${sampleObject}`) ? [pieces[0], pieces[0]] : []
        }))
      ),
      fc.constantFrom(
        { ...record, snapshots: [...snapshots, ...snapshots] },
        { ...record, snapshots: snapshots.toReversed() },
        { ...record, snapshots: snapshots.slice(0, 1) },
        { ...record, snapshots: [] },
        { ...record, image: "0".repeat(64) },
        { ...record, version: 2 },
        { ...record, files: [...files, ...files] }
      )
    )
    const seen = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(harm, async (one) => {
        const bytes = new TextEncoder().encode(JSON.stringify(one))
        writeFileSync(file, bytes)
        const config = { ...manifest.config, digest: `sha256:${sha256(bytes)}`, size: bytes.byteLength }
        const reference = `docker://${registry.host}/harm/honest:bad`
        await inStore(
          home,
          Artifacts.use((artifacts) =>
            artifacts.push(reference, {
              pieces: [{ digest: config.digest, size: config.size, places: [{ file, offset: 0 }] }],
              manifest: new TextEncoder().encode(JSON.stringify({ ...manifest, config })),
              mediaType: "application/vnd.oci.image.manifest.v1+json"
            })
          )
        )
        const elsewhere = newHome()
        const outcome = await inStore(elsewhere, Effect.result(pullSnapshot(reference, "bad")))
        seen.set(tagOf(outcome), (seen.get(tagOf(outcome)) ?? 0) + 1)
        assert.notInclude(["", "untyped"], tagOf(outcome))
        assert.deepStrictEqual(await listed(elsewhere), [])
        assert.deepStrictEqual(othersIn(elsewhere), [])
        assert.isFalse(existsSync(join(folder, "escaped")))
      }),
      { numRuns: 25, endOnFailure: true }
    )
    assert.isAbove(seen.get("TransferInvalid") ?? 0, 5, JSON.stringify([...seen]))
  })

  it("that-two-pull-at-once-is-fetched-by-one", async () => {
    const reference = `docker://${registry.host}/twice/web:v1`
    await inStore(home, pushSnapshot("web", reference))
    const elsewhere = newHome()
    const both = await Promise.all(["one", "other"].map((name) => inStore(elsewhere, pullSnapshot(reference, name))))
    assert.deepStrictEqual(
      both.map(({ kept }) => kept.digest),
      [digest, digest]
    )
    const [less = 0, more = 0] = both.map(({ fetchedBytes }) => fetchedBytes).toSorted((one, other) => one - other)
    assert.isBelow(less, more)
    const kept = await listed(elsewhere)
    assert.deepStrictEqual(kept.flatMap(({ names }) => names).toSorted(), ["one", "other"])
    assert.deepStrictEqual(readdirSync(join(elsewhere, "pulls")), [])
  })
})

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
