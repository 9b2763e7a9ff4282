import { defineTrigger } from "@stillpoint/triggers"
import { Option, Schema } from "effect"
import { WriteReported, writeReported } from "./WriteReported.ts"

const Config = Schema.Struct({ table: Schema.String, forMillis: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)) })

interface Progress {
  readonly pending: number | null
  readonly settledAtNanos: number | null
}

const decode = Schema.decodeUnknownOption(WriteReported)

/**
 * Fires once the workload has reported that a table has no pending write, and nothing else about it for `forMillis` of guest
 * time: `min { e.at + d | e reports 0 pending, no report in (e.at, e.at + d) }`. A report at the very end comes too late.
 */
export const onWritesSettled = defineTrigger({
  name: "settled-writes/on-writes-settled",
  config: Config,
  interest: () => ["Custom"],
  hears: ({ table }) => [
    {
      kind: "Custom",
      fields: { name: writeReported },
      payload: Schema.Struct({ table: Schema.Literals([table, "another"]), pending: Schema.Literals([0, 0, 1, 7]) })
    }
  ],
  waitedFor: ({ forMillis, table }) => `the writes of ${table} to be settled for ${forMillis} ms`,
  start: (): { readonly state: Progress } => ({ state: { pending: null, settledAtNanos: null } }),
  step: (state, input, { forMillis, table }) => {
    if (input._tag === "Time") return { state, fires: true }
    const { atNanos } = input.event
    const report =
      input.event._tag === "Custom" && input.event.name === writeReported
        ? Option.getOrUndefined(decode(input.event.payload))
        : undefined
    if (report === undefined || report.table !== table) {
      return { state, wakeAtNanos: state.settledAtNanos === null ? null : state.settledAtNanos + forMillis * 1e6 }
    }
    if (report.pending > 0) return { state: { pending: report.pending, settledAtNanos: null } }
    return { state: { pending: 0, settledAtNanos: atNanos }, wakeAtNanos: atNanos + forMillis * 1e6 }
  },
  progress: ({ pending }) =>
    pending === null ? "nothing had been reported" : `the last report had said ${pending} pending`
})
