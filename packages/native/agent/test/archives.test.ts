/** What the agent's program for files makes of archives, and of directories: the same program, built for this machine. */
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { setTimeout } from "node:timers/promises"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { archiveOf, type Member } from "./testing/hostileArchive.ts"

const agentFolder = fileURLToPath(new URL("..", import.meta.url))
const program = join(agentFolder, "build/files")
const runs = Number(process.env["STILLPOINT_RUNS"] ?? 6)

const built = spawnSync("make", ["-C", agentFolder, "--no-print-directory", "build/files"], { encoding: "utf8" })
const why = built.status === 0 ? undefined : `the program is not built: ${built.stderr.slice(0, 200)}`

/** Leaks are nothing to a program that ends. */
const env = { ...process.env, ASAN_OPTIONS: "detect_leaks=0" }

const within = (use: (folder: string) => void): void => {
  const folder = mkdtempSync(join(tmpdir(), "stillpoint-archives-"))
  try {
    use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const ask = (args: ReadonlyArray<string>, input: Uint8Array = new Uint8Array()) => {
  const { status, stderr, stdout } = spawnSync(program, [...args], { input, maxBuffer: 1 << 28, env })
  assert.notInclude(stderr.toString(), "Sanitizer")
  return { status, said: stderr.toString().trim(), stdout }
}

/** A directory as text: names, kinds, modes, owners, times, targets, contents, and which names are of one file. */
const told = (folder: string): ReadonlyArray<string> => {
  const inodes = new Map<number, string>()
  const below = (path: string): ReadonlyArray<string> => {
    const at = join(folder, path)
    const { gid, ino, mode, mtimeMs, nlink, uid } = lstatSync(at)
    const kind = mode & 0o170000
    const first = nlink > 1 && kind === 0o100000 ? (inodes.get(ino) ?? path) : ""
    if (first !== "") inodes.set(ino, first)
    const content = kind === 0o120000 ? readlinkSync(at) : kind === 0o100000 ? readFileSync(at).toString("base64") : ""
    const own = `${path} ${mode.toString(8)} ${uid}:${gid} ${mtimeMs} ${first} ${content}`
    const names = kind === 0o040000 ? readdirSync(at).sort() : []
    return [own, ...names.flatMap((name) => below(join(path, name)))]
  }
  return below(".")
}

const name = fc.oneof(
  fc.constantFrom("a", "b", "ü", "with space", "-n", "line\nfeed"),
  fc.integer({ min: 90, max: 255 }).map((length) => "n".repeat(length))
)
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"))
const timeSeconds = fc.constantFrom(-1.5, 0, 1.25, 1_700_000_000, 9_000_000_000)

type Thing =
  | { readonly _tag: "file"; readonly path: string; readonly bytes: Uint8Array; readonly mode: number }
  | { readonly _tag: "folder"; readonly path: string; readonly mode: number }
  | { readonly _tag: "link"; readonly path: string; readonly target: string }
  | { readonly _tag: "name"; readonly path: string; readonly of: number }
  | { readonly _tag: "pipe"; readonly path: string }

const mode = fc.constantFrom(0o600, 0o755, 0o4711, 0o2770, 0o000)
const thing: fc.Arbitrary<Thing> = fc.oneof(
  fc.record({ _tag: fc.constant("file" as const), path, bytes: fc.uint8Array({ maxLength: 1500 }), mode }),
  fc.record({ _tag: fc.constant("folder" as const), path, mode }),
  fc.record({ _tag: fc.constant("link" as const), path, target: fc.oneof(path, fc.constant("/etc/passwd")) }),
  fc.record({ _tag: fc.constant("name" as const), path, of: fc.nat() }),
  fc.record({ _tag: fc.constant("pipe" as const), path })
)

/** Makes what can be made. */
const make = (folder: string, things: ReadonlyArray<Thing>, seconds: number): void => {
  const files: Array<string> = []
  for (const each of things) {
    const at = join(folder, each.path)
    try {
      mkdirSync(dirname(at), { recursive: true })
      if (each._tag === "file") {
        writeFileSync(at, each.bytes, { mode: each.mode, flag: "wx" })
        files.push(at)
      } else if (each._tag === "folder") mkdirSync(at, { mode: each.mode })
      else if (each._tag === "link") symlinkSync(each.target, at)
      else if (each._tag === "pipe") execFileSync("mkfifo", ["--", at], { stdio: "ignore" })
      else if (files.length > 0) linkSync(files[each.of % files.length] ?? "", at)
      if (each._tag === "file" || each._tag === "folder") utimesSync(at, seconds, seconds)
    } catch {
      // What is in the way stays.
    }
  }
}

/** One that is taken and one that is not, whatever else is tried. */
const sure: Array<[Array<Member>, [number, number] | null, number | null, boolean]> = [
  [[{ path: "a", bytes: new Uint8Array([1]) }], null, null, false],
  [[{ path: "../a", bytes: new Uint8Array([1]) }], null, null, true]
]
const goodPath = fc.constantFrom("a", "b/c/d", "b", ".", "a//b/./c", "n".repeat(99))
const hostilePath = fc.oneof(
  { weight: 8, arbitrary: goodPath },
  { weight: 2, arbitrary: fc.constantFrom("l", "l/a", "l/l/a", "l/..", "../outside/evil", "/tmp", "") }
)
const text = (...texts: ReadonlyArray<string>) => fc.constantFrom(...texts).map((each) => Buffer.from(each))
const content = fc.uint8Array({ maxLength: 1100 })
const hostileMember: fc.Arbitrary<Member> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ path: hostilePath, bytes: content, mode: fc.constantFrom(0o644, 0o4777) }) },
  { weight: 2, arbitrary: fc.record({ path: hostilePath, type: fc.constantFrom("5", "6") }) },
  {
    weight: 2,
    arbitrary: fc.record({
      path: fc.constantFrom("l", "l/l", "b"),
      type: fc.constantFrom("1", "2"),
      target: fc.oneof(goodPath, fc.constantFrom("OUTSIDE", "OUTSIDE/kept", "..", "../../outside/kept"))
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      path: fc.constant("x"),
      type: fc.constantFrom("x", "g"),
      bytes: text(
        "20 path=../outside/e\n",
        "12 path=l/a\n",
        "12 size=999\n",
        "21 linkpath=../../xyz\n",
        "18 mtime=-1.5000\n"
      )
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      path: fc.constant("x"),
      type: fc.constantFrom("L", "K"),
      bytes: text("l/a", "../x", "p/".repeat(2100))
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      path: hostilePath,
      type: fc.constantFrom("0", "1", "3", "5", "S", "x"),
      bytes: content,
      sizeBytes: fc.constantFrom(0, 1, 511, 513, 2 ** 33 - 1)
    })
  }
)

/** A file whose path has its `/` at the end of what a header has room for: 100 bytes, with and without `./` before it. */
const cutAtSlash: Array<[Array<Thing>, number]> = [97, 99].map((length) => [
  [{ _tag: "file", path: `${"n".repeat(length)}/${"n".repeat(90)}`, bytes: new Uint8Array([1]), mode: 0o600 }],
  -1.5
])

/** The names in the headers of an archive's files, each cut to the 100 bytes that a header has. */
const namesOfFiles = (archive: Buffer): ReadonlyArray<string> =>
  Array.from({ length: archive.length / 512 }, (_, at) => archive.subarray(at * 512, (at + 1) * 512))
    .filter((block) => block.toString("latin1", 257, 263) === "ustar\0" && block[156] === 0x30)
    .map((block) => block.toString("latin1", 0, 100).replace(/\0+$/, ""))

const tar = spawnSync("tar", ["--version"]).status === 0

describe.skipIf(why !== undefined)(`archives of directories${why === undefined ? "" : ` (skipped: ${why})`}`, () => {
  it("a-directory-comes-back-as-it-was-and-other-programs-read-and-write-the-same", () => {
    fc.assert(
      fc.property(fc.array(thing, { maxLength: 12 }), timeSeconds, (things, seconds) =>
        within((folder) => {
          mkdirSync(join(folder, "given"))
          make(join(folder, "given"), things, seconds)
          const expected = told(join(folder, "given"))
          const packed = ask(["pack", join(folder, "given")])
          assert.deepStrictEqual([packed.status, packed.said], [0, ""])
          assert.isUndefined(namesOfFiles(packed.stdout).find((name) => name.endsWith("/")))
          assert.deepStrictEqual(ask(["unpack", join(folder, "back"), "new"], packed.stdout).said, "")
          assert.deepStrictEqual(told(join(folder, "back")), expected)
          // A second time into what is there: nothing changes.
          assert.deepStrictEqual(ask(["unpack", join(folder, "back"), "merged"], packed.stdout).said, "")
          assert.deepStrictEqual(told(join(folder, "back")), expected)
          assert.match(ask(["unpack", join(folder, "given"), "new"], packed.stdout).said, /^39 |^$/)
          if (!tar) return
          mkdirSync(join(folder, "theirs"))
          execFileSync("tar", ["xpf", "-", "-C", join(folder, "theirs")], {
            input: packed.stdout,
            stdio: ["pipe", "pipe", "ignore"]
          })
          assert.deepStrictEqual(told(join(folder, "theirs")), expected)
          for (const format of ["gnu", "posix"]) {
            const written = execFileSync("tar", [`--format=${format}`, "-cf", "-", "-C", join(folder, "given"), "."])
            assert.strictEqual(ask(["unpack", join(folder, format), "new"], written).said, "")
            // The older format has whole seconds only.
            const shown = told(join(folder, format))
            const withoutTimes = (lines: ReadonlyArray<string>) =>
              lines.map((line) => line.replace(/(:\d+) [-.\d]+ /, "$1 "))
            if (format === "posix") assert.deepStrictEqual(shown, expected)
            else assert.deepStrictEqual(withoutTimes(shown), withoutTimes(expected))
          }
        })
      ),
      { numRuns: Math.min(runs, 400) + cutAtSlash.length, examples: cutAtSlash }
    )
  })

  it("an-archive-of-anybody-makes-nothing-outside-its-directory-and-nothing-half", () => {
    let taken = 0
    let refused = 0
    fc.assert(
      fc.property(
        fc.array(hostileMember, { minLength: 1, maxLength: 8 }),
        fc.option(fc.tuple(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(255)), { freq: 3 }),
        fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 5 }),
        fc.boolean(),
        (members, flip, cut, merged) =>
          within((folder) => {
            // `outside` is whom links lead to, in the archive and in a directory that is there already.
            mkdirSync(join(folder, "outside"))
            writeFileSync(join(folder, "outside/kept"), "kept")
            mkdirSync(join(folder, "in"))
            if (merged) {
              mkdirSync(join(folder, "in/x"))
              symlinkSync(join(folder, "outside"), join(folder, "in/x/l"))
            }
            const before = told(join(folder, "outside"))
            let bytes: Uint8Array = archiveOf(members, folder)
            if (flip !== null) bytes[Math.floor(flip[0] * bytes.length)] = flip[1]
            if (cut !== null) bytes = bytes.subarray(0, Math.floor(cut * bytes.length))
            const { said, status } = ask(["unpack", join(folder, "in/x"), merged ? "merged" : "new"], bytes)
            assert.deepStrictEqual(told(join(folder, "outside")), before)
            assert.deepStrictEqual(readdirSync(folder).sort(), ["in", "outside"])
            if (status === 0) {
              taken += 1
              assert.deepStrictEqual(readdirSync(join(folder, "in")), ["x"])
            } else {
              refused += 1
              assert.match(said, /^\d{1,5} /)
              assert.deepStrictEqual(readdirSync(join(folder, "in")), merged ? ["x"] : [])
            }
          })
      ),
      { numRuns: runs * 4, examples: sure }
    )
    assert.isAbove(taken, 0)
    assert.isAbove(refused, 0)
  })

  it("what-is-wrong-with-an-archive-is-said-with-the-entry", () => {
    const file = { path: "a", bytes: new Uint8Array([1]) }
    const cases: ReadonlyArray<readonly [ReadonlyArray<Member>, RegExp]> = [
      [[{ ...file, path: "/abs" }], /^0 \/abs: .*an absolute one/],
      [[{ ...file, path: "x/../../y" }], /^0 x\/\.\.\/\.\.\/y: .*\.\./],
      [
        [
          { path: "l", type: "2", target: "/tmp" },
          { ...file, path: "l/in" }
        ],
        /^0 l\/in: .*found a link/
      ],
      [[{ path: "h", type: "1", target: "../x" }], /^0 h: .*\.\./],
      [[{ path: "h", type: "1", target: "none" }], /^0 h: .*found none/],
      [[{ path: "s", type: "S" }], /^0 .*another type/],
      [[{ ...file, sizeBytes: 1 << 30 }], /^0 a: .*the end of the archive/],
      [[{ path: "d", type: "5", sizeBytes: 512, bytes: new Uint8Array(512) }], /^0 d: .*found some/],
      [[{ path: "x", type: "x", bytes: Buffer.from("99 path=b\n") }, file], /^0 x: .*records/],
      [[{ path: "x", type: "x", bytes: Buffer.from("21 GNU.sparse.major=1\n") }, file], /^0 x: /],
      [[{ path: "x", type: "x", sizeBytes: 1 << 20 }], /^0 x: .*more/],
      [
        [
          { path: "d", type: "5" },
          { ...file, path: "d" }
        ],
        /^21 /
      ]
    ]
    for (const [members, expected] of cases) {
      within((folder) => {
        const { said, status } = ask(["unpack", join(folder, "x"), "new"], archiveOf(members, folder))
        assert.strictEqual(status, 1)
        assert.match(said, expected)
        assert.deepStrictEqual(readdirSync(folder), [])
      })
    }
    within((folder) => assert.match(ask(["unpack", join(folder, "x"), "new"]).said, /^0 .*the end of the archive/))
  })

  it("an-unpacking-that-is-killed-leaves-nothing", async ({ signal }) => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-archives-"))
    try {
      const whole = archiveOf([{ path: "a", bytes: new Uint8Array(100_000) }], folder)
      const unpacking = spawn(program, ["unpack", join(folder, "x"), "new"], { detached: true, signal })
      unpacking.stdin.on("error", () => {})
      unpacking.stdin.write(whole.subarray(0, 50_000))
      while (readdirSync(folder).length === 0) await setTimeout(1, undefined, { signal })
      process.kill(-(unpacking.pid ?? 0), "SIGKILL")
      await once(unpacking, "exit", { signal })
      while (readdirSync(folder).length > 0) await setTimeout(1, undefined, { signal })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it("a-watch-tells-what-happens-and-ends-with-what-it-watches", async ({ signal }) => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-watch-"))
    try {
      const at = (path: string) => join(folder, "w", path)
      mkdirSync(at("old"), { recursive: true })
      const watching = spawn(program, ["watch", join(folder, "w"), "all"], { signal })
      const exited = once(watching, "exit", { signal })
      let said = ""
      watching.stdout.on("data", (part: Buffer) => (said += part.toString()))
      const heard = async (kind: string, path: string) => {
        const pattern = new RegExp(`${kind} [d-] \\d+ ${path}\0`)
        while (!pattern.test(said)) await once(watching.stdout, "data", { signal })
      }
      await heard("b", "")
      writeFileSync(at("old/f"), "x")
      await heard("w", "old/f")
      mkdirSync(at("new/deep/deeper"), { recursive: true })
      writeFileSync(at("new/deep/deeper/g"), "x")
      await heard("c", "new/deep/deeper/g")
      renameSync(at("new"), at("moved"))
      await heard("t", "moved")
      writeFileSync(at("moved/deep/h"), "x")
      await heard("w", "moved/deep/h")
      const ends = [/f d (\d+) new\0/, /t d (\d+) moved\0/].map((pattern) => pattern.exec(said)?.[1])
      assert.strictEqual(ends[0], ends[1])
      renameSync(at("moved"), join(folder, "gone"))
      await heard("f", "moved")
      writeFileSync(join(folder, "gone/deep/unseen"), "x")
      rmSync(join(folder, "w"), { recursive: true })
      await heard("r", "")
      assert.deepStrictEqual(await exited, [0, null])
      assert.notInclude(said, "unseen")
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
