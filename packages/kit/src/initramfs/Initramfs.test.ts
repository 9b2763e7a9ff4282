import { assert, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as fc from "fast-check"
import { execFileSync, spawnSync } from "node:child_process"
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { type CpioEntry, readCpio } from "./cpio.ts"
import { encodeAgentConf, GuestConfig, type GuestConfigInput, isGuestPath } from "./GuestConfig.ts"
import { buildInitramfs } from "./Initramfs.ts"
import type { ModuleInfo } from "../modules/moduleInfo.ts"

const programs = {
  agent: Buffer.from("agent"),
  busybox: Buffer.from("busybox"),
  modules: new Map(
    [
      ["erofs", ["libcrc32c"], [], []],
      ["virtio_mmio", [], [], []],
      ["virtio_net", [], [], []],
      ["libcrc32c", [], ["crc32c", "unknown"], []],
      ["crc32c-generic", [], [], ["crc32c"]],
      ["torn", ["virtio_ring", "absent"], [], []]
    ].map(([name, depends, before, aliases]) => [
      String(name),
      {
        content: Buffer.from(`module ${String(name)}`),
        info: { depends, before, aliases } as { [key: string]: Array<string> } & ModuleInfo
      }
    ])
  ),
  builtInModules: new Set(["virtio_ring"])
}

type Others = { readonly busybox?: Uint8Array; readonly builtInModules?: ReadonlySet<string> }

const build = (config: GuestConfigInput, others: Others = {}) => buildInitramfs({ ...programs, ...others }, config)

const entriesOf = (config: GuestConfigInput, others?: Others) =>
  Effect.map(build(config, others), (archive) => {
    return new Map<string, CpioEntry>(Result.getOrThrow(readCpio(archive)).map((entry) => [entry.path, entry]))
  })

const textOf = (entry: CpioEntry | undefined) => Buffer.from(entry?.content ?? []).toString()

const refusal = (config: unknown) =>
  Effect.map(Effect.result(build(config as GuestConfigInput)), (result) => {
    assert(Result.isFailure(result), "expected a refusal")
    return result.failure.reason
  })

/** Reads a configuration file as the agent does. */
const parseConf = (text: string): ReadonlyArray<readonly [string, string]> =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const equals = line.indexOf("=")
      const value = line
        .slice(equals + 1)
        .replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)))
      return [line.slice(0, equals), value]
    })

it.effect("a-guest-has-the-agent-busybox-and-a-console", () =>
  Effect.gen(function* () {
    const entries = yield* entriesOf({})
    assert.strictEqual(textOf(entries.get("init")), "agent")
    assert.strictEqual(entries.get("init")?.mode, 0o755)
    assert.strictEqual(textOf(entries.get("bin/busybox")), "busybox")
    assert.strictEqual(textOf(entries.get("bin/sh")), "busybox")
    assert.deepStrictEqual(entries.get("dev/console")?.device, [5, 1])
  })
)

it.effect("the-same-configuration-gives-the-same-bytes-whatever-its-order", () =>
  Effect.gen(function* () {
    const one = yield* build({
      files: { "/a/x": { content: "1" }, "/b": { content: "2" } },
      workload: { argv: ["x"], env: { A: "1", B: "2" } }
    })
    const two = yield* build({
      workload: { env: { B: "2", A: "1" }, argv: ["x"] },
      files: { "/b": { content: "2" }, "/a/x": { content: "1" } }
    })
    assert.deepStrictEqual(one, two)
  })
)

it.effect("parents-come-before-what-is-in-them", () =>
  Effect.gen(function* () {
    const archive = yield* build({ files: { "/srv/deep/er/file": { content: "x", mode: 0o600 } } })
    const paths = Result.getOrThrow(readCpio(archive)).map((entry) => entry.path)
    for (const [at, path] of paths.entries()) {
      const parent = path.split("/").slice(0, -1).join("/")
      if (parent !== "") assert.isBelow(paths.indexOf(parent), at, path)
    }
    assert.include(paths, "srv/deep/er")
  })
)

const canMakeDevices = process.getuid?.() === 0 && spawnSync("mknod", ["--version"]).status === 0

it.effect(`a-whole-tree-is-there-as-it-was${canMakeDevices ? "" : " (without its device, skipped: not root)"}`, () =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint tree é "))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    mkdirSync(join(folder, "deep/empty"), { recursive: true })
    chmodSync(folder, 0o1750)
    chmodSync(join(folder, "deep/empty"), 0o1777)
    writeFileSync(join(folder, "deep/one"), "content")
    chmodSync(join(folder, "deep/one"), 0o4750)
    linkSync(join(folder, "deep/one"), join(folder, "other"))
    symlinkSync("deep/one", join(folder, "link"))
    spawnSync("mkfifo", [join(folder, "fifo")])
    mkdirSync(join(folder, "dev"))
    writeFileSync(join(folder, "dev/left-out"), "")
    if (canMakeDevices) spawnSync("mknod", [join(folder, "null"), "c", "1", "3"])
    const entries = yield* entriesOf({ files: { "/srv": { tree: folder }, "/srv/other/x": { content: "" } } }).pipe(
      Effect.flip,
      Effect.tap((error) => Effect.sync(() => assert.include(error.message, "/srv/other is not a directory"))),
      Effect.andThen(
        entriesOf({ files: { "/": { tree: folder }, "/run/app/x": { content: "1" }, "/tmp/y": { content: "" } } })
      )
    )
    const { gid, uid } = statSync(join(folder, "deep/one"))
    const own = entries.get(".")
    assert.deepStrictEqual([own?.kind, own?.mode, own?.owner ?? [0, 0]], ["directory", 0o1750, [uid, gid]])
    const one = entries.get("deep/one")
    assert.deepStrictEqual([one?.mode, textOf(one), one?.owner ?? [0, 0]], [0o4750, "content", [uid, gid]])
    assert.isDefined(one?.sameFile)
    assert.deepStrictEqual([entries.get("other")?.sameFile, textOf(entries.get("other"))], [one?.sameFile, ""])
    assert.strictEqual(textOf(entries.get("link")), "deep/one")
    assert.deepStrictEqual([entries.get("deep/empty")?.kind, entries.get("deep/empty")?.mode], ["directory", 0o1777])
    assert.strictEqual(entries.get("fifo")?.kind, "fifo")
    if (canMakeDevices) assert.deepStrictEqual(entries.get("null")?.device, [1, 3])
    assert.isFalse(entries.has("dev/left-out"))
    assert.strictEqual(textOf(entries.get("run/app/x")), "1")
    const owned = yield* entriesOf({ files: { "/srv": { tree: folder, owner: { uid: 7, gid: 8 } } } })
    assert.deepStrictEqual(owned.get("srv/deep/one")?.owner, [7, 8])
    assert.strictEqual(
      (yield* refusal({ files: { "/x": { tree: join(folder, "other") } } }))._tag,
      "HostFileUnreadable"
    )
  })
)

it.effect("a-tree-whose-standard-folders-are-links-is-a-root", () =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-tree-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    mkdirSync(join(folder, "usr/bin"), { recursive: true })
    symlinkSync("usr/bin", join(folder, "bin"))
    symlinkSync("/usr/bin", join(folder, "sbin"))
    for (const [name, target] of [
      ["gawk", null],
      ["awk", "/bin/gawk"],
      ["sh", null]
    ] as const) {
      if (target === null) writeFileSync(join(folder, "usr/bin", name), name, { mode: 0o755 })
      else symlinkSync(target, join(folder, "usr/bin", name))
    }
    const busybox = Buffer.from("ELF [\0[[\0ash\0awk\0busybox\0ls\0sh\0\0", "latin1")
    const entries = yield* entriesOf({ files: { "/": { tree: folder } } }, { busybox })
    assert.deepStrictEqual([textOf(entries.get("bin")), textOf(entries.get("sbin"))], ["usr/bin", "/usr/bin"])
    assert.deepStrictEqual(
      [...entries.keys()].filter((path) => /^s?bin\//.test(path)),
      []
    )
    // The tree's files stay; every guest has the ones that it lacks, including busybox without the tree's programs.
    assert.deepStrictEqual([textOf(entries.get("usr/bin/sh")), textOf(entries.get("usr/bin/awk"))], ["sh", "/bin/gawk"])
    assert.strictEqual(textOf(entries.get("usr/bin/ls")), "/stillpoint/busybox")
    assert.strictEqual(textOf(entries.get("usr/bin/stillpoint-emit")), "/init")
    assert.isTrue(entries.has("usr/bin/busybox"))
    for (const taken of ["usr/bin/stillpoint-emit", "bin/x"]) {
      const files = { "/": { tree: folder }, [`/${taken}`]: { content: "" } }
      assert.strictEqual((yield* refusal({ files }))._tag, "GuestPathRefused", taken)
    }
    for (const links of [
      { "/run": "/x" },
      { "/bin": "bin/x" },
      { "/bin": "/proc/x" },
      { "/stillpoint": "/x" }
    ] as const) {
      assert.strictEqual((yield* refusal({ links }))._tag, "GuestPathRefused", JSON.stringify(links))
    }
  })
)

it.effect("the-first-process-comes-last-so-that-no-part-of-a-root-boots", () =>
  Effect.gen(function* () {
    const archive = yield* build({ files: { "/zz/file": { content: "x" } } })
    assert.strictEqual(Result.getOrThrow(readCpio(archive)).at(-1)?.path, "init")
  })
)

it.effect("a-users-file-link-directory-and-module-are-there", () =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-files-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    writeFileSync(join(folder, "app"), "from the host")
    const entries = yield* entriesOf({
      files: {
        "/app": { from: join(folder, "app"), mode: 0o755 },
        "/bytes": { content: new Uint8Array([0, 255]) },
        "/etc/hosts": { content: "own hosts\n" },
        "/own.ko": { content: "own module" }
      },
      links: { "/usr/bin/app": "/app" },
      directories: ["/data/empty", "/etc"],
      modules: ["virtio_mmio", "/own.ko"]
    })
    assert.strictEqual(textOf(entries.get("app")), "from the host")
    assert.strictEqual(entries.get("app")?.mode, 0o755)
    assert.deepStrictEqual(entries.get("bytes")?.content, new Uint8Array([0, 255]))
    assert.strictEqual(textOf(entries.get("etc/hosts")), "own hosts\n")
    assert.strictEqual(textOf(entries.get("usr/bin/app")), "/app")
    assert.strictEqual(entries.get("data/empty")?.kind, "directory")
    const modules = parseConf(textOf(entries.get("stillpoint/agent.conf"))).filter(([key]) => key === "module")
    assert.deepStrictEqual(
      modules.map(([, value]) => value),
      ["/stillpoint/modules/virtio_mmio.ko", "/own.ko"]
    )
    assert.strictEqual(textOf(entries.get("stillpoint/modules/virtio_mmio.ko")), "module virtio_mmio")
  })
)

it.effect("modules-come-once-each-and-after-what-they-need", () =>
  Effect.gen(function* () {
    const entries = yield* entriesOf({ modules: ["erofs", "virtio_ring", "virtio_mmio", "erofs"] })
    const modules = parseConf(textOf(entries.get("stillpoint/agent.conf"))).filter(([key]) => key === "module")
    assert.deepStrictEqual(
      modules.map(([, value]) => value),
      ["crc32c-generic", "libcrc32c", "erofs", "virtio_mmio"].map((name) => `/stillpoint/modules/${name}.ko`)
    )
  })
)

it.effect(
  "the-transport-of-the-channel-lies-beside-the-agent-where-the-kernel-has-the-rest-and-is-not-loaded-at-boot",
  () =>
    Effect.gen(function* () {
      const path = "stillpoint/modules/virtio_mmio.ko"
      for (const [builtIn, expected] of [
        ["virtio_console", "module virtio_mmio"],
        ["virtio_ring", ""]
      ] as const) {
        const entries = yield* entriesOf({}, { builtInModules: new Set([builtIn]) })
        assert.strictEqual(textOf(entries.get(path)), expected)
        assert.notInclude(textOf(entries.get("stillpoint/agent.conf")), "virtio_mmio")
      }
    })
)

for (const [path, why] of [
  ["/init", "agent"],
  ["/stillpoint/agent.conf", "agent"],
  ["/run/stillpoint/events", "mounted over /run/stillpoint"],
  ["/dev", "mounted over /dev"],
  ["/proc/x", "mounted over /proc"],
  ["/bin", "directory"],
  ["/bin/busybox/x", "not a directory"],
  ["/f/g", "/f is not a directory"]
] as const) {
  it.effect(`a-file-at-${path}-is-refused`, () =>
    Effect.gen(function* () {
      const reason = yield* refusal({ files: { "/f": { content: "" }, [path]: { content: "x" } } })
      assert.strictEqual(reason._tag, "GuestPathRefused")
      assert.include(reason.message, why)
    })
  )
}

it.effect("a-path-that-could-leave-the-root-is-refused", () =>
  Effect.gen(function* () {
    for (const path of [
      "etc/x",
      "/../x",
      "/a/../b",
      "/a/./b",
      "/a//b",
      "/a/",
      "/",
      "",
      `/${"a".repeat(1025)}`,
      "/a\0b"
    ]) {
      assert.isFalse(isGuestPath(path), path)
      assert.strictEqual((yield* refusal({ files: { [path]: { content: "" } } }))._tag, "ConfigInvalid", path)
      assert.strictEqual((yield* refusal({ directories: [path] }))._tag, "ConfigInvalid", path)
      assert.strictEqual((yield* refusal({ links: { [path]: "x" } }))._tag, "ConfigInvalid", path)
    }
  })
)

it.effect("all-problems-of-a-configuration-are-told-at-once", () =>
  Effect.gen(function* () {
    const reason = yield* refusal({
      workload: { argv: [], env: { "A=B": "x" } },
      heartbeatMillis: -1,
      holdNanos: 0.5,
      hostname: "bad name",
      colour: "red"
    })
    assert.strictEqual(reason._tag, "ConfigInvalid")
    for (const part of ["argv", "heartbeatMillis", "holdNanos", "hostname", "colour"])
      assert.include(reason.message, part)
  })
)

it.effect("a-guest-with-a-network-asks-the-host-for-names-unless-it-is-told-otherwise", () =>
  Effect.gen(function* () {
    const path = "etc/resolv.conf"
    assert.isUndefined((yield* entriesOf({})).get(path))
    assert.strictEqual(textOf((yield* entriesOf({ network: true })).get(path)), "nameserver 10.0.2.3\n")
    const own = yield* entriesOf({ network: true, files: { [`/${path}`]: { content: "nameserver 192.0.2.1\n" } } })
    assert.strictEqual(textOf(own.get(path)), "nameserver 192.0.2.1\n")
    const said = (input: Parameters<typeof entriesOf>[0]) =>
      Effect.map(entriesOf(input), (entries) =>
        parseConf(textOf(entries.get("stillpoint/agent.conf"))).filter(([key]) => key === "resolvConf")
      )
    const root = { device: "image" }
    assert.deepStrictEqual(yield* said({ root }), [])
    assert.deepStrictEqual(yield* said({ root, network: true }), [["resolvConf", "nameserver 10.0.2.3\n"]])
    assert.deepStrictEqual(yield* said({ root, network: true, resolvConf: "" }), [["resolvConf", ""]])
  })
)

it.effect("what-the-agent-would-pass-over-is-refused", () =>
  Effect.gen(function* () {
    const data = { device: "data", path: "/data" }
    const alone = yield* refusal({ volumes: [data], resolvConf: "nameserver 10.0.2.3\n", hosts: "" })
    assert.strictEqual(alone._tag, "ConfigInvalid")
    for (const part of ["volumes: expected a root", "resolvConf: expected", "hosts: expected"])
      assert.include(alone.message, part)
    const root = { device: "image" }
    const covered = yield* refusal({
      root,
      volumes: [{ device: "a", path: "/data/a" }, data, { ...data, path: "//data/" }, { ...data, path: "/proc/x" }]
    })
    for (const part of ["volumes[0].path", "volumes[2].path", "volumes[3].path", "/proc"])
      assert.include(covered.message, part)
  })
)

it.effect("what-cannot-be-used-is-named", () =>
  Effect.gen(function* () {
    const pipe = join(mkdtempSync(join(tmpdir(), "stillpoint-pipe-")), "pipe")
    execFileSync("mkfifo", [pipe])
    for (const from of ["/no/such/file", pipe, "/dev/zero", tmpdir()])
      assert.strictEqual((yield* refusal({ files: { "/x": { from } } }))._tag, "HostFileUnreadable", from)
    rmSync(dirname(pipe), { recursive: true })
    assert.include((yield* refusal({ modules: ["e1000"] })).message, "virtio_mmio")
    assert.include((yield* refusal({ modules: ["torn"] })).message, "absent")
    assert.strictEqual((yield* refusal({ modules: ["/absent.ko"] }))._tag, "GuestPathRefused")
    const long = yield* refusal({ workload: { argv: ["x".repeat(65_000)] } })
    assert.strictEqual(long._tag, "TooLarge")
    const wide = yield* refusal({ workload: { argv: ["x"], env: { A: "x".repeat(140_000) } } })
    assert.strictEqual(wide._tag, "TooLarge")
    assert.include(wide.message, "131071")
  })
)

it("any-argument-and-environment-reach-the-agent-unchanged", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "=", "%", "\n", "\r", "#", " ", "é", "%0A", "\\") })
  fc.assert(
    fc.property(
      fc.array(text, { minLength: 1 }),
      fc.dictionary(fc.stringMatching(/^[A-Z]{1,8}$/), text),
      (argv, env) => {
        const [program = "", ...rest] = argv
        const config = Schema.decodeUnknownSync(GuestConfig)({ workload: { argv: [program, ...rest], env } })
        const pairs = parseConf(encodeAgentConf(config, []))
        assert.deepStrictEqual(
          pairs.filter(([key]) => key === "argv").map(([, value]) => value),
          argv
        )
        assert.deepStrictEqual(
          pairs.filter(([key]) => key === "env").map(([, value]) => value),
          Object.entries(env)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([name, value]) => `${name}=${value}`)
        )
      }
    ),
    { numRuns: 300 }
  )
})
