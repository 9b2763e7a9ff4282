import { Schema } from "effect"

/** The workload's report after each write: the number of writes on their way to the disk. Event name: `write`. */
export const WriteReported = Schema.Struct({ table: Schema.String, pending: Schema.Natural })
export type WriteReported = typeof WriteReported.Type

/** Name of the event. */
export const writeReported = "write"
