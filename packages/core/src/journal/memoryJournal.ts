/**
 * A journal in memory, for tests and for runs that need not survive.
 *
 * @module
 */
import { Effect } from "effect"
import { makeHeadSignal } from "../internal/headSignal.ts"
import { pagedSubscription } from "./pagedSubscription.ts"
import type { JournalEntry, JournalShape } from "./JournalShape.ts"
import { JournalError } from "./JournalErrors.ts"

const pageSize = 1024

/** Claims as one process keeps them. */
export const makeMemoryClaims = (): Pick<JournalShape, "claim" | "sweepClaims"> => {
  const claimed = new Set<string>()
  return {
    claim: (name) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const isFree = !claimed.has(name)
          claimed.add(name)
          return isFree
        }),
        (isOurs) => Effect.sync(() => void (isOurs && claimed.delete(name)))
      ),
    // They end with their process.
    sweepClaims: Effect.succeed(0)
  }
}

/** An empty journal. */
export const makeMemoryJournal = (): JournalShape => {
  const all: Array<JournalEntry> = []
  const byStream = new Map<string, Array<JournalEntry>>()
  const signal = makeHeadSignal()

  const append: JournalShape["append"] = (stream, records, options) =>
    Effect.suspend(() => {
      const own = byStream.get(stream) ?? []
      const expected = options?.expectedVersion
      if (expected !== undefined && expected !== own.length) {
        return Effect.fail(
          new JournalError({ reason: { _tag: "VersionConflict", stream, expected, found: own.length } })
        )
      }
      if (records.length > 0) byStream.set(stream, own)
      for (const record of records) {
        const entry: JournalEntry = { ...record, position: all.length + 1, stream, version: own.length + 1 }
        all.push(entry)
        own.push(entry)
      }
      if (records.length > 0) signal.raise()
      return Effect.succeed({ version: own.length, position: all.length })
    })

  const subscribe: JournalShape["subscribe"] = (options) => {
    const stream = options?.stream
    return pagedSubscription({
      begin: Effect.succeed(stream === undefined ? (options?.afterPosition ?? 0) : 0),
      page: (after) =>
        Effect.sync(() => (stream === undefined ? all : (byStream.get(stream) ?? [])).slice(after, after + pageSize)),
      place: stream === undefined ? "position" : "version",
      afterPosition: options?.afterPosition ?? 0,
      signal,
      waitAtMost: (wait) => wait
    })
  }

  return {
    ...makeMemoryClaims(),
    append,
    subscribe,
    read: (stream, options) =>
      Effect.sync(() => {
        const from = options?.afterVersion ?? 0
        return (byStream.get(stream) ?? []).slice(from, from + (options?.limit ?? Infinity))
      }),
    readAll: (options) =>
      Effect.sync(() => {
        const from = options?.afterPosition ?? 0
        return all.slice(from, from + (options?.limit ?? Infinity))
      }),
    streams: (prefix = "") => Effect.sync(() => [...byStream.keys()].filter((name) => name.startsWith(prefix)))
  }
}
