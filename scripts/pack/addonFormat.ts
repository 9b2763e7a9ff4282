/**
 * Which platform a file is an addon of, by the headers of ELF and Mach-O.
 *
 * ```text
 * ELF      0  7f 'E' 'L' 'F', 64 bits (2), little-endian (1)    16  type (3: shared)    18  machine (62: x64, 183: arm64)
 * Mach-O   0  feedfacf     4  cpu (01000007: x64, 0100000c: arm64)     12  type (6: dynamic library, 8: bundle)
 * ```
 *
 * @module
 */
import { closeSync, openSync, readSync } from "node:fs"

const headBytes = 20

const elfMachines: Readonly<Record<number, string>> = { 62: "x64", 183: "arm64" }
const machProcessors: Readonly<Record<number, string>> = { 0x0100_0007: "x64", 0x0100_000c: "arm64" }

const elfKind = (head: Buffer): string => {
  const arch = head[4] === 2 && head[5] === 1 ? elfMachines[head.readUInt16LE(18)] : undefined
  return head.readUInt16LE(16) === 3 && arch !== undefined
    ? `linux-${arch}`
    : "an ELF file that is no addon of x64 or arm64"
}

const machKind = (head: Buffer): string => {
  const arch = machProcessors[head.readUInt32LE(4)]
  return [6, 8].includes(head.readUInt32LE(12)) && arch !== undefined
    ? `darwin-${arch}`
    : "a Mach-O file that is no addon of x64 or arm64"
}

/** The operating system and processor of the addon in a file, `darwin-arm64`, or what else the file is. */
export const addonKind = (path: string): string => {
  const head = Buffer.alloc(headBytes)
  const file = openSync(path, "r")
  try {
    if (readSync(file, head, 0, headBytes, 0) < headBytes) return "a file that is too short"
  } finally {
    closeSync(file)
  }
  if (head.readUInt32BE(0) === 0x7f45_4c46) return elfKind(head)
  if (head.readUInt32LE(0) === 0xfeed_facf) return machKind(head)
  return "a file of another format"
}
