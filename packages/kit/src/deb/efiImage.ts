/**
 * Takes the kernel out of an EFI image that unpacks itself.
 *
 * ```text
 * 0x00 "MZ" │ 0x04 "zimg" │ 0x08 u32 offset │ 0x0c u32 length │ 0x18 name of the compression, NUL
 * ```
 *
 * Source: Linux, drivers/firmware/efi/libstub/zboot-header.S.
 *
 * @module
 */
import { gunzipSync, zstdDecompressSync } from "node:zlib"
import { Malformed } from "../Malformed.ts"

/** No kernel is larger when it is unpacked. */
const kernelBytesMax = 512 << 20

/** The kernel inside `bytes`; `bytes` themselves when they are no such image. Throws {@link Malformed}, which says what is wrong. */
export const unpackEfiImage = (bytes: Buffer): Buffer => {
  if (bytes.length < 0x40 || bytes.toString("latin1", 0, 2) !== "MZ" || bytes.toString("latin1", 4, 8) !== "zimg") {
    return bytes
  }
  const [offset, length] = [bytes.readUInt32LE(0x08), bytes.readUInt32LE(0x0c)]
  if (offset + length > bytes.length) {
    throw new Malformed({
      message: `expected the packed kernel within ${bytes.length} bytes, found ${length} bytes at ${offset}`
    })
  }
  const packed = bytes.subarray(offset, offset + length)
  const compression = bytes.toString("latin1", 0x18, 0x38).split("\0")[0] ?? ""
  const limit = { maxOutputLength: kernelBytesMax }
  if (compression === "gzip") return gunzipSync(packed, limit)
  // Linux names the window beside it: zstd22.
  if (compression.startsWith("zstd")) return zstdDecompressSync(packed, limit)
  throw new Malformed({
    message: `expected an EFI image compressed with gzip or zstd, found ${JSON.stringify(compression)}`
  })
}
