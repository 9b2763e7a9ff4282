/**
 * Consecutive events of one stream as one row of a journal file.
 *
 * ```text
 * kinds  [[type, schema version, length, length …] …]   JSON; one list for each run of events of the same kind
 * body   the JSON texts of the events, one after the other; a length is in UTF-16 units
 * ```
 *
 * A row, an index entry and a checksum for every event would cost several times as much as the event itself, so an append of
 * a thousand events is one row. The texts are stored as given; they are not parsed on writing or reading.
 *
 * @module
 */
import type { JournalRecord } from "./JournalShape.ts"

/** The fields of a row. */
export interface PackedEvents {
  readonly count: number
  readonly kinds: string
  readonly body: string
}

/** Text after which a row is full, in UTF-16 units: a read of one event takes in the row that it is in. */
const fullRow = 256 * 1024

type Run = [type: string, schemaVersion: number, ...lengths: ReadonlyArray<number>]

/** The rows that hold some events, in order. */
export const packEvents = (records: ReadonlyArray<JournalRecord>): ReadonlyArray<PackedEvents> => {
  const rows: Array<PackedEvents> = []
  let runs: Array<Array<string | number>> = []
  let run: Array<string | number> = []
  let count = 0
  let body = ""
  const finish = (): void => {
    if (count > 0) rows.push({ count, kinds: JSON.stringify(runs), body })
    runs = []
    run = []
    count = 0
    body = ""
  }
  for (const { json, schemaVersion, type } of records) {
    if (run[0] !== type || run[1] !== schemaVersion) {
      run = [type, schemaVersion]
      runs.push(run)
    }
    run.push(json.length)
    body += json
    count += 1
    if (body.length >= fullRow) finish()
  }
  finish()
  return rows
}

const isRun = (value: unknown): value is Run =>
  Array.isArray(value) && typeof value[0] === "string" && value.slice(1).every((item) => Number.isSafeInteger(item))

/** The events of a row; `null` if {@link packEvents} cannot have made it. */
export const unpackEvents = ({ body, count, kinds }: PackedEvents): ReadonlyArray<JournalRecord> | null => {
  let runs: unknown
  try {
    runs = JSON.parse(kinds)
  } catch {
    return null
  }
  if (!Array.isArray(runs) || !runs.every(isRun)) return null
  const records: Array<JournalRecord> = []
  let at = 0
  for (const [type, schemaVersion, ...lengths] of runs) {
    for (const length of lengths) {
      records.push({ type, schemaVersion, json: body.slice(at, at + length) })
      at += length
    }
  }
  return at === body.length && records.length === count ? records : null
}
