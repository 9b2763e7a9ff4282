import { Data } from "effect"

/**
 * Bytes that are not what they must be: a package, a kernel module, a boot image, a program's output.
 *
 * Parsers fail with it, since they do not know what they read. Who does names the file, and makes a
 * {@link FormatInvalid} or a {@link FileUnusable} of it; no caller of the kit meets it.
 *
 * @internal
 */
export class Malformed extends Data.TaggedError("Malformed")<{
  /** What was expected, and what was found. */
  readonly message: string
}> {}
