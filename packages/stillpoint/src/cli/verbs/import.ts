/**
 * From an archive to a snapshot.
 *
 * @module
 */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { importSnapshot } from "../../archive/importSnapshot.ts"
import { mebibytes } from "../../report/mebibytes.ts"
import { answer } from "../Output.ts"
import { file, json, replace } from "../arguments.ts"
import { requireKey } from "../keys.ts"
import { namesWith } from "../layers.ts"
import { summary } from "../summary.ts"

export const importCommand = Command.make(
  "import",
  {
    file,
    name: Flag.String("name").pipe(Flag.withDescription("Name for the snapshot: NAME or NAME:TAG"), Flag.optional),
    replace,
    requireKey,
    json
  },
  ({ file, json, name, replace, requireKey }) =>
    Effect.gen(function* () {
      const kept = yield* importSnapshot(file, Option.getOrUndefined(name), { replace })
      yield* answer(json, summary(kept), [
        `${Option.getOrElse(name, () => kept.digest)}: ${mebibytes(kept.storedBytes)}`
      ])
    }).pipe(namesWith({ json, requireKey }))
).pipe(Command.withDescription("Import a snapshot from an archive"))
