import type { Stats } from "node:fs"
import type { FileStatus } from "./DurableFilesShape.ts"

/** The kind of a file, in words. */
export const statusInWords: Readonly<Record<FileStatus["kind"], string>> = {
  file: "a file",
  directory: "a directory",
  link: "a link",
  other: "neither a file nor a directory"
}

/** The kind of a file, in words. */
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
