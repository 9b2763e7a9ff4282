/** Archives whose lineage leads back to itself, has no end, or is another's: refused by name, beside one that is taken. */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { buffer } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { zstdDecompressSync } from "node:zlib"
import { Effect } from "effect"
import { importSnapshot } from "stillpoint"
import { extract, pack } from "tar-stream"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { copyOf, inFolder, newFolder, type Prepared, prepare, standingIn } from "./faults/storeVerbs.ts"

const program = fileURLToPath(new URL("faults/verbProcess.ts", import.meta.url))
const recordName = "stillpoint.json"

interface Record {
  readonly snapshots: ReadonlyArray<string>
  readonly files: ReadonlyArray<{ readonly path: string; readonly pieces: ReadonlyArray<{ readonly digest: string }> }>
}

const entriesOf = async (archive: Uint8Array): Promise<ReadonlyMap<string, Buffer>> => {
  const entries = new Map<string, Buffer>()
  const reading = extract()
  reading.end(zstdDecompressSync(archive))
  for await (const entry of reading) entries.set(entry.header.name, await buffer(entry))
  return entries
}

const archiveOf = async (entries: Iterable<readonly [string, Uint8Array]>): Promise<Uint8Array> => {
  const archive = pack()
  for (const [name, bytes] of entries) archive.entry({ name, mode: 0o600 }, Buffer.from(bytes))
  archive.finalize()
  return await buffer(archive)
}

describe("archives of somebody who means harm", () => {
  const base = newFolder()
  let prepared: Prepared
  const hostile = new Map<string, Uint8Array>()
  beforeAll(async () => {
    prepared = await prepare(base, null)
    const entries = await entriesOf(readFileSync(prepared.archive))
    const record = JSON.parse(String(entries.get(recordName))) as Record
    const [own = "", parent = ""] = record.snapshots
    const pieceOf = (digest: string): string =>
      record.files.find(({ path }) => path === `${digest}/manifest.json`)?.pieces[0]?.digest ?? ""
    const manifestOf = (digest: string) =>
      JSON.parse(String(entries.get(`pieces/${pieceOf(digest)}`))) as { readonly parent: object | null }
    const withRecord = (change: Partial<Record>) =>
      archiveOf(new Map(entries).set(recordName, Buffer.from(JSON.stringify({ ...record, ...change }))))
    /** The archive with other manifests, each under the digest of what it was or of what it is. */
    const withManifests = (changes: ReadonlyArray<readonly [of: string, manifest: object]>) => {
      const exchanged = new Map(
        changes.map(([of, manifest]) => {
          const bytes = Buffer.from(JSON.stringify(manifest))
          return [pieceOf(of), { bytes, digest: createHash("sha256").update(bytes).digest("hex") }]
        })
      )
      const files = record.files.map((file) => {
        const made = exchanged.get(file.pieces[0]?.digest ?? "")
        if (made === undefined) return file
        const size = made.bytes.byteLength
        return { ...file, sizeBytes: size, pieces: [{ offset: 0, digest: made.digest, size }] }
      })
      const changed = [...entries].map(([name, bytes]): [string, Uint8Array] => {
        const made = exchanged.get(name.replace("pieces/", ""))
        return made === undefined ? [name, bytes] : [`pieces/${made.digest}`, made.bytes]
      })
      return archiveOf(new Map(changed).set(recordName, Buffer.from(JSON.stringify({ ...record, files }))))
    }
    const against = (digest: string) => ({ digest, directory: digest })
    const [delta, full] = [manifestOf(own), manifestOf(parent)]
    hostile.set("itself twice", await withRecord({ snapshots: [own, own] }))
    hostile.set("back to the first", await withRecord({ snapshots: [own, parent, own] }))
    hostile.set("the other way round", await withRecord({ snapshots: [parent, own] }))
    hostile.set("without its end", await withRecord({ snapshots: [own] }))
    const endless = Array.from({ length: 1001 }, (_, index) => index.toString(16).padStart(64, "0"))
    hostile.set("longer than any", await withRecord({ snapshots: [own, parent, ...endless] }))
    hostile.set("a circle of two", await withManifests([[parent, { ...full, parent: against(own) }]]))
    hostile.set("its own parent", await withManifests([[own, { ...delta, parent: against(own) }]]))
    hostile.set(
      "exchanged",
      await withManifests([
        [own, full],
        [parent, delta]
      ])
    )
    hostile.set(
      "out of the store",
      await withManifests([[own, { ...delta, parent: { ...against(parent), directory: `../${parent}` } }]])
    )
  })
  afterAll(() => rmSync(base, { recursive: true, force: true }))

  it("are-refused-by-name-and-leave-the-store-as-it-was", async () => {
    const folder = copyOf(prepared)
    try {
      const before = await standingIn(folder, prepared)
      for (const [what, archive] of hostile) {
        const path = join(base, "hostile.tar")
        writeFileSync(path, archive)
        const work = Effect.flip(importSnapshot(path, "came"))
        const refused = await inFolder(folder, prepared, work)
        assert.strictEqual(refused._tag, "TransferInvalid", `${what}: ${refused.message}`)
        assert.deepStrictEqual(await standingIn(folder, prepared), before, what)
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it("are-refused-in-processes-that-go-beside-one-that-takes-an-honest-one", async () => {
    const folder = copyOf(prepared)
    try {
      // Refused in any state of the store: nothing is taken of a snapshot that the honest archive brought meanwhile.
      const bases = ["itself twice", "back to the first"].map((what) => {
        const other = join(base, what)
        mkdirSync(other)
        writeFileSync(join(other, "archive.tar"), hostile.get(what) ?? "")
        return other
      })
      const honest = join(base, "honest")
      mkdirSync(honest)
      copyFileSync(prepared.archive, join(honest, "archive.tar"))
      const ended = await Promise.all(
        [...bases, honest].map(async (from) => {
          const node = ["--conditions=stillpoint-source", "--no-warnings", program, "import", folder, from]
          const child = spawn(process.execPath, node, { stdio: ["ignore", "ignore", "inherit"] })
          const [status] = (await once(child, "close")) as [number | null]
          return status
        })
      )
      assert.deepStrictEqual(ended, [3, 3, 0])
      const { left, snapshots } = await standingIn(folder, prepared)
      assert.deepStrictEqual(left, [])
      assert.include(snapshots, "delta<full came")
      assert.include(snapshots, "full< ")
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
