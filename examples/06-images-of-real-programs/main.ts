/**
 * Boots images of real programs, captures each at two right moments with its memory and its disks in one instant, and asks three
 * clones of each.
 *
 * `node --conditions=stillpoint-source main.ts [--json] [NAME…]`: redis and python, if no names are given. The images are those that
 * `make images` builds.
 *
 * @module
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { guestTimeInWords, Journal, SnapshotStore } from "@stillpoint/core"
import { Images } from "@stillpoint/images"
import { GuestKit } from "@stillpoint/kit"
import { NativeAgent, NativeVmm } from "@stillpoint/native"
import { Effect, Layer } from "effect"
import { asProgram, say, temporaryDirectory } from "../asProgram.ts"
import { type ProgramReport, proveProgram } from "./proveProgram.ts"

/** The folder of the test images. */
export const layout = fileURLToPath(new URL("../../.cache/test-images/layout", import.meta.url))

const tell = ({ buildMs, captures, clones, imageBytes, name }: ProgramReport): void => {
  say(`${name}: an image of ${(imageBytes / 1e6).toFixed(1)} MB, ready after ${buildMs.toFixed(0)} ms`)
  for (const { bytes, cause, guestNanos, pauseMs } of captures) {
    const size = `${(bytes / 2 ** 20).toFixed(1)} MiB`
    say(
      `  captured at ${cause}: ${guestTimeInWords(guestNanos)} of guest time, pause ${pauseMs.toFixed(2)} ms, ${size}`
    )
  }
  for (const { answer, cause, identity, restoreToAnswerMs } of clones) {
    const who = identity.slice(0, 8)
    say(
      `  clone ${who} (${cause}): ${JSON.stringify(answer)} ${restoreToAnswerMs.toFixed(0)} ms after the call of restore`
    )
  }
}

const { positionals, values } = parseArgs({ options: { json: { type: "boolean" } }, allowPositionals: true })

const program = Effect.scoped(
  Effect.gen(function* () {
    if (!existsSync(join(layout, "index.json"))) {
      return yield* Effect.fail(new Error(`expected test images in ${layout}, found none: make images`))
    }
    const directory = yield* temporaryDirectory("programs")
    const layer = Layer.mergeAll(
      NativeVmm.layer,
      SnapshotStore.layerHost,
      Layer.provide(GuestKit.layer, NativeAgent.layer),
      Images.layer({ cacheDirectory: join(directory, "images") }),
      Journal.layerMemory
    )
    const reports = yield* Effect.forEach(positionals.length === 0 ? ["redis", "python"] : positionals, (name) =>
      Effect.scoped(proveProgram(name, layout, directory)).pipe(Effect.tap((report) => Effect.sync(() => tell(report))))
    ).pipe(Effect.provide(layer))
    if (values.json === true) say(JSON.stringify(reports))
  })
)

await asProgram(program)
