/**
 * From a snapshot to an archive.
 *
 * @module
 */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { exportSnapshot } from "../../archive/exportSnapshot.ts"
import { mebibytes } from "../../report/mebibytes.ts"
import { answer, note } from "../Output.ts"
import { file, json, reference } from "../arguments.ts"
import { namesWith } from "../layers.ts"

export const exportCommand = Command.make("export", { reference, file, json }, ({ file, json, reference }) =>
  Effect.gen(function* () {
    const exported = yield* exportSnapshot(reference, file)
    // On standard output stands the archive.
    if (file === "-") yield* note(`${mebibytes(exported.sizeBytes)} exported`)
    else yield* answer(json, exported, [`${file}: ${mebibytes(exported.sizeBytes)}`])
  }).pipe(namesWith({ json }))
).pipe(Command.withDescription("Write a snapshot to a single archive"))
