/**
 * The text that the command line prints for a failure.
 *
 * @module
 */
import { oneLine } from "@stillpoint/core"

/** The message of a failure, its lines kept. It can contain words of registries, images and guests: a terminal obeys none of them. */
export const failureText = (error: unknown): string => {
  const text = error instanceof Error ? error.message : String(error)
  return `stillpoint: ${text.split("\n").map(oneLine).join("\n")}`
}
