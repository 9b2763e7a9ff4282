import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFile, rename, rm, utimes, writeFile } from "node:fs/promises"
import { TestClock } from "effect/testing"
import { join } from "node:path"
import { locked } from "./testing/kitOn.ts"

const text = (path: string) => Effect.promise(() => readFile(path, "utf8"))

it.effect("what-was-made-of-the-kit-is-found-by-its-files-as-they-stand-and-a-boot-has-digests-of-all", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    yield* Effect.promise(() => writeFile(kit.agentPath, "agent"))
    const config = { modules: ["ext4"] }
    const find = TestClock.withLive(kit.use((each) => each.guestToFind(config)))
    const boot = TestClock.withLive(kit.use((each) => each.guest(config)))
    const whole = yield* boot
    const found = yield* find
    assert.deepStrictEqual(found, { kernelPath: whole.kernelPath, origin: whole.origin, seal: found.seal })
    // Other requests give other names, and equal ones the same name for every caller.
    const other = yield* TestClock.withLive(kit.use((each) => each.guestToFind({ modules: [] })))
    assert.notStrictEqual(other.seal, found.seal)
    assert.deepStrictEqual(yield* find, found)
    // Modules with other stated dependencies give another name; a boot reads them, and corrects the cache.
    const said = join(
      kit.config.directory,
      "modules",
      `${JSON.parse(yield* text(kit.config.lockPath)).kernel.sha256}.json`
    )
    const infos = JSON.parse(yield* text(said))
    for (const wrong of [JSON.stringify({ ...infos, ext4: { ...infos.ext4, depends: [] } }), "no infos"]) {
      yield* Effect.promise(() => writeFile(said, wrong))
      assert.strictEqual((yield* find).seal === found.seal, wrong === "no infos")
      yield* boot
      assert.deepStrictEqual([JSON.parse(yield* text(said)), yield* find], [infos, found])
    }
    const { busyboxPath, modulePaths } = yield* kit.files
    const past = new Date(1e12)
    const known = new Set([found.seal])
    for (const path of [modulePaths.get("ext4") ?? "", modulePaths.get("mbcache") ?? "", busyboxPath, kit.agentPath]) {
      const content = yield* Effect.promise(() => readFile(path))
      yield* Effect.promise(() => utimes(path, past, past))
      known.add((yield* find).seal)
      const flipped = Buffer.from(content)
      flipped.writeUInt8(flipped.readUInt8(content.length - 1) ^ 1, content.length - 1)
      // Written to in its place, and exchanged for a file of the same name, length and time of modification.
      yield* Effect.promise(() => writeFile(path, flipped).then(() => utimes(path, past, past)))
      const written = (yield* find).seal
      const beside = `${path}.beside`
      yield* Effect.promise(() => writeFile(beside, content).then(() => utimes(beside, past, past)))
      yield* Effect.promise(() => rename(beside, path))
      const exchanged = (yield* find).seal
      for (const seal of [written, exchanged]) {
        assert.isFalse(known.has(seal), path)
        known.add(seal)
      }
    }
    // The fetched file is neither read nor fetched again to find a name; a boot has it complete.
    const module = modulePaths.get("ext4") ?? ""
    const content = yield* Effect.promise(() => readFile(module))
    const requests = archive.requests.length
    yield* Effect.promise(() => writeFile(module, content.subarray(1)))
    yield* find
    assert.strictEqual(archive.requests.length, requests)
    assert.deepStrictEqual(yield* boot, whole)
    assert.deepStrictEqual(yield* Effect.promise(() => readFile(module)), content)
    // A missing file is reported: a caller that looks for a name must do without.
    yield* Effect.promise(() => rm(module))
    const missing = yield* Effect.flip(find)
    assert(missing._tag === "KitError" && missing.reason._tag === "FileUnusable")
  })
)
