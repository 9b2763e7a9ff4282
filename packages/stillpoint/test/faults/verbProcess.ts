/**
 * A process that does one thing to the store of a folder: `node verbProcess.ts VERB FOLDER PREPARED`. It ends with 0 if that is done,
 * and with 3 if it failed by name.
 *
 * @module
 */
import { Effect } from "effect"
import { inFolder, preparedIn, verbs } from "./storeVerbs.ts"

const [name = "", folder = "", base = ""] = process.argv.slice(2)
const prepared = preparedIn(base)
const verb = verbs[name]
if (verb === undefined) throw new Error(`no verb ${name}`)
const done = await inFolder(folder, prepared, Effect.result(verb(folder, prepared)))
process.exitCode = done._tag === "Success" ? 0 : 3
