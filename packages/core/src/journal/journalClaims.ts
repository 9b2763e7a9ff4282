/**
 * Claims on names, each held as a lock on a file beside a journal.
 *
 * ```text
 * <journal>-claims/<first 32 digits of the name's SHA-256>   empty; locked while the claim lasts, removed at its end
 * <journal>-claims/sweep                                     empty; locked while claims are swept
 * ```
 *
 * A killed process leaves its file, and a sweep removes it. Whoever removes a file has its lock, and a lock counts only if its
 * file is still the one at its path (`holdFile.ts`): so a claim is never without its file. A sweep locks each file that it looks
 * at for a moment, also that of a claim which is just being made: who finds a file locked waits for the sweep and looks again.
 *
 * @module
 */
import { createHash } from "node:crypto"
import { realpathSync } from "node:fs"
import { join } from "node:path"
import { Effect, Scope } from "effect"
import { FileFault, type FileUnfit } from "../files/FileErrors.ts"
import { hostFiles } from "../files/hostFiles.ts"
import { waitToHold } from "../files/waitToHold.ts"
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

const isClaim = (name: string): boolean => /^[0-9a-f]{32}$/.test(name)

/** Removes a file that this process has locked, if it is still the one at its path. */
const removeHeld = (file: string, inode: string | undefined) =>
  Effect.ignore(
    Effect.flatMap(hostFiles.inspect(file), (found) =>
      found !== null && found.inode === inode ? hostFiles.removeTree(file) : Effect.void
    )
  )

/** Sees to it that a file goes before the lock on it does. */
const removedAtEnd = Effect.fnUntraced(function* (file: string) {
  const inode = (yield* hostFiles.inspect(file))?.inode
  yield* Effect.addFinalizer(() => removeHeld(file, inode))
})

/** Holds a file until the scope closes, and then removes it; whether it was free. */
const take = (file: string, options: { readonly create: boolean }) =>
  Effect.uninterruptible(
    Effect.flatMap(hostFiles.hold(file, options), (outcome) =>
      outcome === "held" ? Effect.as(removedAtEnd(file), true) : Effect.succeed(false)
    )
  )

/** Waits until nobody sweeps, and lets nobody begin until the scope closes. */
const sweepTurn = (folder: string) => {
  const file = join(folder, "sweep")
  const busy = () => new FileFault({ operation: "hold", path: file, code: "EBUSY" })
  return Effect.andThen(waitToHold(hostFiles, file, busy), removedAtEnd(file))
}

/** Claims beside the journal file at `path`, which exists. */
export const journalClaims = (path: string): Pick<JournalShape, "claim" | "sweepClaims"> => {
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
        const claimed = Effect.gen(function* () {
          yield* hostFiles.makeDirectory(folder)
          if (yield* take(file, { create: true })) return true
          const scope = yield* Effect.scope
          const again = take(file, { create: true }).pipe(Scope.provide(scope))
          return yield* Effect.scoped(Effect.andThen(sweepTurn(folder), again))
        })
        return yield* Effect.mapError(claimed, asJournalError(path, folder))
      }),
    sweepClaims: Effect.gen(function* () {
      const folder = yield* directory
      const sweep = Effect.gen(function* () {
        if ((yield* hostFiles.inspect(folder)) === null) return 0
        yield* sweepTurn(folder)
        let count = 0
        for (const name of (yield* hostFiles.list(folder)).filter(isClaim)) {
          if (yield* Effect.scoped(take(join(folder, name), { create: false }))) count += 1
        }
        return count
      })
      return yield* Effect.mapError(Effect.scoped(sweep), asJournalError(path, folder))
    })
  }
}
