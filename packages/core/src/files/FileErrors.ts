/**
 * What can be wrong with a file.
 *
 * @module
 */
import { Schema } from "effect"

/** A file operation failed. `code` is the system's (`ENOSPC`, `EROFS`, `ENOENT`, …). */
export class FileFault extends Schema.TaggedError<FileFault>()("FileFault", {
  operation: Schema.String,
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `${this.operation} of ${this.path} failed: ${this.code}`
  }
}

/** What stands at a path is not what may be read there: a link, a pipe, a device, a directory, or more than is read. */
export class FileUnfit extends Schema.TaggedError<FileUnfit>()("FileUnfit", {
  path: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path}: expected ${this.expected}, found ${this.found}`
  }
}
