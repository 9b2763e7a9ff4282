import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync
} from "node:fs"
import { lstatSync, unlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { type GuestFileFailure, type Machine } from "@stillpoint/core"
import { Deferred, Effect, Exit, Fiber, Scope, Stream } from "effect"
import * as fc from "fast-check"
import { execFileSync } from "node:child_process"
import { filter as rxFilter, firstValueFrom, map as rxMap } from "rxjs"
import { archiveOf } from "../../agent/test/testing/hostileArchive.ts"
import { layer, linuxAt } from "../guests.ts"

const name = fc.constantFrom("a", "b", "c")
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"))

type Operation =
  | { readonly _tag: "write"; readonly path: string; readonly bytes: Uint8Array }
  | { readonly _tag: "mkdir"; readonly path: string; readonly parents: boolean }
  | { readonly _tag: "remove"; readonly path: string; readonly recursive: boolean }
  | { readonly _tag: "rename"; readonly path: string; readonly to: string }
  | { readonly _tag: "chmod"; readonly path: string; readonly mode: number }
  | { readonly _tag: "read"; readonly path: string }

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ _tag: fc.constant("write" as const), path, bytes: fc.uint8Array({ maxLength: 200 }) }),
  fc.record({ _tag: fc.constant("mkdir" as const), path, parents: fc.boolean() }),
  fc.record({ _tag: fc.constant("remove" as const), path, recursive: fc.boolean() }),
  fc.record({ _tag: fc.constant("rename" as const), path, to: path }),
  fc.record({ _tag: fc.constant("chmod" as const), path, mode: fc.constantFrom(0o600, 0o755, 0o4711) }),
  fc.record({ _tag: fc.constant("read" as const), path })
)

/** The result of an operation, or its error number. */
type Outcome = string | number

const inModel = (root: string, operation: Operation): Outcome => {
  const at = join(root, operation.path)
  try {
    switch (operation._tag) {
      case "write":
        writeFileSync(at, operation.bytes, { mode: 0o644 })
        return "done"
      case "mkdir":
        mkdirSync(at, { recursive: operation.parents, mode: 0o755 })
        return "done"
      case "remove":
        if (operation.recursive) rmSync(at, { recursive: true })
        else if (lstatSync(at).isDirectory()) rmdirSync(at)
        else unlinkSync(at)
        return "done"
      case "rename":
        renameSync(at, join(root, operation.to))
        return "done"
      case "chmod":
        chmodSync(at, operation.mode)
        return "done"
      case "read":
        return readFileSync(at).toString("hex")
    }
  } catch (error) {
    return -((error as NodeJS.ErrnoException).errno ?? 0)
  }
}

const errnoOf = (failure: GuestFileFailure): number =>
  failure._tag === "GuestFileError" && "errno" in failure.reason ? failure.reason.errno : -1

const inGuest = (machine: Machine, root: string, operation: Operation): Effect.Effect<Outcome> => {
  const { files } = machine
  const at = `${root}/${operation.path}`
  const run = (): Effect.Effect<Outcome, GuestFileFailure> => {
    switch (operation._tag) {
      case "write":
        return Effect.as(files.write(at, operation.bytes), "done")
      case "mkdir":
        return Effect.as(files.mkdir(at, { parents: operation.parents }), "done")
      case "remove":
        return Effect.as(files.remove(at, { recursive: operation.recursive }), "done")
      case "rename":
        return Effect.as(files.rename(at, `${root}/${operation.to}`), "done")
      case "chmod":
        return Effect.as(files.chmod(at, operation.mode), "done")
      case "read":
        return Effect.map(files.read(at), (bytes) => Buffer.from(bytes).toString("hex"))
    }
  }
  return run().pipe(Effect.catch((failure) => Effect.succeed(errnoOf(failure))))
}

const treeOfModel = (root: string): ReadonlyArray<string> =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const at = join(entry.parentPath, entry.name)
      const { mode, size } = statSync(at)
      return `${at.slice(root.length)} ${(mode & 0o7777).toString(8)} ${entry.isDirectory() ? "directory" : size}`
    })
    .sort()

const treeOfGuest = (
  machine: Machine,
  root: string,
  below = ""
): Effect.Effect<ReadonlyArray<string>, GuestFileFailure> =>
  Effect.gen(function* () {
    const all: Array<string> = []
    for (const entry of yield* machine.files.list(root + below)) {
      const at = `${below}/${entry.name}`
      all.push(`${at} ${entry.mode.toString(8)} ${entry.kind === "directory" ? "directory" : entry.sizeBytes}`)
      if (entry.kind === "directory") all.push(...(yield* treeOfGuest(machine, root, at)))
    }
    return all.sort()
  })

const sh = (machine: Machine, script: string) =>
  Effect.map(machine.exec({ argv: ["sh", "-c", script] }), ({ stdout }) => Buffer.from(stdout).toString().trim())

/** Content that continues forever after its first part; signals when that part was taken. */
const endless = (part: Uint8Array, isTaken: Deferred.Deferred<void>) =>
  Stream.concat(
    Stream.succeed(part),
    Stream.fromEffect(Effect.andThen(Deferred.succeed(isTaken, undefined), Effect.never))
  )

const reasonOf = <A>(effect: Effect.Effect<A, GuestFileFailure>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason._tag)

describe("the files of a guest", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("do-what-files-of-the-host-do", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        let round = 0
        const seen = { done: 0, failed: 0 }
        yield* Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 30 }), async (operations) => {
              const model = mkdtempSync(join(tmpdir(), "stillpoint-files-"))
              const root = `/tmp/m${round++}`
              try {
                await Effect.runPromise(machine.files.mkdir(root))
                for (const each of operations) {
                  const expected = inModel(model, each)
                  seen[typeof expected === "number" ? "failed" : "done"] += 1
                  assert.strictEqual(
                    await Effect.runPromise(inGuest(machine, root, each)),
                    expected,
                    JSON.stringify(each)
                  )
                }
                assert.deepStrictEqual(await Effect.runPromise(treeOfGuest(machine, root)), treeOfModel(model))
              } finally {
                rmSync(model, { recursive: true, force: true })
              }
            }),
            { numRuns: Number(process.env["STILLPOINT_GUEST_RUNS"] ?? 5) }
          )
        )
        assert.isAbove(seen.done, 0)
        assert.isAbove(seen.failed, 0)
      })
    )

    it.effect("are-files-and-lie-in-the-root", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const { files } = machine
        yield* sh(
          machine,
          "mkdir -p /w/d; cd /w; mkfifo pipe; ln -s loop2 loop1; ln -s loop1 loop2; echo real > real; chmod 640 real; " +
            "ln -s real link; ln -s /w/new dangling; ln -s ../../../../../etc/passwd away; chown 5:6 real"
        )
        assert.strictEqual(yield* reasonOf(files.read("/w/pipe")), "NotAFile")
        assert.strictEqual(yield* reasonOf(files.read("/dev/null")), "NotAFile")
        assert.strictEqual(yield* reasonOf(files.write("/w/pipe", "x")), "NotAFile")
        assert.strictEqual(yield* reasonOf(files.write("/dev/zero", "x")), "NotAFile")
        assert.strictEqual(yield* reasonOf(files.read("/w/loop1")), "LinkLoop")
        assert.strictEqual(yield* reasonOf(files.write("/w/loop1", "x")), "LinkLoop")
        assert.strictEqual(yield* reasonOf(files.read("/w")), "IsADirectory")
        assert.strictEqual(yield* reasonOf(files.read("/w/none")), "NotFound")
        assert.strictEqual(yield* reasonOf(files.list("/w/real")), "NotADirectory")
        assert.strictEqual(yield* reasonOf(files.remove("/")), "PathInvalid")
        assert.strictEqual(yield* reasonOf(files.remove("/w/..")), "PathInvalid")
        // A slash at the end names a directory.
        for (const path of ["/w/real/", "/w/other/"])
          assert.strictEqual(yield* reasonOf(files.rename("/w/real", path)), "NotADirectory")
        assert.strictEqual(yield* reasonOf(files.rename("/w/real/", "/w/other")), "NotADirectory")
        assert.strictEqual(yield* reasonOf(files.remove("/w/real/")), "NotADirectory")
        assert.strictEqual(yield* reasonOf(files.remove("/w/link/", { recursive: true })), "NotADirectory")
        assert.strictEqual(yield* reasonOf(files.write("/w/real/", "x")), "NotADirectory")
        assert.strictEqual(yield* reasonOf(files.write("/w/other/", "x")), "IsADirectory")
        assert.strictEqual(yield* reasonOf(files.chmod("/w/link/", 0o600)), "NotADirectory")
        yield* files.rename("/w/d/", "/w/e/")
        yield* files.rename("/w/e", "/w/d/")
        assert.strictEqual(yield* reasonOf(files.write("/proc/version", "x")), "Unsupported")
        assert.strictEqual(yield* reasonOf(files.read("")), "InvalidCommand")
        assert.strictEqual((yield* files.stat("/w/pipe")).kind, "pipe")
        assert.strictEqual((yield* files.stat("/w/link", { follow: false })).kind, "link")
        // Whatever a path or a link says, it does not lead out of the root.
        const passwd = yield* files.read("/etc/passwd")
        assert.deepStrictEqual(yield* files.read("../../../../etc/passwd"), passwd)
        assert.deepStrictEqual(yield* files.read("/w/away"), passwd)
        // A link is followed, and a file keeps whose it is and who may read it.
        yield* files.write("/w/link", "changed")
        yield* files.write("/w/dangling", "made", { mode: 0o600 })
        assert.strictEqual(
          yield* sh(machine, "cd /w; cat real new; readlink link; readlink dangling"),
          "changedmadereal\n/w/new"
        )
        const { gid, mode, uid } = yield* files.stat("/w/real")
        assert.deepStrictEqual([mode, uid, gid], [0o640, 5, 6])
        assert.strictEqual((yield* files.stat("/w/new")).mode, 0o600)
      })
    )

    it.effect("go-out-and-come-in-as-whole-directories-and-are-watched", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const { files } = machine
        const tree =
          "find . | sort | while read f; do stat -c '%n %a %u:%g %F %h' \"$f\"; done; cat d/large | md5sum; readlink link"
        yield* sh(
          machine,
          "mkdir -p /w/d/empty; cd /w; head -c 30000 /dev/urandom > d/large; ln d/large again; ln -s ../../etc link; mkfifo pipe; " +
            "chown 7:8 d; chmod 2751 d; chmod 4711 again"
        )
        const before = yield* sh(machine, `cd /w; ${tree}`)
        // From one place to another, without ever being whole in the host's memory.
        yield* files.unpack("/copy", files.pack("/w"))
        assert.strictEqual(yield* sh(machine, `cd /copy; ${tree}`), before)
        assert.strictEqual(yield* reasonOf(files.unpack("/w", files.pack("/copy"))), "NotEmpty")
        yield* sh(machine, "rm /copy/again; echo other > /copy/d/more")
        yield* files.unpack("/copy", files.pack("/w"), { merge: true })
        assert.strictEqual(yield* sh(machine, `rm /copy/d/more; cd /copy; ${tree}`), before)
        // The host's own program reads it.
        const parts = yield* Stream.runCollect(files.pack("/w/d"))
        const listed = execFileSync("tar", ["tf", "-"], { input: Buffer.concat([...parts]), encoding: "utf8" })
        assert.deepStrictEqual(listed.trim().split("\n").sort(), ["./", "empty/", "large"])

        const evil = archiveOf([{ path: "../../evil", bytes: new Uint8Array([1]) }], "/")
        const refused = yield* Effect.flip(files.unpack("/evil", evil))
        assert.include(refused.message, "../../evil: expected a path below the directory")
        assert.strictEqual(refused.reason._tag, "ArchiveInvalid")
        const device = archiveOf([{ path: "null", type: "3" }], "/")
        assert.strictEqual(yield* reasonOf(files.unpack("/evil", device)), "Denied")
        assert.strictEqual(yield* reasonOf(files.unpack("/none/evil", evil)), "NotFound")
        assert.strictEqual(yield* reasonOf(Stream.runDrain(files.pack("/w/pipe"))), "NotADirectory")
        // Given up in the middle, it leaves nothing.
        const isBegun = yield* Deferred.make<void>()
        const half = archiveOf([{ path: "a", bytes: new Uint8Array(60_000) }], "/").subarray(0, 20_000)
        const given = yield* Effect.forkChild(files.unpack("/half", endless(half, isBegun)), { startImmediately: true })
        yield* Deferred.await(isBegun)
        yield* Fiber.interrupt(given)
        assert.strictEqual(yield* sh(machine, "sleep 0.1; ls -A / | grep -cE 'half|evil|stillpoint-'"), "0")

        const seen: Array<string> = []
        yield* files.write("/w/file", "x")
        assert.strictEqual(yield* reasonOf(files.unpack("/w/file", evil)), "Exists")

        const isWatching = yield* Deferred.make<void>()
        const watching = yield* files.watch("/w", { recursive: true }).pipe(
          Stream.runForEach(({ kind, path }) => {
            seen.push(`${kind} ${path}`)
            return kind === "watching" ? Deferred.succeed(isWatching, undefined) : Effect.void
          }),
          Effect.forkChild({ startImmediately: true })
        )
        const shared = firstValueFrom(
          files.watch$("/w").pipe(
            rxFilter(({ kind }) => kind === "removed"),
            rxMap(({ path }) => path)
          )
        )
        yield* Deferred.await(isWatching)
        yield* files.write("/w/d/new", "x")
        yield* sh(machine, "mv /w/d/new /w/moved; sleep 0.05; rm -r /w")
        yield* Fiber.join(watching)
        for (const change of ["movedTo d/new", "movedFrom d/new", "movedTo moved", "removed d", "removed "])
          assert.include(seen, change)
        assert.include(["pipe", "again", "link", "file", "moved", "d", ""], yield* Effect.promise(() => shared))
        assert.strictEqual(yield* reasonOf(Stream.runDrain(files.watch("/none"))), "NotFound")
      })
    )

    it.effect("come-and-go-as-streams-whole-or-not-at-all-and-nothing-is-left-open", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        const { files } = machine
        const open = sh(machine, "ls /proc/1/fd | wc -l")
        const before = yield* open
        const part = new Uint8Array(100_000).map((_, at) => (at * 7) & 0xff)
        yield* files.write("/tmp/large", Stream.fromIterable(Array.from({ length: 12 }, () => part)))
        let sizeBytes = 0
        yield* Stream.runForEach(files.stream("/tmp/large", { offset: 100_000 }), (piece) =>
          Effect.sync(() => {
            for (const [at, byte] of piece.entries()) {
              if (byte !== part[(sizeBytes + at) % part.length]) assert.fail(`byte ${sizeBytes + at} is another`)
            }
            sizeBytes += piece.length
          })
        )
        assert.strictEqual(sizeBytes, 1_100_000)
        assert.strictEqual(yield* reasonOf(files.read("/tmp/large", { limitBytes: 1000 })), "TooLarge")
        assert.strictEqual((yield* Stream.runCollect(Stream.take(files.stream("/tmp/large"), 1))).length, 1)

        // A file system with no room, content that fails, a write that is given up: what was there stays.
        assert.strictEqual(yield* reasonOf(files.write("/dev/full-up", new Uint8Array(300_000))), "DiskFull")
        yield* files.write("/tmp/kept", "kept")
        const failing = Stream.concat(Stream.succeed(part), Stream.fail(yield* Effect.flip(files.read("/none"))))
        assert.strictEqual(yield* reasonOf(files.write("/tmp/kept", failing)), "NotFound")
        const isBegun = yield* Deferred.make<void>()
        const given = yield* Effect.forkChild(files.write("/tmp/kept", endless(part, isBegun)), {
          startImmediately: true
        })
        yield* Deferred.await(isBegun)
        yield* Fiber.interrupt(given)
        assert.strictEqual(yield* sh(machine, "cat /tmp/kept; ls -A /tmp /dev | grep -c stillpoint"), "kept0")
        assert.strictEqual(yield* open, before)

        const longer = yield* Scope.make()
        const other = yield* Scope.provide(linuxAt("AgentReady", null), longer)
        yield* sh(other, "head -c 4000000 /dev/zero > /tmp/large")
        const [isWriting, isReading, isClosed] = [
          yield* Deferred.make<void>(),
          yield* Deferred.make<void>(),
          yield* Deferred.make<void>()
        ]
        const writing = yield* Effect.forkChild(Effect.flip(other.files.write("/tmp/x", endless(part, isWriting))), {
          startImmediately: true
        })
        const reading = yield* Effect.forkChild(
          other.files.stream("/tmp/large").pipe(
            Stream.runForEach(() => Effect.andThen(Deferred.succeed(isReading, undefined), Deferred.await(isClosed))),
            Effect.flip
          ),
          { startImmediately: true }
        )
        yield* Effect.all([Deferred.await(isWriting), Deferred.await(isReading)])
        yield* Scope.close(longer, Exit.void)
        yield* Deferred.succeed(isClosed, undefined)
        assert.strictEqual((yield* Fiber.join(reading)).reason._tag, "Closed")
        // Content that never comes is not waited for by the machine, but by its stream.
        yield* Fiber.interrupt(writing)
        assert.strictEqual(yield* reasonOf(other.files.read("/init")), "Closed")
      })
    )
  })
})
