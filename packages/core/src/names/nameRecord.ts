/**
 * The record of a store's names, one file that is replaced whole.
 *
 * ```text
 * names.json   {"format":"stillpoint-names","version":1,"names":{"web:latest":{"digest":"…","atMillis":…}}}
 * ```
 *
 * @module
 */
import { join } from "node:path"
import { Effect, Result, Schema } from "effect"
import type { DurableFilesShape } from "../files/DurableFiles.ts"
import { FileUnfit } from "../files/FileErrors.ts"
import { replaceFile } from "../files/replaceFile.ts"
import { parseBoundedJson } from "../internal/boundedJson.ts"
import { Sha256 } from "../snapshot/Manifest.ts"
import { NamesUnreadable, StoreVersionUnknown } from "./NameErrors.ts"

const recordVersion = 1
const recordName = "names.json"
const mostBytes = 16 << 20

/** The target of a name. */
export const Named = Schema.Struct({
  digest: Sha256,
  /** The time when it was set, milliseconds since 1970. */
  atMillis: Schema.Natural
})
export type Named = typeof Named.Type

/** Snapshots by their full names, `name:tag`. */
export type Names = ReadonlyMap<string, Named>

const Header = Schema.Struct({ format: Schema.Literal("stillpoint-names"), version: Schema.Natural })
const Record = Schema.Struct({
  ...Header.fields,
  names: Schema.Record(Schema.String.check(Schema.isPattern(/^[a-z0-9._-]{1,100}:[a-z0-9._-]{1,100}$/)), Named)
})

/** The names of the store in a directory; none where there is no record. */
export const readNames = Effect.fnUntraced(function* (files: DurableFilesShape, home: string) {
  const path = join(home, recordName)
  if ((yield* files.inspect(path)) === null) {
    // Not an empty store, but no store at all.
    if ((yield* files.inspect(home))?.kind === "file")
      return yield* new FileUnfit({ path: home, expected: "the folder of a store", found: "a file" })
    return new Map() as Names
  }
  const unreadable = (why: string) => new NamesUnreadable({ path, why })
  const parsed = parseBoundedJson(new TextDecoder().decode(yield* files.read(path, mostBytes)))
  if (Result.isFailure(parsed)) return yield* unreadable(parsed.failure)
  const header = Schema.decodeUnknownResult(Header)(parsed.success)
  if (Result.isFailure(header)) return yield* unreadable(header.failure.message)
  const found = header.success.version
  if (found !== recordVersion) return yield* new StoreVersionUnknown({ path, found, supported: recordVersion })
  const record = Schema.decodeUnknownResult(Record, { errors: "all" })(parsed.success)
  if (Result.isFailure(record)) return yield* unreadable(record.failure.message)
  return new Map(Object.entries(record.success.names)) as Names
})

/** Replaces the names: after a crash at any moment, the old or the new ones are there. The caller holds the store. */
export const writeNames = Effect.fnUntraced(function* (files: DurableFilesShape, home: string, names: Names) {
  const record = {
    format: "stillpoint-names",
    version: recordVersion,
    names: Object.fromEntries([...names].toSorted(([one], [other]) => (one < other ? -1 : 1)))
  }
  yield* replaceFile(files, join(home, recordName), new TextEncoder().encode(`${JSON.stringify(record)}\n`))
})

/** Removes what a killed writer left. The caller holds the store. */
export const clearDrafts = Effect.fnUntraced(function* (files: DurableFilesShape, home: string) {
  for (const name of yield* files.list(home)) {
    if (/^names\.json\.[0-9a-f]{32}$/.test(name)) yield* files.removeTree(join(home, name))
  }
})
