/** Archives of snapshots: whole, truncated, damaged or malicious. */
import { generateKeyPairSync } from "node:crypto"
import { spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { buffer } from "node:stream/consumers"
import { constants, createZstdCompress, zstdCompressSync, zstdDecompressSync } from "node:zlib"
import { DurableFiles, SigningKey, type SnapshotKeys, Snapshots, SnapshotStore } from "@stillpoint/core"
import { Effect, Layer, Result } from "effect"
import * as fc from "fast-check"
import { exportSnapshot, importSnapshot } from "stillpoint"
import { assert, describe, it } from "vitest"
import { type LongWork, LongWorkListener } from "../src/sandbox/LongWork.ts"
import { namesInStore } from "./namesInStore.ts"
import { keepLineage } from "./keepLineage.ts"

const storeAt = (home: string, keys: SnapshotKeys) =>
  Layer.mergeAll(
    Snapshots.layerHost({ home, ...keys }),
    Layer.provide(SnapshotStore.layerKeyed(keys), DurableFiles.layer),
    DurableFiles.layer
  )

type Services = Snapshots | SnapshotStore | DurableFiles

const inStore = <A, E>(home: string, work: Effect.Effect<A, E, Services>, keys: SnapshotKeys = {}) =>
  Effect.runPromise(Effect.provide(work, storeAt(home, keys), { local: true }))

const ours = Effect.runSync(
  SigningKey.read(generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString())
)

const listed = Snapshots.use(({ list }) => list)

/** Damage to an archive: bytes replaced, cut off, removed or inserted. */
const damage = fc.oneof(
  fc.record({ how: fc.constant("flip" as const), at: fc.nat(), by: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ how: fc.constant("cut" as const), at: fc.nat() }),
  fc.record({ how: fc.constant("drop" as const), at: fc.nat(), blocks: fc.integer({ min: 1, max: 6 }) }),
  fc.record({ how: fc.constant("repeat" as const), at: fc.nat(), blocks: fc.integer({ min: 1, max: 6 }) })
)

type Damage = typeof damage extends fc.Arbitrary<infer A> ? A : never

const damaged = (archive: Uint8Array, one: Damage): Uint8Array => {
  const at = one.at % archive.byteLength
  const block = at - (at % 512)
  switch (one.how) {
    case "flip": {
      const changed = Uint8Array.from(archive)
      changed[at] = (changed[at] ?? 0) ^ one.by
      return changed
    }
    case "cut":
      return archive.subarray(0, at)
    case "drop":
      return Buffer.concat([archive.subarray(0, block), archive.subarray(block + 512 * one.blocks)])
    case "repeat": {
      const end = block + 512 * one.blocks
      return Buffer.concat([archive.subarray(0, end), archive.subarray(block)])
    }
  }
}

const tagOf = (outcome: Result.Result<unknown, unknown>): string => {
  if (Result.isSuccess(outcome)) return ""
  const error = outcome.failure as { readonly _tag?: string; readonly reason?: { readonly _tag?: string } }
  return error.reason?._tag ?? error._tag ?? "untyped"
}

describe("archives of snapshots", () => {
  it("an-archive-is-the-whole-lineage-with-its-verdict-and-its-signatures-and-what-is-here-is-not-taken-twice", async () => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-archives-"))
    const at = (name: string): string => {
      mkdirSync(join(folder, name), { mode: 0o700, recursive: true })
      return join(folder, name)
    }
    try {
      const { digest, parent } = await inStore(at("from"), keepLineage, { signingKey: ours })
      const [both, base] = [join(folder, "both.tar"), join(folder, "base.tar")]
      const told: Array<LongWork> = []
      const listening = Layer.succeed(LongWorkListener, (work) => void told.push(work))
      const exported = await inStore(at("from"), Effect.provide(exportSnapshot("web", both), listening))
      assert.deepInclude(exported, { digest, snapshots: 2 })
      const { sizeBytes } = exported
      assert.deepStrictEqual(told.at(-1), { what: both, doneBytes: sizeBytes, totalBytes: sizeBytes })
      await inStore(at("from"), exportSnapshot(parent ?? "", base))
      const original = await inStore(
        at("from"),
        Snapshots.use(({ get }) => get("web"))
      )

      const keys = { requiredKeys: [ours.verifying] }
      const taken = await inStore(at("to"), Effect.provide(importSnapshot(both, "theirs"), listening), keys)
      assert.strictEqual(told.at(-1)?.doneBytes, told.at(-1)?.totalBytes)
      assert.isAbove(told.filter(({ totalBytes }) => totalBytes < sizeBytes).length, 0)
      assert.deepInclude(taken, { digest, names: ["theirs"], parent, problem: null })
      const copy = await inStore(
        at("to"),
        Snapshots.use(({ get }) => get("theirs")),
        keys
      )
      assert.deepStrictEqual([copy.manifest, copy.validation], [original.manifest, original.validation])
      for (const one of [digest, parent ?? ""]) {
        const signers = await inStore(
          at("to"),
          Snapshots.use((snapshots) => snapshots.signers(one))
        )
        assert.deepStrictEqual(signers, [ours.id])
      }

      // One that stands here stays what it is, file by file; of its archive nothing is taken but who signed it.
      await inStore(at("part"), importSnapshot(base, "base"))
      const contents = readdirSync(join(at("part"), "snapshots", parent ?? "")).find((name) =>
        name.startsWith("contents-")
      )
      const signatures = join(at("part"), "snapshots", parent ?? "", contents ?? "", "signatures.json")
      const memory = statSync(join(dirname(signatures), "memory.bin")).ino
      rmSync(signatures)
      await inStore(at("part"), importSnapshot(both), keys)
      assert.strictEqual(statSync(join(dirname(signatures), "memory.bin")).ino, memory)
      assert.isTrue(existsSync(signatures))
      assert.lengthOf(await inStore(at("part"), listed, keys), 2)
      const again = await inStore(at("part"), Effect.result(importSnapshot(both, "base")))
      assert.strictEqual(tagOf(again), "NameTaken")
      assert.lengthOf(namesInStore(at("part")), 2)

      // An archive of another version is refused by its number, an unsigned one by the missing key.
      const archive = zstdDecompressSync(readFileSync(both))
      const before = Buffer.from(archive.toString("latin1").replace('"version":2', '"version":1'), "latin1")
      writeFileSync(join(folder, "before.tar"), before)
      const refused = await inStore(at("none"), Effect.result(importSnapshot(join(folder, "before.tar"))))
      assert.strictEqual(tagOf(refused), "TransferVersionUnknown")
      await inStore(at("unsigned"), keepLineage)
      await inStore(at("unsigned"), exportSnapshot("web", base))
      assert.strictEqual(
        tagOf(await inStore(at("none"), Effect.result(importSnapshot(base)), keys)),
        "SnapshotOpenError"
      )
      assert.deepStrictEqual(namesInStore(at("none")), [])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it("a-damaged-archive-is-refused-or-is-the-same-snapshot-and-nothing-else-is-left", async () => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-archives-"))
    try {
      const from = join(folder, "from")
      const { digest, parent } = await inStore(from, keepLineage, { signingKey: ours })
      const path = join(folder, "sample.tar")
      await inStore(from, exportSnapshot("web", path))
      const packed = readFileSync(path)
      const archive = zstdDecompressSync(packed)
      assert.isBelow(packed.byteLength, archive.byteLength / 2)
      const seen = { refused: 0, taken: 0 }
      const means = fc.constantFrom("plain" as const, "packed" as const, "packed again" as const)
      let index = 0
      await fc.assert(
        fc.asyncProperty(damage, means, async (one, mean) => {
          const home = join(folder, `home-${index++}`)
          mkdirSync(home, { mode: 0o700 })
          const other = join(folder, "damaged.tar")
          const changed = damaged(mean === "packed" ? packed : archive, one)
          writeFileSync(other, mean === "packed again" ? zstdCompressSync(changed) : changed)
          const outcome = await inStore(home, Effect.result(importSnapshot(other, "again")))
          const found = await inStore(home, listed, { requiredKeys: [ours.verifying] })
          if (Result.isFailure(outcome)) {
            seen.refused += 1
            assert.notInclude(["", "UnknownError"], outcome.failure.message)
            assert.deepStrictEqual(found, [])
          } else {
            seen.taken += 1
            assert.deepStrictEqual(
              found.map((one) => [one.digest, one.names, one.problem]),
              [
                [digest, ["again"], null],
                [parent, [], null]
              ]
            )
          }
          const others = namesInStore(home).filter((name) => name !== digest && name !== parent)
          assert.deepStrictEqual(others, [])
          assert.deepStrictEqual(
            readdirSync(folder).filter((name) => !/^(from|home-\d+|sample\.tar|damaged\.tar)$/.test(name)),
            []
          )
        }),
        {
          numRuns: 90,
          examples: (["plain", "packed again"] as const)
            .flatMap((mean): Array<[Damage, typeof mean | "packed"]> => [
              [{ how: "cut", at: 0 }, mean],
              [{ how: "cut", at: archive.byteLength - 1 }, mean],
              [{ how: "flip", at: 600, by: 1 }, mean],
              // Of what follows its end an archive may have more.
              [{ how: "repeat", at: archive.byteLength - 1, blocks: 1 }, mean]
            ])
            .concat([
              [{ how: "cut", at: packed.byteLength - 1 }, "packed"],
              [{ how: "flip", at: 4, by: 255 }, "packed"]
            ])
        }
      )
      assert.isAbove(seen.refused, 0)
      assert.isAbove(seen.taken, 0)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it("a-bomb-is-refused-by-name-in-constant-memory", async () => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-archives-"))
    try {
      const from = join(folder, "from")
      await inStore(from, keepLineage)
      const path = join(folder, "sample.tar")
      await inStore(from, exportSnapshot("web", path))
      const archive = zstdDecompressSync(readFileSync(path))
      // A GiB of zeros in 32 KiB, sixteen times, each a frame of its own.
      const zeros = await zeroFrames(1 << 30)
      const bombs = {
        "in place of the record": zeros,
        "behind the end": [zstdCompressSync(archive), ...zeros],
        "of which the record says less": [zstdCompressSync(headerOf("0", 2 ** 33, "stillpoint.json")), ...zeros],
        "with a history of 128 MiB": [await longFrame(archive)]
      }
      let most = 0
      for (const [what, parts] of Object.entries(bombs)) {
        const home = join(folder, what)
        mkdirSync(home, { mode: 0o700 })
        const bomb = join(folder, "bomb.tar")
        writeFileSync(bomb, Buffer.concat(parts))
        assert.isBelow(statSync(bomb).size, 2 << 20)
        const rss = process.memoryUsage().rss
        const refused = await inStore(home, Effect.flip(importSnapshot(bomb)))
        most = Math.max(most, process.memoryUsage().rss - rss)
        assert.strictEqual(refused._tag, "TransferInvalid", `${what}: ${refused.message}`)
        assert.deepStrictEqual(namesInStore(home), [], what)
      }
      // Each unpacks to sixteen GiB.
      assert.isBelow(most, 256 << 20)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it("what-has-no-end-is-refused-unread-and-waited-for-by-nobody", async () => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-archives-"))
    try {
      const path = join(folder, "prepared.tar")
      const prepared: Readonly<Record<string, () => unknown>> = {
        pipe: () => spawnSync("mkfifo", [path]),
        "endless-device": () => symlinkSync("/dev/zero", path),
        directory: () => mkdirSync(path),
        nothing: () => writeFileSync(path, new Uint8Array(1 << 23)),
        "name-of-three-gigabytes": () => {
          writeFileSync(path, headerOf("L", 3 * 2 ** 30))
          truncateSync(path, 3 * 2 ** 30 + 2048)
        },
        "attributes-of-three-gigabytes": () => {
          writeFileSync(path, headerOf("x", 3 * 2 ** 30))
          truncateSync(path, 3 * 2 ** 30 + 2048)
        }
      }
      for (const [what, prepare] of Object.entries(prepared)) {
        rmSync(path, { recursive: true, force: true })
        prepare()
        const home = join(folder, what)
        mkdirSync(home, { mode: 0o700 })
        const refused = await inStore(home, Effect.flip(importSnapshot(path)))
        assert.strictEqual(refused._tag, "TransferInvalid", `${what}: ${refused.message}`)
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

/** Sixteen frames, each of so many zeros. */
const zeroFrames = async (bytes: number): Promise<ReadonlyArray<Uint8Array>> => {
  const packing = createZstdCompress()
  const packed = buffer(packing)
  const zeros = Buffer.alloc(1 << 20)
  for (let at = 0; at < bytes; at += zeros.byteLength) {
    if (!packing.write(zeros)) await once(packing, "drain")
  }
  packing.end()
  return Array<Uint8Array>(16).fill(await packed)
}

/** A frame that only a decoder with 128 MiB of memory reads. */
const longFrame = (bytes: Uint8Array): Promise<Uint8Array> => {
  const packing = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: 27 } })
  packing.end(bytes)
  return buffer(packing)
}

/** The header of an entry of that type, which announces so many bytes. */
const headerOf = (type: string, size: number, name = "long"): Uint8Array => {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write("0000600\0".padEnd(24, "0"), 100)
  header.write(size.toString(8).padStart(11, "0"), 124)
  header.write("00000000000\0" + " ".repeat(8) + type, 136)
  header.write("ustar\u000000", 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return header
}
