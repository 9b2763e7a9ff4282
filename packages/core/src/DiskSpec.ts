/**
 * The disks of a machine: the source of their blocks, and the destination of writes.
 *
 * @module
 */
import { Schema } from "effect"

/** Bytes of a sector; the length of a disk is a multiple of it. */
export const sectorBytes = 512

/** Maximum number of disks and slots that a machine can have. */
export const mostDisks = 24

/** Largest disk, bytes. */
export const mostDiskBytes = 2 ** 38

const name = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9._-]{1,20}$/, { expected: "a name of 1 to 20 of the characters A-Z a-z 0-9 . _ -" })
)

const path = Schema.NonEmptyString.check(
  Schema.makeFilter((text: string) => !text.includes("\0"), { expected: "a path without zero bytes" })
)

const size = Schema.Int.check(
  Schema.isBetween({ minimum: sectorBytes, maximum: mostDiskBytes }),
  Schema.makeFilter((bytes: number) => bytes % sectorBytes === 0, { expected: `a multiple of ${sectorBytes} bytes` })
)

const fields = {
  name,
  access: Schema.Literals(["read", "copy-on-write", "scratch", "volume"]),
  source: Schema.optionalKey(path),
  sizeBytes: Schema.optionalKey(size)
} as const

/** A contradiction between parts of a disk's specification; `undefined` if there is none. */
export const diskProblem = ({
  access,
  sizeBytes,
  source
}: Pick<DiskSpec, "access" | "sizeBytes" | "source">): string | undefined => {
  if (access === "scratch") {
    return source === undefined && sizeBytes !== undefined
      ? undefined
      : "expected a scratch disk with sizeBytes and without a source: it begins empty and ends with its machine"
  }
  return source === undefined ? `expected a source: a disk of access ${access} has its blocks from a file` : undefined
}

/** As {@link DiskSpec}. */
export const diskSpecSchema = Schema.Struct(fields).check(Schema.makeFilter(diskProblem))

/**
 * A disk of a machine.
 *
 * | `access` | the guest reads | its writes |
 * | --- | --- | --- |
 * | `read` | the file `source` | is refused by the device |
 * | `copy-on-write` | the file `source`, and its own writes | stay in the machine: in its captures and forks, never in the file |
 * | `scratch` | zeros, and its own writes | stay in the machine |
 * | `volume` | the file `source` | goes to the file, which outlives the machine |
 *
 * `name` is the disk's serial number in the guest (`/sys/block/vda/serial`), 1 to 20 letters, digits, `.`, `_`, `-`, unique in a
 * machine. `sizeBytes`, a multiple of 512, is the size of a scratch disk, the size of a copy-on-write disk if that is larger than its
 * file, and the size of a new volume; otherwise it is the size that the file must have.
 *
 * Memory and disks are captured in one instant, and a capture holds everything that was written, to volumes too. Any number of machines
 * can share a file that is only read. A volume has one writer, which holds a kernel lock on the file. A restored or forked machine has
 * its own view of the volume as it was then, and nothing that it writes reaches the file.
 */
export type DiskSpec = typeof diskSpecSchema.Encoded
