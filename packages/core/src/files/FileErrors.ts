/**
 * Errors of file operations.
 *
 * @module
 */
import { Schema } from "effect"

/** A file operation failed. `code` is the operating system's error code (`ENOSPC`, `EROFS`, `ENOENT`, …). */
export class FileFault extends Schema.TaggedError<FileFault>()("FileFault", {
  operation: Schema.String,
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    const isFull = this.code === "ENOSPC" || this.code === "EDQUOT"
    const advice = isFull ? ": no space is left there; free some, and try again" : ""
    return `${this.operation} of ${this.path} failed: ${this.code}${advice}`
  }
}

/** The path has something that cannot be read there: a link, a pipe, a device, a directory, or a file that is too large. */
export class FileUnfit extends Schema.TaggedError<FileUnfit>()("FileUnfit", {
  path: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path}: expected ${this.expected}, found ${this.found}`
  }
}
