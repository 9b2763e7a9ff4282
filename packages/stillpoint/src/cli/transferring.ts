/**
 * Flags and layers that the registry verbs share.
 *
 * @module
 */
import type { TransferOptions } from "@stillpoint/images"
import { Argument } from "effect/cli"
import { mebibytes } from "../report/mebibytes.ts"

export const place = Argument.String("place").pipe(Argument.withDescription("[docker://]REGISTRY/NAME[:TAG][@DIGEST]"))

/** A place as registries are named. */
export const referenceOf = (place: string): string => (place.includes("://") ? place : `docker://${place}`)

/** One line that says how far it is, how fast, and how long it takes, where there is a terminal; silence where not. */
export const watched = (json: boolean): TransferOptions => {
  if (!process.stderr.isTTY || json) return {}
  const begun = performance.now()
  return {
    onProgress: ({ doneBytes, totalBytes }) => {
      const seconds = (performance.now() - begun) / 1000
      const rate = seconds > 0 ? doneBytes / seconds : 0
      const left = rate > 0 ? `${Math.ceil((totalBytes - doneBytes) / rate)} s left` : ""
      const isDone = doneBytes === totalBytes
      const line = `${mebibytes(doneBytes)} of ${mebibytes(totalBytes)}, ${mebibytes(rate)}/s ${isDone ? "" : left}`
      process.stderr.write(`\r\u001B[K${line}${isDone ? "\n" : ""}`)
    }
  }
}
