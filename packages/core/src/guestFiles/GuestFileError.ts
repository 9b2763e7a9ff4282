/**
 * Why a file operation in a guest failed.
 *
 * @module
 */
import { Schema } from "effect"

const errno = { errno: Schema.Int } as const

/** What stands in the way, by the error number of the guest's kernel, which each has. */
export const GuestFileReason = Schema.TaggedUnion({
  /** There is nothing at that path. */
  NotFound: errno,
  /** Something is there already. */
  Exists: errno,
  NotADirectory: errno,
  IsADirectory: errno,
  /** A directory that is not empty. */
  NotEmpty: errno,
  /** A device, a socket or a pipe, where a file is wanted. */
  NotAFile: errno,
  /** Links that lead to each other. */
  LinkLoop: errno,
  NameTooLong: errno,
  /** The path names nothing that can be worked on: the root itself, `.` or `..`. */
  PathInvalid: errno,
  Denied: errno,
  ReadOnly: errno,
  DiskFull: errno,
  /** The file system cannot do it. */
  Unsupported: errno,
  /** Two file systems, where one is wanted. */
  OtherFileSystem: errno,
  /** Whatever else the kernel said. */
  Failed: errno,
  /** More than was allowed to be read. */
  TooLarge: { limitBytes: Schema.Natural },
  /** What the guest said makes no sense. */
  AnswerInvalid: { found: Schema.String }
})
export type GuestFileReason = typeof GuestFileReason.Type

const names: Readonly<Record<number, Exclude<GuestFileReason["_tag"], "TooLarge" | "AnswerInvalid">>> = {
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
    case "AnswerInvalid":
      return `expected an answer of the agent's, found ${reason.found}`
    default:
      return `${reason._tag} (errno ${reason.errno})`
  }
}

/** A file operation in a guest failed; nothing was half done. */
export class GuestFileError extends Schema.TaggedError<GuestFileError>()("GuestFileError", {
  operation: Schema.String,
  path: Schema.String,
  reason: GuestFileReason
}) {
  override get message(): string {
    return `${this.operation} ${this.path}: ${said(this.reason)}`
  }
}
