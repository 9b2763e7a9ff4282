/**
 * Errors of file operations.
 *
 * @module
 */
import { Schema } from "effect"
import { getSystemErrorMap } from "node:util"

/** The system's own words for its error codes, by code. */
const meanings = new Map(getSystemErrorMap().values())

/** The meaning of a code; nothing for a code that is not the system's. */
const meaningOf = (code: string): string | undefined => meanings.get(code)

/** A file operation failed. `code` is the operating system's error code (`ENOSPC`, `EROFS`, `ENOENT`, …). */
export class FileFault extends Schema.TaggedError<FileFault>()("FileFault", {
  operation: Schema.String,
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    const isFull = this.code === "ENOSPC" || this.code === "EDQUOT"
    const meaning = isFull ? "no space is left there; free some, and try again" : meaningOf(this.code)
    return `${this.operation} of ${this.path} failed: ${this.code}${meaning === undefined ? "" : `: ${meaning}`}`
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
