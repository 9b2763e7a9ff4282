/**
 * A process that works on a journal on a full file system, and prints the results as JSON.
 *
 * `node fillDisk.ts DIRECTORY`: the directory is the root of a file system of a few MiB and some dozen files, and empty.
 *
 * @module
 */
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import type { JournalError } from "../journal/JournalErrors.ts"
import { makeSqliteJournal } from "../journal/sqliteJournal.ts"
import { numberedBatch } from "./numberedBatch.ts"

/** The results, in order. */
export interface FullDisk {
  /** The error of an append that finds no space, and how many events had been acknowledged before. */
  readonly whileAppending: { readonly reason: string; readonly acknowledged: number; readonly read: number }
  /** The errors of appends and of new journals while 0, 4, 8 … KiB are free; `null` where there was none. */
  readonly withLittleLeft: ReadonlyArray<string | null>
  /** The error of a new journal while there is space, but no file can be made any more. */
  readonly withoutFiles: string | null
  /** Once there is space again: the result of an append, and the journal's content before and after it is reopened. */
  readonly afterwards: { readonly version: number; readonly read: number; readonly readAgain: number }
}

const [directory = ""] = process.argv.slice(2)
const filler = join(directory, "filler")

/** Takes all space but so many KiB. */
const leave = (kib: number): void => {
  rmSync(filler, { force: true })
  const free = statfsSync(directory)
  writeFileSync(filler, Buffer.alloc(Math.max(0, free.bavail * free.bsize - kib * 1024)))
}

/** Makes empty files until there can be no more; returns what removes them. */
const makeFiles = (): (() => void) => {
  const files: Array<string> = []
  for (;;) {
    const file = join(directory, `empty-${files.length}`)
    try {
      writeFileSync(file, "")
    } catch {
      return () => files.forEach((made) => rmSync(made))
    }
    files.push(file)
  }
}

const reasonOf = <A>(effect: Effect.Effect<A, JournalError>): Effect.Effect<string | null> =>
  effect.pipe(
    Effect.as(null),
    Effect.catch((error) => Effect.succeed(error.reason._tag))
  )

const program = Effect.gen(function* () {
  const path = join(directory, "journal")
  const { afterwards, ...full } = yield* Effect.scoped(
    Effect.gen(function* () {
      const journal = yield* makeSqliteJournal({ path })
      let version = 0
      const append = Effect.gen(function* () {
        version = (yield* journal.append("s", numberedBatch(version), { expectedVersion: version })).version
      })
      // Half of the space is kept for later.
      const { bavail, bsize } = statfsSync(directory)
      leave(Math.floor((bavail * bsize) / 2048))
      const reason = yield* reasonOf(Effect.forever(append))
      const whileAppending = {
        reason: reason ?? "none",
        acknowledged: version,
        read: (yield* journal.read("s")).length
      }
      const openNew = (path: string) =>
        reasonOf(
          Effect.scoped(Effect.flatMap(makeSqliteJournal({ path }), (other) => other.append("s", numberedBatch(0))))
        )
      const withLittleLeft: Array<string | null> = []
      for (let kib = 0; kib <= 128; kib += 4) {
        leave(kib)
        withLittleLeft.push(yield* reasonOf(append))
        const beside = join(directory, "beside")
        mkdirSync(beside, { recursive: true })
        withLittleLeft.push(yield* openNew(join(beside, "journal")))
        rmSync(beside, { recursive: true })
      }
      rmSync(filler)
      const removeFiles = makeFiles()
      const withoutFiles = yield* openNew(join(directory, "another"))
      removeFiles()
      yield* append
      const afterwards = { version, read: (yield* journal.read("s")).length }
      return { whileAppending, withLittleLeft, withoutFiles, afterwards }
    })
  )
  const readAgain = yield* Effect.scoped(
    Effect.flatMap(makeSqliteJournal({ path }), (journal) => Effect.map(journal.read("s"), (all) => all.length))
  )
  return { ...full, afterwards: { ...afterwards, readAgain } } satisfies FullDisk
})

process.stdout.write(JSON.stringify(await Effect.runPromise(program)))
