import { assert, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readCpio } from "./cpio.ts"
import type { GuestConfigInput } from "./GuestConfig.ts"
import { buildInitramfs } from "./Initramfs.ts"

const build = (config: GuestConfigInput) =>
  buildInitramfs({ agent: Buffer.from("agent"), busybox: Buffer.from("busybox"), modules: new Map() }, config)

const pathsOf = (config: GuestConfigInput) =>
  Effect.map(build(config), (archive) => new Set(Result.getOrThrow(readCpio(archive)).map(({ path }) => path)))

const refusal = (config: GuestConfigInput) => Effect.map(Effect.flip(build(config)), ({ reason }) => reason)

it.effect("names-that-no-guest-can-have-are-refused-all-at-once", () =>
  Effect.gen(function* () {
    const long = "é".repeat(128)
    const file = { content: "" }
    const said = yield* refusal({
      files: { "/x/\ud800": file, "/x/\ud801": file, "/TRAILER!!!": file, "/ok/TRAILER!!!": file },
      directories: [`/a/${long}/b`, "/TRAILER!!!/in"],
      links: { "/x/\udfff": "x", "/l": "", "/m": "x".repeat(4096), "/n": "\ud800" }
    })
    assert.strictEqual(said._tag, "ConfigInvalid")
    const count = (part: string) => said.message.split(part).length - 1
    assert.strictEqual(count("found a lone surrogate in"), 3, said.message)
    assert.strictEqual(count("found /TRAILER!!!, which ends an archive"), 2, said.message)
    assert.strictEqual(count("expected names of at most 255 bytes, found one of 256"), 1, said.message)
    assert.strictEqual(count("expected a target of 1 to 4095 bytes"), 2, said.message)
    assert.strictEqual(count("expected a target in Unicode"), 1, said.message)
    assert.isTrue((yield* pathsOf({ files: { "/ok/TRAILER!!!": file, [`/${"n".repeat(255)}`]: file } })).has("init"))

    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-names-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    mkdirSync(join(folder, "TRAILER!!!"))
    writeFileSync(join(folder, "TRAILER!!!/in"), "")
    const deep = Array.from({ length: 18 }, () => "d".repeat(200)).join("/")
    mkdirSync(join(folder, deep), { recursive: true })
    writeFileSync(join(folder, deep, "f"), "")
    const above = `/${Array.from({ length: 5 }, () => "a".repeat(200)).join("/")}`
    const trees = yield* refusal({ files: { "/": { tree: folder }, [above]: { tree: folder } } })
    assert.strictEqual(trees._tag, "ConfigInvalid")
    assert.strictEqual(trees.message.split("which ends an archive").length, 2, trees.message)
    assert.include(trees.message, "expected a path of at most 4095 bytes, found 4")
    assert.isTrue((yield* pathsOf({ files: { "/srv": { tree: folder } } })).has("srv/TRAILER!!!/in"))
    // Also where a link makes way for what every guest has.
    assert.include((yield* refusal({ links: { "/bin": "TRAILER!!!" } })).message, "which ends an archive")
  })
)
