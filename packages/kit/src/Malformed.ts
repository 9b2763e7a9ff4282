import { Data } from "effect"

/**
 * Bytes with an invalid form: a package, a kernel module, a boot image, a program's output.
 *
 * Parsers fail with it, since they do not know the file. Their callers name the file, and turn it
 * into a {@link FormatInvalid} or a {@link FileUnusable}; no user of the kit sees it.
 *
 * @internal
 */
export class Malformed extends Data.TaggedError("Malformed")<{
  /** What was expected, and what was found. */
  readonly message: string
}> {}
