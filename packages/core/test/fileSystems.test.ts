import { spawnSync } from "node:child_process"
import { chmod, lstat, mkdir, mkdtemp, open, readlink, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { DurableFiles } from "../src/files/DurableFiles.ts"
import { FileFault } from "../src/files/FileErrors.ts"
import { makeOwnedDirectory } from "../src/files/OwnedDirectory.ts"
import { MemoryFiles } from "../src/testing/MemoryFiles.ts"
import { publishSample } from "../src/testing/sampleSnapshots.ts"
import { SnapshotStore } from "../src/snapshot/SnapshotStore.ts"
import { bundled } from "../../../scripts/testing/bundled.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-mounts-"))),
  (path) =>
    Effect.promise(async () => {
      // The work directory of an overlay is closed to its owner too.
      await chmod(join(path, "over/work/work"), 0o700).catch(() => {})
      await rm(path, { recursive: true, force: true })
    })
)

const store = Layer.provideMerge(SnapshotStore.layer, DurableFiles.layer)

const program = await bundled(fileURLToPath(new URL("../src/testing/publisherProcess.ts", import.meta.url)))

/** Where an overlay keeps its marks on directories: a user's own, as a container without root has it, cannot have the system's. */
const marks = process.getuid?.() === 0 ? "" : "userxattr,"

/** Publishes to `shared` in a folder, with mounts of one's own made by a shell first. */
const publishWithMounts = (mounts: string, where: string) =>
  spawnSync(
    "unshare",
    [
      // As the superuser where one can.
      ...(process.getuid?.() === 0 ? [] : ["--map-root-user"]),
      "--mount",
      "sh",
      "-c",
      `${mounts} || exit 77; exec "$1" --no-warnings "$2" publish "$0/top" p 3`,
      where,
      process.execPath,
      program
    ],
    { encoding: "utf8" }
  )

describe("a target", () => {
  for (const [what, mounts] of [
    [
      "in-the-lower-layer-of-an-overlay",
      `mkdir "$0/over/up" "$0/over/work" && mount -t overlay -o "${marks}lowerdir=$0/low,upperdir=$0/over/up,workdir=$0/over/work" none "$0/top"`
    ],
    ["that-is-a-mount-point", 'mkdir -p "$0/top/shared" && mount -t tmpfs none "$0/top/shared"'],
    [
      "with-a-snapshot-that-is-a-mount-point",
      'mkdir -p "$0/top/shared" && mount --bind "$0/low/shared" "$0/top/shared"'
    ]
  ] as const) {
    it.live(`${what}-is-replaced`, (context) =>
      Effect.gen(function* () {
        const where = yield* folder
        yield* Effect.promise(async () => {
          for (const name of ["low", "over", "top"]) await mkdir(join(where, name))
        })
        yield* publishSample(join(where, "low", "shared"), "old")
        const { status, stderr, stdout } = publishWithMounts(mounts, where)
        if (status === 77 || status === 1) return context.skip(`no such mount here: ${stderr}`)
        assert.strictEqual(status, 0, stderr)
        const seen = JSON.parse(stdout) as { published: number; failures: ReadonlyArray<string> }
        assert.deepStrictEqual([seen.published, seen.failures], [6, []])
      }).pipe(Effect.scoped, Effect.provide(store))
    )
  }

  it.live("that-is-a-link-stands-for-what-it-leads-to", () =>
    Effect.gen(function* () {
      const where = yield* folder
      const snapshots = yield* SnapshotStore
      const current = join(where, "current")
      yield* Effect.promise(() => symlink("v1", current))
      // To nothing at first: what it leads to is published.
      assert.strictEqual((yield* publishSample(current, "one")).directory, join(where, "v1"))
      const refused = yield* Effect.flip(publishSample(current, "two"))
      assert.strictEqual(refused._tag === "SnapshotPublishError" && refused.reason._tag, "TargetExists")
      yield* publishSample(current, "two", { replace: true })
      assert.strictEqual(yield* Effect.promise(() => readlink(current)), "v1")
      for (const path of [current, join(where, "v1")]) {
        assert.strictEqual((yield* snapshots.open(path)).manifest.runId, "two")
      }
      yield* snapshots.remove(current)
      assert.isTrue((yield* Effect.promise(() => lstat(current))).isSymbolicLink())
    }).pipe(Effect.scoped, Effect.provide(store))
  )

  it.live("in-a-linked-folder-is-found-by-every-path-by-its-deltas", () =>
    Effect.gen(function* () {
      const where = yield* folder
      const snapshots = yield* SnapshotStore
      yield* Effect.promise(async () => {
        await mkdir(join(where, "disk", "deep"), { recursive: true })
        await symlink(join("disk", "deep"), join(where, "linked"))
      })
      const full = yield* publishSample(join(where, "full"), "full")
      const delta = yield* publishSample(join(where, "linked", "delta"), "delta", { parent: full })
      yield* publishSample(join(where, "linked", "next"), "next", { parent: delta })
      for (const path of [join(where, "linked", "next"), join(where, "disk", "deep", "next")]) {
        const opened = yield* snapshots.open(path)
        assert.deepStrictEqual(opened.parents, [join(where, "disk", "deep", "delta"), join(where, "full")])
      }
    }).pipe(Effect.scoped, Effect.provide(store))
  )

  it.live("whose-folders-are-missing-gets-them-flushed-one-by-one", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const flushed: Array<string> = []
      const watched = Layer.succeed(DurableFiles, {
        ...files.shape,
        flushDirectory: (path: string) =>
          Effect.tap(files.shape.flushDirectory(path), () => Effect.sync(() => flushed.push(path)))
      })
      yield* publishSample("/a/b/target", "one").pipe(Effect.provide(Layer.provideMerge(SnapshotStore.layer, watched)))
      assert.includeMembers(flushed, ["/", "/a", "/a/b"])
    })
  )
})

describe("a target that somebody removes", () => {
  for (const [when, first] of [
    ["before-a-publisher-has-a-place-in-it", true],
    ["before-a-publisher-holds-it", false]
  ] as const) {
    it.live(`${when}-is-published-to-all-the-same`, () =>
      Effect.gen(function* () {
        const files = new MemoryFiles()
        const target = "/s/target"
        let isThere = true
        /** Removes the target the first time that something is to be made in it. */
        const removed = (path: string) =>
          Effect.suspend(() => {
            if (!isThere || !path.startsWith(`${target}/`)) return Effect.void
            isThere = false
            return files.shape.removeTree(target)
          })
        const meddled = {
          ...files.shape,
          makeDirectory: (path: string) => Effect.andThen(removed(path), files.shape.makeDirectory(path)),
          hold: (path: string, options: { readonly create: boolean }) =>
            Effect.andThen(removed(path), files.shape.hold(path, options))
        }
        const published = (label: string, layer: Layer.Layer<DurableFiles>) =>
          publishSample(target, label, { replace: true }).pipe(
            Effect.provide(Layer.provideMerge(SnapshotStore.layer, layer), { local: true })
          )
        if (first) yield* published("old", files.layer)
        yield* published(
          "new",
          Layer.succeed(DurableFiles, {
            ...meddled,
            // Another publisher is faster than the one that found nothing there.
            flush: (path: string) =>
              path.endsWith("/manifest.json") && isThere && !files.paths().includes(target)
                ? Effect.andThen(Effect.orDie(published("old", files.layer)), files.shape.flush(path))
                : files.shape.flush(path)
          })
        )
        assert.isFalse(isThere)
        const opened = yield* SnapshotStore.use((snapshots) => snapshots.open(target)).pipe(
          Effect.provide(Layer.provideMerge(SnapshotStore.layer, files.layer), { local: true })
        )
        assert.strictEqual(opened.manifest.runId, "new")
        assert.deepStrictEqual(yield* files.shape.list("/s"), ["target"])
      })
    )
  }

  it.live("is-none-any-more-where-it-is-a-mount-point-that-stays", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      yield* publishSample("/s/target", "one").pipe(
        Effect.provide(Layer.provideMerge(SnapshotStore.layer, files.layer), { local: true })
      )
      const mounted = Layer.succeed(DurableFiles, {
        ...files.shape,
        removeEmptyDirectory: (path: string) =>
          path === "/s/target" ? Effect.succeed(false) : files.shape.removeEmptyDirectory(path)
      })
      yield* SnapshotStore.use((snapshots) => snapshots.remove("/s/target")).pipe(
        Effect.provide(Layer.provideMerge(SnapshotStore.layer, mounted), { local: true })
      )
      assert.deepStrictEqual(yield* files.shape.list("/s/target"), [])
    })
  )
})

describe("a file system", () => {
  it.live("that-cannot-flush-directories-is-one-to-publish-on", (context) =>
    Effect.gen(function* () {
      const place = "/proc/self"
      const answer = yield* Effect.promise(async () => {
        const directory = await open(place, "r").catch(() => null)
        if (directory === null) return "no such directory"
        const code = await directory.sync().then(
          () => "it can",
          (cause: NodeJS.ErrnoException) => cause.code
        )
        await directory.close()
        return code
      })
      if (answer !== "EINVAL") return context.skip(`no file system here that answers EINVAL: ${answer}`)
      yield* (yield* DurableFiles).flushDirectory(place)
    }).pipe(Effect.provide(store))
  )

  it.live("on-which-one-leftover-cannot-be-removed-is-cleared-of-the-rest", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      yield* files.shape.makeDirectory("/s")
      const left = yield* Effect.forEach([0, 1, 2], () =>
        Effect.scoped(
          Effect.gen(function* () {
            const owned = yield* makeOwnedDirectory(files.shape, "/s", "staging")
            yield* files.shape.write(`${owned.path()}/memory`, new Uint8Array(9))
            yield* owned.give
            return owned.path()
          })
        )
      )
      const [stuck = "", ...others] = left
      const sticky = Layer.succeed(DurableFiles, {
        ...files.shape,
        removeTree: (path: string) =>
          path === `${stuck}/memory`
            ? Effect.fail(new FileFault({ operation: "removeTree", path, code: "EACCES" }))
            : files.shape.removeTree(path)
      })
      const report = yield* SnapshotStore.use((snapshots) => snapshots.sweep("/s")).pipe(
        Effect.provide(Layer.provideMerge(SnapshotStore.layer, sticky))
      )
      assert.deepStrictEqual(report.removed, others)
      assert.deepStrictEqual(
        report.failed.map(({ fault, path }) => [path, fault._tag === "FileFault" && fault.code]),
        [[stuck, "EACCES"]]
      )
      // Once it can be, it is: what it is is still known.
      const again = yield* SnapshotStore.use((snapshots) => snapshots.sweep("/s")).pipe(
        Effect.provide(Layer.provideMerge(SnapshotStore.layer, files.layer), { local: true })
      )
      assert.deepStrictEqual(again, { removed: [stuck], failed: [] })
    })
  )
})
