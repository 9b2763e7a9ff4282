import { assert, it } from "@effect/vitest"
import { DurableFiles, makeOwnedDirectory } from "@stillpoint/core"
import { Effect, Result } from "effect"
import { existsSync } from "node:fs"
import { readFile, readdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { TestClock } from "effect/testing"
import { defaultDirectory } from "./GuestKitConfig.ts"
import { readCpio } from "./initramfs/cpio.ts"
import { makeStaging } from "./KitCache.ts"
import type { KitError } from "./KitError.ts"
import { moduleOf } from "./testing/debianFiles.ts"
import { kernelFiles } from "./testing/LocalArchive.ts"
import { locked, lockedOf } from "./testing/kitOn.ts"

const reasonOf = <A>(effect: Effect.Effect<A, KitError>) =>
  Effect.map(Effect.result(effect), (result) => {
    assert(Result.isFailure(result), "expected a failure")
    return result.failure.reason
  })

/** Nothing but whole packages is left in the cache. */
const leftovers = (directory: string) =>
  Effect.promise(async () => {
    const all = await readdir(directory, { recursive: true }).catch(() => [])
    return all.filter((name) => /partial|\.deb$|\.stillpoint-/.test(name))
  })

it.effect("the-kit-is-found-through-the-signed-index-and-unpacked", () =>
  Effect.gen(function* () {
    const { kit } = yield* locked
    const files = yield* kit.files
    assert.strictEqual(files.kernelVersion, "6.12.1-1")
    assert.strictEqual(files.busyboxVersion, "1:1.37.0-6")
    assert.deepStrictEqual(
      yield* Effect.promise(() => readFile(files.kernelPath)),
      kernelFiles("6.12.1").get("boot/vmlinux-6.12.1")
    )
    // Those that guests may need and what these need, decompressed; what is built in is no file.
    assert.deepStrictEqual([...files.modulePaths.keys()].sort(), ["ext4", "mbcache", "virtio-rng", "virtio_mmio"])
    const module = yield* Effect.promise(() => readFile(files.modulePaths.get("virtio_mmio") ?? ""))
    assert.deepStrictEqual(module, moduleOf("virtio_mmio", [], true))
    assert.deepStrictEqual(yield* leftovers(kit.config.directory), [])
  })
)

it.effect("a-lock-names-the-kernel-that-the-meta-package-depends-on", () =>
  Effect.gen(function* () {
    const { kit } = yield* locked
    const lock = JSON.parse(yield* Effect.promise(() => readFile(kit.config.lockPath, "utf8")))
    assert.strictEqual(lock.kernel.name, "linux-image-6.12.1+deb13-riscv64")
  })
)

it.effect("a-kit-that-is-here-needs-no-network", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    const first = yield* kit.files
    archive.shutDown()
    assert.deepStrictEqual(yield* kit.files, first)
  })
)

for (const how of ["cut", "flip", "longer", "error", "hang-up"] as const) {
  it.effect(`a-download-spoilt-by-${how}-is-refused-and-fetched-again`, () =>
    Effect.gen(function* () {
      const { archive, kit } = yield* locked
      archive.spoil("riscv64.deb", how, 2)
      const files = yield* kit.files
      assert.deepStrictEqual(
        yield* Effect.promise(() => readFile(files.kernelPath)),
        kernelFiles("6.12.1").get("boot/vmlinux-6.12.1")
      )
      assert.strictEqual(archive.requests.filter((path) => path.endsWith("riscv64.deb")).length, 3)
    })
  )

  it.effect(`a-download-always-spoilt-by-${how}-is-an-error-and-leaves-nothing`, () =>
    Effect.gen(function* () {
      const { archive, kit } = yield* locked
      archive.spoil("riscv64.deb", how, 1000)
      const reason = yield* reasonOf(kit.files)
      assert.strictEqual(reason._tag, how === "error" || how === "hang-up" ? "ArchiveUnreachable" : "DigestMismatch")
      assert.include(reason.message, archive.config.url)
      assert.deepStrictEqual(yield* leftovers(kit.config.directory), [])
      assert.isFalse(existsSync(join(kit.config.directory, "packages")))
    })
  )
}

it.effect("where-the-archive-has-moved-on-the-locked-package-comes-from-the-past", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    archive.publish("6.12.9", "1:1.38.0-1")
    const files = yield* kit.files
    assert.strictEqual(files.kernelVersion, "6.12.1-1")
    assert.strictEqual(files.busyboxVersion, "1:1.37.0-6")
    assert.deepStrictEqual(files.substitutes, [])
    assert.deepStrictEqual(kit.notices, [])
    assert.deepStrictEqual(yield* leftovers(kit.config.directory), [])
  })
)

it.effect("what-the-past-gives-counts-only-if-it-is-what-is-locked", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    archive.publish("6.12.9", "1:1.37.0-6")
    for (const [path, bytes] of archive.files) {
      if (path.startsWith("/past/file/")) archive.files.set(path, Buffer.from(bytes.map((byte) => byte ^ 1)))
    }
    const reason = yield* reasonOf(kit.files)
    assert.strictEqual(reason._tag, "LockedPackageGone")
    assert.include(reason.message, "SHA-256")
  })
)

it.effect("a-locked-package-that-is-nowhere-is-refused-with-the-option-and-the-command", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    archive.publish("6.12.9", "1:1.37.0-6")
    archive.dropPast()
    const reason = yield* reasonOf(kit.files)
    assert.strictEqual(reason._tag, "LockedPackageGone")
    for (const part of ["6.12.1-1", 'whenGone: "newest"', "STILLPOINT_KIT_WHEN_GONE=newest", "stillpoint-kit lock"]) {
      assert.include(reason.message, part)
    }
    assert.deepStrictEqual(yield* leftovers(kit.config.directory), [])
  })
)

it.effect("who-allows-it-gets-the-newest-and-that-is-said-and-recorded", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    archive.publish("6.12.9", "1:1.37.0-6")
    archive.dropPast()
    const lenient = yield* kit.with({ whenGone: "newest" })
    const files = yield* lenient.files
    assert.strictEqual(files.kernelVersion, "6.12.9-1")
    assert.strictEqual(kit.notices.length, 1)
    assert.match(
      kit.notices[0] ?? "",
      /no longer holds linux-image-6\.12\.1.*6\.12\.9-1 is used.*stillpoint-kit lock.*make kit-lock/
    )
    archive.shutDown()
    assert.strictEqual((yield* lenient.files).kernelVersion, "6.12.9-1")
    assert.strictEqual(kit.notices.length, 2)
    yield* Effect.promise(() => writeFile(kit.agentPath, "the agent"))
    const guest = yield* lenient.use((service) => service.guest({}))
    assert.deepStrictEqual(guest.origin, {
      packages: ["linux-image-6.12.9+deb13-riscv64 6.12.9-1", "busybox-static 1:1.37.0-6"],
      substitutes: [
        {
          locked: "linux-image-6.12.1+deb13-riscv64 6.12.1-1",
          taken: "linux-image-6.12.9+deb13-riscv64 6.12.9-1"
        }
      ]
    })
    // A kit that does not allow it does not use another's substitute.
    assert.strictEqual((yield* reasonOf(kit.files))._tag, "ArchiveUnreachable")
  })
)

it.effect("locking-again-takes-what-the-archive-holds-now", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    archive.publish("6.12.9", "1:1.38.0-1")
    assert.strictEqual((yield* kit.lock).busybox.version, "1:1.38.0-1")
    assert.strictEqual((yield* kit.files).kernelVersion, "6.12.9-1")
    assert.deepStrictEqual(kit.notices, [])
  })
)

it.effect("an-index-changed-after-signing-is-refused", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    const path = "/dists/trixie/InRelease"
    const text = archive.files.get(path)?.toString() ?? ""
    archive.files.set(path, Buffer.from(text.replace("Origin: Test", "Origin: Tset")))
    assert.strictEqual((yield* reasonOf(kit.lock))._tag, "SignatureInvalid")
  })
)

it.effect("a-package-index-that-is-not-the-signed-one-is-refused", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    for (const path of archive.files.keys()) {
      if (path.includes("binary-riscv64")) archive.files.set(path, Buffer.from("another index"))
    }
    assert.strictEqual((yield* reasonOf(kit.lock.pipe(TestClock.withLive)))._tag, "DigestMismatch")
  })
)

it.effect("an-archive-updated-between-release-and-index-is-asked-again-for-both", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    const index = "/dists/trixie/main/binary-riscv64/Packages.gz"
    const old = archive.files.get(index)!
    archive.publish("6.12.9", "1:1.37.0-6")
    // The index is still the old one, and becomes the new one while it is being asked for.
    const fresh = archive.files.get(index)!
    for (const path of archive.files.keys()) if (path.includes("by-hash")) archive.files.delete(path)
    archive.files.set(index, old)
    archive.onRequest((path, count) => {
      if (path === index && count === 3) archive.files.set(index, fresh)
    })
    assert.strictEqual((yield* kit.lock.pipe(TestClock.withLive)).kernel.version, "6.12.9-1")
  })
)

it.effect("an-unsigned-index-is-refused", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    archive.files.set("/dists/trixie/InRelease", Buffer.from("Codename: trixie\n"))
    assert.strictEqual((yield* reasonOf(kit.lock))._tag, "FormatInvalid")
  })
)

it.effect("a-damaged-cache-is-noticed-and-fetched-again", () =>
  Effect.gen(function* () {
    const { kit } = yield* locked
    const files = yield* kit.files
    const whole = yield* Effect.promise(() => readFile(files.kernelPath))
    for (const damage of [whole.subarray(1), Buffer.concat([whole.subarray(0, -1), Buffer.from("x")])]) {
      yield* Effect.promise(() => writeFile(files.kernelPath, damage))
      const again = yield* kit.files
      assert.deepStrictEqual(yield* Effect.promise(() => readFile(again.kernelPath)), whole)
    }
    yield* Effect.promise(() => rm(files.busyboxPath))
    yield* kit.files
    assert.isTrue(existsSync(files.busyboxPath))
    assert.strictEqual(kit.notices.filter((line) => line.includes("damaged")).length, 3)
  })
)

it.effect("what-a-killed-process-left-half-done-is-removed-and-what-a-living-one-has-is-not", () =>
  Effect.gen(function* () {
    const { kit } = yield* locked
    yield* kit.files
    const cache = { directory: kit.config.directory, files: yield* DurableFiles }
    const alive = yield* makeStaging(cache)
    // The kernel lets go of a lock when its owner is killed; nothing else changes.
    const dead = yield* makeOwnedDirectory(cache.files, cache.directory, "staging")
    yield* Effect.promise(() => writeFile(join(dead.path(), "package.deb"), "half"))
    yield* dead.give
    yield* kit.files
    assert.isFalse(existsSync(dead.path()))
    assert.isTrue(existsSync(alive))
  }).pipe(Effect.provide(DurableFiles.layer))
)

it.effect("two-at-once-both-get-the-kit", () =>
  Effect.gen(function* () {
    const { kit } = yield* locked
    const both = yield* Effect.all([kit.files, kit.files], { concurrency: 2 })
    assert.deepStrictEqual(both[0], both[1])
    assert.deepStrictEqual(yield* leftovers(kit.config.directory), [])
  })
)

it.effect("an-archive-that-does-not-answer-is-named", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    archive.shutDown()
    const reason = yield* reasonOf(kit.files)
    assert.strictEqual(reason._tag, "ArchiveUnreachable")
    assert.include(reason.message, "needs the archive once")
  })
)

it.effect("a-package-without-a-kernel-is-refused", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* locked
    const lock = JSON.parse(yield* Effect.promise(() => readFile(kit.config.lockPath, "utf8")))
    lock.kernel = { ...lock.busybox }
    yield* Effect.promise(() => writeFile(kit.config.lockPath, JSON.stringify(lock)))
    const reason = yield* reasonOf(kit.files)
    assert.strictEqual(reason._tag, "FormatInvalid")
    assert.include(reason.message, "vmlinu")
    assert.isAbove(archive.requests.length, 0)
  })
)

it.effect("a-lock-that-is-none-is-refused-with-all-problems", () =>
  Effect.gen(function* () {
    const { kit } = yield* locked
    const bad = { formatVersion: 2, suite: "", architecture: "riscv64", kernel: { filename: "../../etc/passwd" } }
    yield* Effect.promise(() => writeFile(kit.config.lockPath, JSON.stringify(bad)))
    const reason = yield* reasonOf(kit.files)
    assert.strictEqual(reason._tag, "FormatInvalid")
    for (const part of ["formatVersion", "suite", "kernel", "busybox"]) assert.include(reason.message, part)
  })
)

it.effect("a-missing-agent-is-named-with-what-to-do", () =>
  Effect.gen(function* () {
    const { kit } = yield* locked
    const reason = yield* reasonOf(kit.use((service) => service.programs))
    assert.strictEqual(reason._tag, "GuestAgentMissing")
    assert.include(reason.message, `${kit.agentPath}, found no file; build it first`)
  })
)

it.effect("an-initramfs-holds-the-kits-programs", () =>
  Effect.gen(function* () {
    const { kit } = yield* locked
    yield* Effect.promise(() => writeFile(kit.agentPath, "the agent"))
    const archive = yield* kit.use((service) =>
      service.initramfs({ modules: ["virtio_mmio"], workload: { argv: ["true"] } })
    )
    const entries = new Map(Result.getOrThrow(readCpio(archive)).map((entry) => [entry.path, entry]))
    assert.strictEqual(Buffer.from(entries.get("init")?.content ?? []).toString(), "the agent")
    assert.strictEqual(Buffer.from(entries.get("bin/busybox")?.content ?? []).toString(), "busybox 1:1.37.0-6")
    assert.isTrue(entries.has("stillpoint/modules/virtio_mmio.ko"))
  })
)

it.effect("a-kit-for-amd64-has-the-kernel-for-clouds-and-its-files-lie-beside-those-for-riscv64", () =>
  Effect.gen(function* () {
    const { kit } = yield* lockedOf("amd64")
    const files = yield* kit.files
    assert.strictEqual(files.platform, "amd64")
    assert.deepStrictEqual(
      files.packages.map(({ name }) => name),
      ["linux-image-6.12.1+deb13-cloud-amd64", "busybox-static"]
    )
    const other = yield* lockedOf("riscv64")
    const shared = yield* other.kit.with({ directory: kit.config.directory })
    assert.notStrictEqual((yield* shared.files).kernelPath, files.kernelPath)
    assert.deepStrictEqual(yield* kit.files, files)
  })
)

it.effect("a-kit-is-refused-the-lock-the-archive-and-the-agent-of-another-platform", () =>
  Effect.gen(function* () {
    const { archive, kit } = yield* lockedOf("riscv64")
    const other = yield* kit.with({ platform: "amd64" })
    archive.requests.length = 0
    const lock = yield* reasonOf(other.files)
    assert.strictEqual(lock._tag, "FormatInvalid")
    assert.include(lock.message, "expected a lock of the guest kit for amd64, found one for riscv64")
    const found = yield* reasonOf(other.use((service) => service.lock))
    assert.strictEqual(found._tag, "KitConfigInvalid")
    assert.include(found.message, "expected an archive for the kit's platform amd64, found one for riscv64")
    assert.deepStrictEqual(archive.requests, [])
    const agent = Buffer.alloc(64)
    agent.write("\u007fELF", "latin1")
    for (const [machine, name] of [
      [62, "amd64"],
      [183, "ELF machine 183"]
    ] as const) {
      agent.writeUInt16LE(machine, 0x12)
      yield* Effect.promise(() => writeFile(kit.agentPath, agent))
      const reason = yield* reasonOf(kit.use((service) => service.programs))
      assert.strictEqual(reason._tag, "FileUnusable")
      assert.include(reason.message, `expected a guest agent for riscv64, found a program for ${name}`)
    }
    agent.writeUInt16LE(243, 0x12)
    yield* Effect.promise(() => writeFile(kit.agentPath, agent))
    assert.strictEqual((yield* kit.use((service) => service.programs)).agent.length, 64)
  })
)

it("the-cache-is-where-the-environment-says", () => {
  assert.strictEqual(defaultDirectory({ STILLPOINT_KIT_DIR: "/somewhere" }), "/somewhere")
  assert.match(defaultDirectory({}), /\.cache\/guest-kit$/)
})
