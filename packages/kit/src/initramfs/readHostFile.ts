/**
 * The content of a file of the host.
 *
 * @module
 */
import { readRegularFile } from "@stillpoint/core"
import { Malformed } from "../Malformed.ts"
import { InitramfsError, TooLarge } from "./InitramfsError.ts"

/** The content of the regular file, of at most so many bytes, that a path or a link there leads to. */
export const readHostFile = (path: string | Buffer, limitBytes: number): Promise<Uint8Array> =>
  readRegularFile(path, limitBytes, {
    followsLinks: true,
    refuse: (why) => {
      switch (why._tag) {
        case "NotRegular":
          return new Malformed({ message: `expected a regular file, found ${why.found}` })
        case "TooLarge":
          return new InitramfsError({
            reason: new TooLarge({ what: String(path), limitBytes, foundBytes: why.foundBytes })
          })
        case "Changed": {
          const found = why.foundBytes === null ? "more" : `${why.foundBytes} and its end`
          return new Malformed({ message: `expected ${why.expectedBytes} bytes, found ${found}` })
        }
      }
    }
  })
