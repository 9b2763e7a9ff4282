/**
 * Takes the kernel out of an image that unpacks itself, so that no guest spends its time on it.
 *
 * ```text
 * EFI    0x00 "MZ" │ 0x04 "zimg" │ 0x08 u32 offset │ 0x0c u32 length │ 0x18 name of the compression, NUL
 * x86    0x1f1 u8 sectors before the code, less one │ 0x202 "HdrS" │ 0x248 u32 offset in the code │ 0x24c u32 length
 *        the last four bytes are the size that it unpacks to
 * ```
 *
 * Sources: Linux, drivers/firmware/efi/libstub/zboot-header.S; Documentation/arch/x86/boot.rst.
 *
 * @module
 */
import { gunzipSync, zstdDecompressSync } from "node:zlib"
import { Malformed } from "../Malformed.ts"

/** No kernel is larger when it is unpacked. */
const kernelBytesMax = 512 << 20

const limit = { maxOutputLength: kernelBytesMax }

/** A complete range of an image. */
const within = (bytes: Buffer, offset: number, length: number): Buffer => {
  if (offset + length > bytes.length) {
    throw new Malformed({
      message: `expected the packed kernel within ${bytes.length} bytes, found ${length} bytes at ${offset}`
    })
  }
  return bytes.subarray(offset, offset + length)
}

const unpackEfi = (bytes: Buffer): Buffer => {
  const packed = within(bytes, bytes.readUInt32LE(0x08), bytes.readUInt32LE(0x0c))
  const compression = bytes.toString("latin1", 0x18, 0x38).split("\0")[0] ?? ""
  if (compression === "gzip") return gunzipSync(packed, limit)
  // Linux names the window beside it: zstd22.
  if (compression.startsWith("zstd")) return zstdDecompressSync(packed, limit)
  throw new Malformed({
    message: `expected an EFI image compressed with gzip or zstd, found ${JSON.stringify(compression)}`
  })
}

const sectorBytes = 512
const sizeBytes = 4

/** The kernel of an x86 image; the image where it is compressed in another way: it unpacks itself as well. */
const unpackX86 = (bytes: Buffer): Buffer => {
  const code = ((bytes[0x1f1] || 4) + 1) * sectorBytes
  const whole = within(bytes, code + bytes.readUInt32LE(0x248), bytes.readUInt32LE(0x24c))
  const magic = whole.toString("hex", 0, 4)
  const packed = whole.subarray(0, Math.max(0, whole.length - sizeBytes))
  const unpacked = magic.startsWith("1f8b")
    ? gunzipSync(packed, limit)
    : magic === "28b52ffd"
      ? zstdDecompressSync(packed, limit)
      : bytes
  const stated = unpacked === bytes ? bytes.length : whole.readUInt32LE(packed.length)
  if (unpacked.length === stated) return unpacked
  throw new Malformed({ message: `expected a kernel of ${stated} bytes, found one of ${unpacked.length}` })
}

/** The kernel inside `bytes`, or `bytes` themselves if they are no such image. Throws {@link Malformed} with the problem. */
export const unpackKernel = (bytes: Buffer): Buffer => {
  const isMz = bytes.toString("latin1", 0, 2) === "MZ"
  if (bytes.length >= 0x40 && isMz && bytes.toString("latin1", 4, 8) === "zimg") return unpackEfi(bytes)
  if (bytes.length >= 0x250 && bytes.toString("latin1", 0x202, 0x206) === "HdrS") return unpackX86(bytes)
  return bytes
}
