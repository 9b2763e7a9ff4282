/**
 * The owner of a file or directory, for readers; only the lock shows whether it still lives.
 *
 * @module
 */
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { hostname } from "node:os"
import { Context, Schema } from "effect"

/** One process, or thread of one, as others may look for it. */
export const OwnerRecord = Schema.Struct({
  /** Random; another one for every thread. */
  instance: Schema.String,
  /** Process id, as the process itself sees it. */
  pid: Schema.Natural,
  host: Schema.String,
  /** Id of the boot of its kernel; `null` where the system has none. */
  bootId: Schema.NullOr(Schema.String),
  /** The start of the process, milliseconds since 1970. */
  startedAtMillis: Schema.Number
})
export type OwnerRecord = typeof OwnerRecord.Type

const readBootId = (): string | null => {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
  } catch {
    return null
  }
}

const thisProcess: OwnerRecord = {
  instance: randomUUID(),
  pid: process.pid,
  host: hostname(),
  bootId: readBootId(),
  startedAtMillis: Math.round(performance.timeOrigin)
}

/** Under whose name things are made: this process's unless said otherwise. */
export const Owner = Context.Reference<OwnerRecord>("@stillpoint/core/files/Owner", { defaultValue: () => thisProcess })
