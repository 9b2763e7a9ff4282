/**
 * The one error of a {@link Journal}, with a tagged reason.
 *
 * @module
 */
import { Schema } from "effect"

/** Why a journal refused or failed. */
export const JournalReason = Schema.TaggedUnion({
  /** Another writer was faster, so the stream is not at the version that the caller expected. Nothing was appended. */
  VersionConflict: { stream: Schema.String, expected: Schema.Natural, found: Schema.Natural },
  /** Another process kept the journal locked for too long. Nothing was appended. */
  Busy: { path: Schema.String, waitedMillis: Schema.Number },
  /** No space left, or the size limit is reached. Nothing was appended. */
  DiskFull: { path: Schema.String },
  /** The file cannot be written, or its directory, which must hold the write-ahead log, cannot. Nothing was appended. */
  ReadOnly: { path: Schema.String, what: Schema.Literals(["file", "directory"]) },
  /** The file is not a journal, or part of it is damaged. */
  Corrupt: { path: Schema.String, detail: Schema.String },
  /**
   * The file, its log or its shared memory was removed, moved, replaced, cut or overwritten while the journal was open. Events
   * appended to it would be lost.
   */
  Displaced: {
    path: Schema.String,
    found: Schema.Literals(["nothing", "another file", "less than was in it", "other content"])
  },
  /** The file was copied or moved while it was in use, without the write-ahead log that holds its last events; or that log was emptied. */
  LogMissing: { path: Schema.String, log: Schema.String },
  /** The write-ahead log beside the file is another journal's, or an earlier one of this journal. Neither was touched. */
  LogForeign: { path: Schema.String, log: Schema.String, detail: Schema.String },
  /** The file, or one beside it, is not of the required kind, owner or mode. It was not opened. */
  Unfit: { path: Schema.String, expected: Schema.String, found: Schema.String, action: Schema.String },
  /** The file could not be opened or read. */
  Unreadable: { path: Schema.String, detail: Schema.String },
  /** The journal was written by a later build in another layout. */
  FormatUnknown: { path: Schema.String, found: Schema.Natural, supported: Schema.Natural },
  /** An event of a kind, or of a version, that this build does not know. */
  EventUnknown: {
    stream: Schema.String,
    version: Schema.Natural,
    type: Schema.String,
    schemaVersion: Schema.Natural,
    supported: Schema.Natural
  },
  /** An event that does not decode, though its kind and version are known. */
  EventMalformed: { stream: Schema.String, version: Schema.Natural, type: Schema.String, detail: Schema.String },
  /** The options are invalid; every problem is listed. */
  OptionsInvalid: { problems: Schema.NonEmptyArray(Schema.String) },
  /** The journal was closed. */
  Closed: { path: Schema.String }
})
export type JournalReason = typeof JournalReason.Type

const describe = (reason: JournalReason): string => {
  switch (reason._tag) {
    case "VersionConflict":
      return `stream ${reason.stream} is at version ${reason.found}, not ${reason.expected}: read it again and decide again`
    case "Busy":
      return `${reason.path} was locked by another writer for ${reason.waitedMillis} ms; nothing was appended: try again`
    case "DiskFull":
      return `no space left for ${reason.path}; nothing was appended: free some, and try again`
    case "ReadOnly":
      return reason.what === "file"
        ? `the file ${reason.path} cannot be written; nothing was appended: make it writable`
        : `the directory ${reason.path} cannot be written, and a journal needs a log beside its file; nothing was appended: make it writable`
    case "Corrupt":
      return `${reason.path} is damaged or not a journal: ${reason.detail}`
    case "Displaced":
      return (
        `${reason.path} is not ${reason.found === "nothing" || reason.found === "another file" ? "the file that was opened" : "as it was written"}: ` +
        `${reason.found} is there now, and appended events would be lost: put the file back, or open the journal again`
      )
    case "LogMissing":
      return (
        `${reason.path} was in use when it was copied or moved, and its last events are in ${reason.log}, which is missing or empty: ` +
        "put both files in one directory, or copy the journal after it was closed"
      )
    case "LogForeign":
      return `${reason.log} is not the write-ahead log of ${reason.path} (${reason.detail}): move it away, or put the right log there`
    case "Unfit":
      return `${reason.path}: expected ${reason.expected}, found ${reason.found}: ${reason.action}`
    case "Unreadable":
      return `${reason.path} cannot be read: ${reason.detail}`
    case "FormatUnknown":
      return `${reason.path} has journal format ${reason.found}; this build reads ${reason.supported}: use the build that wrote it`
    case "EventUnknown":
      return (
        `event ${reason.version} of stream ${reason.stream} is a ${reason.type} of version ${reason.schemaVersion}; ` +
        `this build reads up to ${reason.supported}: use the build that wrote it`
      )
    case "EventMalformed":
      return `event ${reason.version} of stream ${reason.stream} is not a valid ${reason.type}: ${reason.detail}`
    case "OptionsInvalid":
      return reason.problems.join("; ")
    case "Closed":
      return `${reason.path} is closed`
  }
}

/** An operation on a journal failed. */
export class JournalError extends Schema.TaggedError<JournalError>()("JournalError", { reason: JournalReason }) {
  override get message(): string {
    return describe(this.reason)
  }
}
