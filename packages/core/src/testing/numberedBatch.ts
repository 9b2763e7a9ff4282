/**
 * Events that follow from their place in a stream, in batches that follow from their start, so that a reader can tell whether an
 * append is there only in part.
 *
 * @module
 */
import type { JournalRecord } from "../journal/Journal.ts"

const padding = "·".repeat(2_000)

/** Few small events as a rule, at times so many large ones that a journal file needs several rows for them. */
const isLarge = (version: number): boolean => version % 16 === 5
const sizeOf = (version: number): number => (isLarge(version) ? 150 : 1 + (version % 7))

const numberedRecord = (version: number, value: number): JournalRecord => ({
  type: isLarge(version) ? "Large" : "Small",
  schemaVersion: 1 + (value % 3),
  json: JSON.stringify(isLarge(version) ? { value, padding } : { value })
})

/** The batch that is appended to a stream at `version`. */
export const numberedBatch = (version: number): ReadonlyArray<JournalRecord> =>
  Array.from({ length: sizeOf(version) }, (_, index) => numberedRecord(version, version + index))

/** The records of a stream that ends with a whole batch at `version` or behind it, and begins with the first one. */
export const numberedBatchesTo = (version: number): ReadonlyArray<JournalRecord> => {
  const records: Array<JournalRecord> = []
  while (records.length < version) records.push(...numberedBatch(records.length))
  return records
}
