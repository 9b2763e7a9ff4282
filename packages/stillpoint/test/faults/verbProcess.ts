/**
 * A process that does one thing to the store of a folder: `node verbProcess.ts VERB FOLDER ARCHIVE`. It ends with 0 if that is done,
 * and with 3 if it failed by name.
 *
 * @module
 */
import { Effect, Layer } from "effect"
import { Artifacts } from "@stillpoint/images"
import { inFolder, verbs } from "./storeVerbs.ts"

const [name = "", folder = "", archive = ""] = process.argv.slice(2)
const none = Effect.die("no registry here")
const artifacts = Layer.succeed(Artifacts, { push: () => none, manifest: () => none, fetch: () => none })
const verb = verbs[name]
if (verb === undefined) throw new Error(`no verb ${name}`)
const done = await inFolder(folder, artifacts, Effect.result(verb(folder, { template: "", archive, artifacts })))
process.exitCode = done._tag === "Success" ? 0 : 3
