import { assert, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { spawnSync } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { arOf, debOf, tarOf } from "../testing/debianFiles.ts"
import { unpackKernel } from "./kernelImage.ts"
import { extract, type Wanted } from "./extract.ts"
import { readTar } from "./tar.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-deb-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const deepPath = `usr/lib/${"very-long-folder-name/".repeat(8)}module.ko.xz`
const files = new Map<string, Uint8Array>([
  ["boot/vmlinux-1", Buffer.from("kernel".repeat(3000))],
  ["boot/empty", Buffer.alloc(0)],
  [deepPath, Buffer.from("module")]
])
const wanted: ReadonlyArray<Wanted> = [
  { path: /^boot\/vmlinux-/, as: "vmlinux", required: true },
  { path: /module\.ko\.xz$/, as: "module", required: false },
  { path: /absent/, as: "absent", required: false }
]

const extractFrom = Effect.fnUntraced(function* (deb: Uint8Array, from: ReadonlyArray<Wanted> = wanted) {
  const path = join(yield* folder, "p.deb")
  writeFileSync(path, deb)
  return yield* Effect.result(extract(path, from))
})

const xz = spawnSync("xz", ["--version"]).status === 0
const compressions = [
  ["none", "data.tar", (tar: Buffer) => tar, true],
  ["gzip", "data.tar.gz", (tar: Buffer) => gzipSync(tar), true],
  ["zstd", "data.tar.zst", (tar: Buffer) => zstdCompressSync(tar), true],
  ["xz", "data.tar.xz", (tar: Buffer) => spawnSync("xz", ["-c"], { input: tar }).stdout, xz]
] as const

for (const [name, member, compress, possible] of compressions) {
  it.effect.skipIf(!possible)(
    `a-package-compressed-with-${name}-is-unpacked${possible ? "" : ` (skipped: ${name} is not installed)`}`,
    () =>
      Effect.gen(function* () {
        const taken = Result.getOrThrow(yield* extractFrom(debOf(files, compress, member)))
        assert.deepStrictEqual([...taken.keys()].sort(), ["module", "vmlinux"])
        assert.deepStrictEqual(taken.get("vmlinux"), files.get("boot/vmlinux-1"))
        assert.strictEqual(taken.get("module")?.toString(), "module")
      })
  )
}

const dpkg = spawnSync("dpkg-deb", ["--version"]).status === 0

it.effect.skipIf(!dpkg)(
  `a-package-that-dpkg-built-is-unpacked${dpkg ? "" : " (skipped: dpkg-deb is not installed)"}`,
  () =>
    Effect.gen(function* () {
      const root = join(yield* folder, "tree")
      for (const [path, content] of files) {
        mkdirSync(join(root, dirname(path)), { recursive: true })
        writeFileSync(join(root, path), content)
      }
      mkdirSync(join(root, "DEBIAN"))
      // dpkg-deb refuses a folder that others may write to, which a umask of 0 makes.
      chmodSync(join(root, "DEBIAN"), 0o755)
      writeFileSync(
        join(root, "DEBIAN/control"),
        "Package: t\nVersion: 1\nArchitecture: all\nMaintainer: t <t@example.invalid>\nDescription: t\n"
      )
      const built = spawnSync("dpkg-deb", ["--root-owner-group", "-b", root, `${root}.deb`])
      assert.strictEqual(built.status, 0, built.stderr.toString())
      const taken = Result.getOrThrow(yield* extractFrom(readFileSync(`${root}.deb`)))
      assert.deepStrictEqual(taken.get("vmlinux"), files.get("boot/vmlinux-1"))
      assert.strictEqual(taken.get("module")?.toString(), "module")
    })
)

it.effect("a-package-without-a-required-file-is-refused", () =>
  Effect.gen(function* () {
    const result = yield* extractFrom(debOf(new Map([["other", Buffer.from("x")]])))
    assert.isTrue(Result.isFailure(result) && result.failure.message.includes("vmlinux"))
  })
)

it.effect("what-is-no-package-is-refused", () =>
  Effect.gen(function* () {
    for (const bytes of [Buffer.alloc(0), Buffer.from("!<arch>\n"), arOf([["data.tar.lzma", Buffer.from("x")]])]) {
      const result = yield* extractFrom(bytes)
      assert.isTrue(Result.isFailure(result) && result.failure.reason._tag === "FormatInvalid")
    }
  })
)

it.effect("a-package-cut-or-changed-anywhere-never-gives-other-files", () =>
  Effect.gen(function* () {
    const deb = debOf(files, (tar) => tar, "data.tar")
    const path = join(yield* folder, "p.deb")
    const promise = fc.assert(
      fc.asyncProperty(fc.nat(deb.length - 1), fc.boolean(), async (at, cut) => {
        const copy = Buffer.from(cut ? deb.subarray(0, at) : deb)
        if (!cut) copy[at] = (copy[at] ?? 0) ^ 0x41
        writeFileSync(path, copy)
        const result = await Effect.runPromise(Effect.result(extract(path, wanted)))
        if (Result.isSuccess(result)) assert.strictEqual(result.success.get("vmlinux")?.length, 18_000)
      }),
      { numRuns: 300 }
    )
    yield* Effect.promise(() => promise)
  })
)

it("tar-entries-come-back-however-the-stream-is-cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.stringMatching(/^[a-z]{1,12}(\/[a-z]{1,60}){0,4}$/), fc.uint8Array({ maxLength: 1500 })),
      fc.integer({ min: 1, max: 3000 }),
      async (tree, step) => {
        const entries = new Map(Object.entries(tree))
        const tar = tarOf(entries)
        const pieces = async function* () {
          for (let at = 0; at < tar.length; at += step) yield tar.subarray(at, at + step)
        }
        const found = new Map<string, Uint8Array>()
        for await (const file of readTar(pieces())) found.set(file.path, new Uint8Array(await file.read()))
        assert.deepStrictEqual(found, entries)
      }
    ),
    { numRuns: 200 }
  )
})

/** An EFI image that holds `packed`, as Linux lays it out. */
const efiImage = (packed: Buffer, compression: string): Buffer => {
  const header = Buffer.alloc(0x40)
  header.write("MZ")
  header.write("zimg", 4)
  header.writeUInt32LE(0x40, 8)
  header.writeUInt32LE(packed.length, 12)
  header.write(compression, 0x18)
  return Buffer.concat([header, packed, Buffer.from("after it")])
}

it("a-kernel-comes-out-of-the-efi-image-that-it-went-into", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
      const kernel = Buffer.from(bytes)
      assert.isTrue(unpackKernel(efiImage(gzipSync(kernel), "gzip")).equals(kernel))
      assert.isTrue(unpackKernel(efiImage(zstdCompressSync(kernel), "zstd22")).equals(kernel))
    })
  )
})

/** An x86 image that holds `packed`, and what it unpacks to is so long. */
const x86Image = (packed: Buffer, sizeBytes: number, at = 0x10): Buffer => {
  const head = Buffer.alloc(2 * 512)
  head.write("MZ")
  head[0x1f1] = 1
  head.write("HdrS", 0x202)
  head.writeUInt32LE(at, 0x248)
  head.writeUInt32LE(packed.length + 4, 0x24c)
  const size = Buffer.alloc(4)
  size.writeUInt32LE(sizeBytes)
  return Buffer.concat([head, Buffer.alloc(at), packed, size, Buffer.from("after it")])
}

it("a-kernel-comes-out-of-the-x86-image-that-it-went-into", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), fc.nat(64), (bytes, at) => {
      const kernel = Buffer.from(bytes)
      for (const packed of [gzipSync(kernel), zstdCompressSync(kernel)])
        assert.isTrue(unpackKernel(x86Image(packed, kernel.length, at)).equals(kernel))
    })
  )
  // One that is packed in another way unpacks itself in the guest.
  const other = x86Image(Buffer.from("\u00fd7zXZ", "latin1"), 5)
  assert.isTrue(unpackKernel(other).equals(other))
  const whole = x86Image(gzipSync(Buffer.from("kernel")), 6)
  for (const bad of [whole.subarray(0, 0x420), x86Image(gzipSync(Buffer.from("kernel")), 7)])
    assert.throws(() => unpackKernel(bad), /expected/)
})

it.effect("a-kernel-beside-its-modules-is-unpacked-and-damage-is-named", () =>
  Effect.gen(function* () {
    const path = "usr/lib/modules/7.0-riscv64/vmlinuz"
    const image: ReadonlyArray<Wanted> = [{ path: /vmlinuz$/, as: "vmlinux", required: true, unpack: unpackKernel }]
    const whole = efiImage(gzipSync(Buffer.from("kernel")), "gzip")
    const taken = Result.getOrThrow(yield* extractFrom(debOf(new Map([[path, whole]])), image))
    assert.strictEqual(taken.get("vmlinux")?.toString(), "kernel")
    for (const bad of [whole.subarray(0, 0x48), efiImage(Buffer.from("packed"), "lzma")]) {
      const refused = yield* extractFrom(debOf(new Map([[path, bad]])), image)
      assert(Result.isFailure(refused) && refused.failure.reason._tag === "FormatInvalid")
    }
  })
)
