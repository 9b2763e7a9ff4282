/**
 * The restores of a snapshot: how many, how long they took, and some of them in full.
 *
 * @module
 */
import { type Admission, Journal, makeEventCodec } from "@stillpoint/core"
import { Effect, Option, Schema } from "effect"

/** One restore. */
export const Restore = Schema.Struct({
  /** The time of its beginning, milliseconds since 1970. */
  atMillis: Schema.Number,
  /** The states of its gate, and how long after the beginning each was reached. */
  states: Schema.Array(Schema.Struct({ state: Schema.String, afterMillis: Schema.Number })),
  outcome: Schema.Literals(["ready", "refused"])
})
export type Restore = typeof Restore.Type

/** Restores that are counted together; of many, only some are kept in full. */
export const Restores = Schema.Struct({
  ready: Schema.Int,
  refused: Schema.Int,
  /** How long those that are ready took, all together, and the longest of them. */
  readyMillis: Schema.Struct({ total: Schema.Number, longest: Schema.Number }),
  /** The first ones and the latest ones, in order. */
  first: Schema.Array(Restore),
  latest: Schema.Array(Restore)
})
export type Restores = typeof Restores.Type

/** How many are kept in full of those that are counted together: the first, and the latest. */
export const mostFirst = 2
export const mostLatest = 8

export const noRestores: Restores = {
  ready: 0,
  refused: 0,
  readyMillis: { total: 0, longest: 0 },
  first: [],
  latest: []
}

const handedOverAfter = ({ states }: Pick<Restore, "states">): number =>
  states.find(({ state }) => state === "Ready")?.afterMillis ?? 0

/** A restore, counted. */
export const countedOnce = (restore: Restore | Admission): Restores => {
  const isReady = restore.outcome === "ready"
  const millis = isReady ? handedOverAfter(restore) : 0
  return {
    ready: isReady ? 1 : 0,
    refused: isReady ? 0 : 1,
    readyMillis: { total: millis, longest: millis },
    first: [restore],
    latest: []
  }
}

/** Two counts as one: `later` continues `earlier`, and as many are kept in full as of one. */
export const together = (
  earlier: Restores,
  later: Restores,
  most = { first: mostFirst, latest: mostLatest }
): Restores => {
  const full = [...earlier.first, ...earlier.latest, ...later.first, ...later.latest]
  const first = full.slice(0, most.first)
  return {
    ready: earlier.ready + later.ready,
    refused: earlier.refused + later.refused,
    readyMillis: {
      total: earlier.readyMillis.total + later.readyMillis.total,
      longest: Math.max(earlier.readyMillis.longest, later.readyMillis.longest)
    },
    first,
    latest: full.slice(first.length).slice(-most.latest)
  }
}

const json = Schema.toCodecJson(Restores)

/** What is appended to the stream of a snapshot. */
export const restoresCodec = makeEventCodec<Restores>({
  schema: json,
  typeOf: () => "CloneRestored",
  types: {
    CloneRestored: {
      version: 2,
      // The first version was one restore.
      upcast: {
        1: (one) => Schema.encodeSync(json)(countedOnce(Schema.decodeUnknownSync(Schema.toCodecJson(Restore))(one)))
      }
    }
  }
})

/** The stream of a snapshot's restores. */
export const restoresStream = (digest: string): string => `restores/${digest}`

/** How many a report shows in full: all that the journal has of the latest, up to this. */
const mostShown = { first: mostFirst, latest: 20 }

const began = ({ first, latest }: Restores): number => (first[0] ?? latest[0])?.atMillis ?? 0

/** The restores of a snapshot on this host; none where nothing keeps them, or they cannot be read. */
export const readRestores = Effect.fnUntraced(function* (digest: string) {
  const journal = yield* Effect.serviceOption(Journal)
  if (Option.isNone(journal)) return noRestores
  const entries = journal.value.read(restoresStream(digest))
  return yield* Effect.flatMap(entries, (all) => Effect.forEach(all, restoresCodec.decode)).pipe(
    // Several processes may have restored it at once, each with counts of its own.
    Effect.map((all) =>
      all.toSorted((one, other) => began(one) - began(other)).reduce((sum, next) => inOrder(sum, next), noRestores)
    ),
    Effect.orElseSucceed(() => noRestores)
  )
})

/** As {@link together}, of processes at work at the same time. */
const inOrder = (sum: Restores, next: Restores): Restores => {
  const { first, latest, ...counts } = together(sum, next, { first: Infinity, latest: 0 })
  const full = [...first, ...latest].toSorted((one, other) => one.atMillis - other.atMillis)
  const begin = full.slice(0, mostShown.first)
  return { ...counts, first: begin, latest: full.slice(begin.length).slice(-mostShown.latest) }
}
