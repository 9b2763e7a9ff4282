import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { readlinkSync } from "node:fs"
import { chmod, chown, copyFile, lstat, mkdir, readdir, readFile, symlink, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { sampleRecord } from "../src/testing/journalLaws.ts"
import { appendedUntilKilled, countIn, directory, use } from "./journalFiles.ts"

const append = (path: string) => use(path, (journal) => journal.append("s", [sampleRecord(1)]))

const refusalOf = (path: string) => Effect.map(Effect.flip(countIn(path)), ({ reason }) => reason)

/**
 * The content of a folder: a digest of each file's content, except for the shared memory, which is rebuilt from the log.
 */
const contentsOf = async (where: string): Promise<Readonly<Record<string, string>>> => {
  const contents: Record<string, string> = {}
  for (const name of (await readdir(where)).toSorted()) {
    const found = await lstat(join(where, name))
    const isRead = found.isFile() && !name.endsWith("-shm")
    const content = isRead
      ? createHash("sha256")
          .update(await readFile(join(where, name)))
          .digest("hex")
      : ""
    contents[name] = `${found.mode} ${found.uid} ${content}`
  }
  return contents
}

/** Which files of a folder this process has open, where the system tells. */
const openIn = async (where: string): Promise<ReadonlyArray<string>> => {
  const open = await readdir("/proc/self/fd").catch(() => [])
  return open.flatMap((file) => {
    try {
      return [readlinkSync(`/proc/self/fd/${file}`)].filter((path) => path.startsWith(where))
    } catch {
      return []
    }
  })
}

/** Why a journal is refused, once it is known that nothing of it was changed and that nothing stays open. */
const refusedUntouched = (where: string, path: string) =>
  Effect.gen(function* () {
    const before = yield* Effect.promise(() => contentsOf(where))
    const reason = yield* refusalOf(path)
    assert.deepStrictEqual(yield* Effect.promise(() => contentsOf(where)), before)
    assert.deepStrictEqual(yield* Effect.promise(() => openIn(where)), [])
    return reason
  })

describe("an opening that is refused changes nothing and leaves nothing open", () => {
  it.live("where-the-file-of-a-killed-process-was-cut-and-put-back-it-is-whole", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const [path, kept] = [join(where, "journal"), join(where, "kept")]
      const acknowledged = yield* appendedUntilKilled(path)
      yield* Effect.promise(() => copyFile(path, kept))
      yield* Effect.promise(() => truncate(path, 4096))
      const reason = yield* refusedUntouched(where, path)
      // Whether its tables can be read without the file depends on how many pages the log has.
      assert.include(["Displaced", "Corrupt"], reason._tag)
      yield* Effect.promise(() => copyFile(kept, path))
      assert.isAtLeast(yield* countIn(path), acknowledged)
    }).pipe(Effect.scoped)
  )

  it.live("where-what-is-wrong-is-in-the-log-alone-and-seen-by-a-connection", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const path = join(where, "journal")
      yield* append(path)
      for (const damage of ["PRAGMA user_version = 99", "UPDATE guard SET head = 7", "DELETE FROM guard"]) {
        const each = yield* directory
        const copy = join(each, "journal")
        yield* Effect.promise(() => copyFile(path, join(each, "whole")))
        yield* Effect.sync(() => {
          const database = new DatabaseSync(join(each, "whole"))
          database.exec(`UPDATE guard SET state = 'open'; PRAGMA wal_checkpoint; ${damage}`)
          for (const name of ["", "-wal"]) spawnSync("cp", [join(each, `whole${name}`), `${copy}${name}`])
          database.close()
        })
        // It made the shared memory; that is no part of what was written.
        yield* Effect.promise(() => writeFile(`${copy}-shm`, "", { mode: 0o600 }))
        const reason = yield* refusedUntouched(each, copy)
        assert.include(["FormatUnknown", "Corrupt", "Displaced"], reason._tag, damage)
      }
    }).pipe(Effect.scoped)
  )

  it.live("where-it-is-a-database-of-something-else", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const path = join(where, "people")
      yield* Effect.sync(() => {
        const database = new DatabaseSync(path)
        database.exec("CREATE TABLE people (name TEXT)")
        database.close()
      })
      assert.include(yield* refusedUntouched(where, path), { _tag: "Corrupt", path })
    }).pipe(Effect.scoped)
  )
})

const kinds: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  "a pipe": async (path) => spawnSync("mkfifo", [path]),
  "a directory": (path) => mkdir(path),
  "a link": (path) => symlink("elsewhere", path)
}

describe("what stands at a path of a journal and is not of it", () => {
  it.live("is-refused-by-name-and-left-whether-or-not-there-is-a-journal", () =>
    Effect.gen(function* () {
      for (const isMade of [false, true]) {
        for (const beside of ["-journal", "-wal", "-shm"]) {
          for (const [found, make] of Object.entries(kinds)) {
            const where = yield* directory
            const path = join(where, "journal")
            if (isMade) yield* append(path)
            yield* Effect.promise(() => make(`${path}${beside}`))
            // In this process it would wait for ever.
            const reason = yield* refusedUntouched(where, path)
            assert.include(reason, { _tag: "Unfit", path: `${path}${beside}`, expected: "a file, or nothing", found })
          }
        }
      }
    }).pipe(Effect.scoped)
  )

  it.live("is-a-rollback-journal-beside-one-that-is-made-and-what-is-rolled-back-beside-one-that-is-not", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const path = join(where, "journal")
      yield* Effect.promise(() => writeFile(`${path}-journal`, "", { mode: 0o600 }))
      yield* append(path)
      yield* Effect.promise(() => writeFile(`${path}-journal`, "", { mode: 0o600 }))
      assert.include(yield* refusedUntouched(where, path), { _tag: "Unfit", path: `${path}-journal` })
    }).pipe(Effect.scoped)
  )
})

describe("what somebody else can change", () => {
  it.live("is-refused-by-name-where-group-or-others-may-write", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const path = join(where, "journal")
      const acknowledged = yield* appendedUntilKilled(path)
      for (const mode of [0o666, 0o660, 0o602]) {
        for (const name of ["journal", "journal-wal", "journal-shm", "journal-claims"]) {
          yield* Effect.promise(() => chmod(join(where, name), mode))
          const reason = yield* refusedUntouched(where, path)
          assert.include(reason, {
            _tag: "Unfit",
            path: join(where, name),
            expected: "what its owner alone may write",
            found: `mode 0${mode.toString(8)}`
          })
          yield* Effect.promise(() => chmod(join(where, name), name.endsWith("claims") ? 0o700 : 0o600))
        }
      }
      assert.isAtLeast(yield* countIn(path), acknowledged)
    }).pipe(Effect.scoped)
  )

  it.live("is-refused-by-name-where-it-is-another-users-in-a-folder-that-is-not", (context) =>
    Effect.gen(function* () {
      if (process.getuid?.() !== 0) return context.skip("only the superuser can make another user's files")
      const nobody = 65_534
      for (const name of ["journal", "journal-wal", "journal-shm", "journal-claims"]) {
        const where = yield* directory
        const [path, link] = [join(where, "journal"), join(where, "link")]
        const acknowledged = yield* appendedUntilKilled(path)
        yield* Effect.promise(() => symlink("journal", link))
        yield* Effect.promise(() => chown(join(where, name), nobody, nobody))
        for (const opened of [path, link]) {
          const reason = yield* refusedUntouched(where, opened)
          assert.include(reason, { _tag: "Unfit", path: join(where, name), expected: "what belongs to user 0" })
        }
        // The owner of the folder may create any file in it.
        yield* Effect.promise(() => chown(where, nobody, nobody))
        assert.isAtLeast(yield* countIn(link), acknowledged)
      }
      const where = yield* directory
      const path = join(where, "runs")
      yield* Effect.promise(() => chmod(where, 0o1777))
      spawnSync("sh", ["-c", 'umask 0; : > "$0"', path], { uid: nobody, gid: nobody })
      assert.include(yield* refusedUntouched(where, path), { _tag: "Unfit", path })
    }).pipe(Effect.scoped)
  )
})
