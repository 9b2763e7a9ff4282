import type { Stats } from "node:fs"
import type { FileStatus } from "./DurableFilesShape.ts"

/** What stands at a path, for people. */
export const statusInWords: Readonly<Record<FileStatus["kind"], string>> = {
  file: "a file",
  directory: "a directory",
  link: "a link",
  other: "neither a file nor a directory"
}

/** What a file is, for people. */
export const fileKindInWords = (found: Stats): string =>
  found.isFile()
    ? "a file"
    : found.isDirectory()
      ? "a directory"
      : found.isSymbolicLink()
        ? "a link"
        : found.isFIFO()
          ? "a pipe"
          : found.isSocket()
            ? "a socket"
            : "a device"
