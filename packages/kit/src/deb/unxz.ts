/**
 * Decompresses small files in xz's format, as kernel modules are kept.
 *
 * @module
 */
import { spawn } from "node:child_process"
import { KitError, PrerequisiteMissing } from "../KitError.ts"
import { Malformed } from "../Malformed.ts"

/** No module is larger. */
const moduleBytesMax = 64 << 20

/**
 * The content of `packed`. Rejects with a {@link KitError} if `xz` is not installed, and with {@link Malformed} if it reports an
 * error.
 */
export const unxz = (packed: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const child = spawn("xz", ["-dc"], { stdio: ["pipe", "pipe", "ignore"] })
    const pieces: Array<Buffer> = []
    let length = 0
    child.stdin.on("error", () => {})
    child.on("error", () => {
      const install = "install it with: sudo apt-get install xz-utils (macOS: brew install xz)"
      reject(new KitError({ reason: new PrerequisiteMissing({ what: "xz, to unpack kernel modules", install }) }))
    })
    child.stdout.on("data", (piece: Buffer) => {
      length += piece.length
      if (length > moduleBytesMax) child.kill("SIGKILL")
      else pieces.push(piece)
    })
    child.on("close", (code) => {
      if (code === 0) resolve(Buffer.concat(pieces))
      else
        reject(
          new Malformed({ message: `xz finds fault with a kernel module, or it has more than ${moduleBytesMax} bytes` })
        )
    })
    child.stdin.end(packed)
  })
