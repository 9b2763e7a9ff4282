import { Schema } from "effect"

/** What the workload reports after each write: how many are still on their way to the disk. Event name: `write`. */
export const WriteReported = Schema.Struct({ table: Schema.String, pending: Schema.Natural })
export type WriteReported = typeof WriteReported.Type

/** Name of the event. */
export const writeReported = "write"
