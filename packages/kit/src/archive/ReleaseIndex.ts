/**
 * The signed root of a Debian archive: which index files a suite has, and their digests.
 *
 * Source: the Debian repository format, `Release` files.
 *
 * @module
 */
import { Result } from "effect"
import { FormatInvalid } from "../KitError.ts"

/** A file that a signed or locked digest describes. */
export interface Described {
  readonly sizeBytes: number
  /** Lower-case hexadecimal. */
  readonly sha256: string
}

/** The used fields of a `Release` file. */
export interface ReleaseIndex {
  readonly codename: string
  /**
   * Whether files are also served under their digests, which stay valid across updates of the archive.
   */
  readonly byHash: boolean
  /** The end of the file's validity, milliseconds since 1970; `null`: none. */
  readonly validUntilMillis: number | null
  /** Index files by path, e.g. `main/binary-riscv64/Packages.gz`. */
  readonly files: ReadonlyMap<string, Described>
}

/** Reads the text of a `Release` file whose signature has been checked; `source` names it in errors. */
export const parseRelease = (source: string, text: string): Result.Result<ReleaseIndex, FormatInvalid> => {
  const fields = new Map<string, string>()
  const files = new Map<string, Described>()
  let section = ""
  for (const line of text.split("\n")) {
    const field = /^([A-Za-z0-9-]+):[ \t]*(.*)$/.exec(line)
    if (field !== null) {
      section = field[1] ?? ""
      fields.set(section, field[2] ?? "")
      continue
    }
    const entry = section === "SHA256" ? /^\s+([0-9a-f]{64})\s+(\d{1,15})\s+(\S+)$/.exec(line) : null
    if (entry !== null) files.set(entry[3] ?? "", { sha256: entry[1] ?? "", sizeBytes: Number(entry[2]) })
  }
  const codename = fields.get("Codename")
  if (codename === undefined || files.size === 0) {
    return Result.fail(
      new FormatInvalid({ source, expected: "a Codename and SHA256 digests of index files", found: "neither or one" })
    )
  }
  const until = fields.get("Valid-Until")
  return Result.succeed({
    codename,
    byHash: fields.get("Acquire-By-Hash") === "yes",
    validUntilMillis: until === undefined ? null : Date.parse(until),
    files
  })
}
