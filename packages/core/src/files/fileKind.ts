import type { Stats } from "node:fs"

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
