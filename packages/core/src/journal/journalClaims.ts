/**
 * Claims on names, each held as a lock on a file beside a journal.
 *
 * ```text
 * <journal>-claims/<first 32 digits of the name's SHA-256>   empty; held while the claim lasts
 * ```
 *
 * @module
 */
import { createHash } from "node:crypto"
import { realpathSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import type { FileFault, FileUnfit } from "../files/FileErrors.ts"
import { hostFiles } from "../files/hostFiles.ts"
import { JournalError } from "./JournalErrors.ts"
import { claimsOf } from "./journalGuard.ts"
import type { JournalShape } from "./JournalShape.ts"

const asJournalError =
  (path: string, directory: string) =>
  (fault: FileFault | FileUnfit): JournalError => {
    const code = fault._tag === "FileFault" ? fault.code : ""
    if (["EACCES", "EPERM", "EROFS"].includes(code)) {
      return new JournalError({ reason: { _tag: "ReadOnly", path: directory, what: "directory" } })
    }
    if (["ENOSPC", "EDQUOT"].includes(code)) return new JournalError({ reason: { _tag: "DiskFull", path } })
    return new JournalError({ reason: { _tag: "Unreadable", path, detail: fault.message } })
  }

/** Claims beside the journal file at `path`, which exists. */
export const journalClaims = (path: string): Pick<JournalShape, "claim"> => {
  // A journal has one folder of claims, whichever link it is opened through.
  const directory = Effect.try({
    try: () => claimsOf(realpathSync(path)),
    catch: () => new JournalError({ reason: { _tag: "Displaced", path, found: "nothing" } })
  })
  return {
    claim: (name) =>
      Effect.gen(function* () {
        const folder = yield* directory
        const file = join(folder, createHash("sha256").update(name).digest("hex").slice(0, 32))
        const claimed = Effect.andThen(hostFiles.makeDirectory(folder), hostFiles.hold(file, { create: true }))
        const outcome = yield* Effect.mapError(claimed, asJournalError(path, folder))
        return outcome === "held" ? { retire: Effect.ignore(hostFiles.removeTree(file)) } : null
      })
  }
}
