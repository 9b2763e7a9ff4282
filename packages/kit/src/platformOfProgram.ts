/**
 * The platform of a program, from the header of its ELF file.
 *
 * Source: the ELF specification, `e_machine`.
 *
 * @module
 */
import type { GuestPlatform } from "@stillpoint/core"

const machines: ReadonlyMap<number, GuestPlatform> = new Map([
  [243, "riscv64"],
  [62, "amd64"]
])

/**
 * The platform of a program, or the number of another instruction set; `null` if it is not an ELF file.
 */
export const platformOfProgram = (program: Uint8Array): string | null => {
  const bytes = Buffer.from(program.buffer, program.byteOffset, program.byteLength)
  if (bytes.length < 64 || bytes.toString("latin1", 0, 4) !== "\u007fELF") return null
  const machine = bytes.readUInt16LE(0x12)
  return machines.get(machine) ?? `ELF machine ${machine}`
}
