/**
 * Why a file operation in a guest failed.
 *
 * @module
 */
import { Schema } from "effect"

const errno = { errno: Schema.Int } as const

/** The reason for a failure; those with an `errno` come from the guest's kernel. */
export const GuestFileReason = Schema.TaggedUnion({
  /** There is nothing at that path. */
  NotFound: errno,
  /** The path exists already. */
  Exists: errno,
  NotADirectory: errno,
  IsADirectory: errno,
  /** A directory that is not empty. */
  NotEmpty: errno,
  /** A device, a socket or a pipe, where a regular file is needed. */
  NotAFile: errno,
  /** Links that lead to each other. */
  LinkLoop: errno,
  NameTooLong: errno,
  /** The operation cannot work on this path: the root itself, `.` or `..`. */
  PathInvalid: errno,
  Denied: errno,
  ReadOnly: errno,
  DiskFull: errno,
  /** The file system cannot do it. */
  Unsupported: errno,
  /** Both paths must be in one file system, and are not. */
  OtherFileSystem: errno,
  /** Any other error of the kernel. */
  Failed: errno,
  /** The file is larger than the limit. */
  TooLarge: { limitBytes: Schema.Natural },
  /** The archive to unpack is malformed or hostile. `found` names the entry. */
  ArchiveInvalid: { found: Schema.String },
  /** The guest's answer is malformed. */
  AnswerInvalid: { found: Schema.String }
})
export type GuestFileReason = typeof GuestFileReason.Type

const names: Readonly<
  Record<number, Exclude<GuestFileReason["_tag"], "TooLarge" | "ArchiveInvalid" | "AnswerInvalid">>
> = {
  1: "Denied",
  2: "NotFound",
  6: "NotAFile",
  13: "Denied",
  17: "Exists",
  18: "OtherFileSystem",
  20: "NotADirectory",
  21: "IsADirectory",
  22: "PathInvalid",
  28: "DiskFull",
  30: "ReadOnly",
  36: "NameTooLong",
  39: "NotEmpty",
  40: "LinkLoop",
  95: "Unsupported",
  122: "DiskFull"
}

/** The reason of a Linux error number. */
export const reasonOfErrno = (errno: number): GuestFileReason => ({ _tag: names[errno] ?? "Failed", errno })

const said = (reason: GuestFileReason): string => {
  switch (reason._tag) {
    case "TooLarge":
      return `expected at most ${reason.limitBytes} bytes, found more; read it as a stream, or raise limitBytes`
    case "ArchiveInvalid":
      return `the archive: ${reason.found}`
    case "AnswerInvalid":
      return `expected an answer from the agent, found ${reason.found}`
    default:
      return `${reason._tag} (errno ${reason.errno})`
  }
}

/** A file operation in a guest failed. It changed nothing. */
export class GuestFileError extends Schema.TaggedError<GuestFileError>()("GuestFileError", {
  operation: Schema.String,
  path: Schema.String,
  reason: GuestFileReason
}) {
  override get message(): string {
    return `${this.operation} ${this.path}: ${said(this.reason)}`
  }
}
