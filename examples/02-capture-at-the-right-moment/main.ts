/**
 * Boots Linux in this process, captures it at two right moments, and restores three machines from each.
 *
 * `node --conditions=stillpoint-source main.ts [--json] [--keep DIRECTORY]`
 *
 * @module
 */
import { join } from "node:path"
import { parseArgs } from "node:util"
import { type GuestEvent, guestTimeInWords, Journal, type Machine, SnapshotStore } from "@stillpoint/core"
import { NativeAgent, NativeVmm } from "@stillpoint/native"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Layer } from "effect"
import { bootPicture } from "stillpoint"
import { asProgram, say, temporaryDirectory } from "../asProgram.ts"
import { askAClone, captureBoth, type Report, type Restore } from "./captureTwice.ts"
import { guest } from "./guest.ts"

/** Events worth a line while they stream by. */
const tell = (event: GuestEvent): void => {
  const at = guestTimeInWords(event.atNanos).padStart(14)
  if (event._tag === "SerialLine") say(`${at}  ${event.text}`)
  else if (
    !["GuestIdle", "GuestBusy", "IoStarted", "IoSettled", "PagesDirtied", "HeartbeatTick"].includes(event._tag)
  ) {
    say(`${at}  * ${event._tag}`)
  }
}

const workDirectory = (kept: string | undefined) =>
  kept === undefined ? temporaryDirectory("demo") : Effect.succeed(kept)

const inDirectory = Effect.fn("demo")(function* (directory: string) {
  const spec = yield* guest
  const events: Array<GuestEvent> = []
  const observe = (machine: Machine) =>
    Effect.sync(() => {
      machine.events$.subscribe((event) => {
        events.push(event)
        tell(event)
      })
    })

  say("Booting Linux in this process; its events, in guest time:\n")
  const { boot, captures } = yield* captureBoth(spec, directory, observe)

  say("\nThe boot:\n")
  const marks = captures.map(({ cause, guestNanos }) => ({ atNanos: guestNanos, label: `captured at ${cause}` }))
  for (const line of bootPicture(events, marks)) say(line)

  for (const { bytes, cause, guestNanos, pauseMs, why } of captures) {
    say(
      `\nCaptured at ${cause}: ${guestTimeInWords(guestNanos)} of guest time, pause ${pauseMs.toFixed(2)} ms, ${(bytes / 2 ** 20).toFixed(1)} MiB`
    )
    for (const line of why.split("\n")) say(`  ${line}`)
  }

  say("\nThree clones of each, each asked for its page:\n")
  const restores: Array<Restore> = []
  for (const { cause } of captures) {
    for (let index = 0; index < 3; index++) {
      const restored = yield* askAClone(cause, join(directory, cause))
      restores.push(restored)
      say(
        `  ${cause.padEnd(9)} ${restored.id}   ${restored.restoreToExecMs.toFixed(1).padStart(7)} ms from restore to the answer`
      )
    }
  }
  const ids = (cause: string) => new Set(restores.filter((restore) => restore.cause === cause).map(({ id }) => id)).size
  say(
    `\n  pre-exec: ${ids("pre-exec")} different ids, each clone ran the workload afresh; listener: ${ids("listener")}, the workload had drawn it`
  )
  say(
    `\nBoot to pre-exec: ${guestTimeInWords(boot.guestNanos)} of guest time in ${boot.hostMs.toFixed(0)} ms, ${boot.events} events`
  )

  const report: Report = {
    boot,
    captures: captures.map(({ bytes, cause, guestNanos, pauseMs, why }) => ({
      cause,
      guestNanos,
      pauseMs,
      bytes,
      why
    })),
    restores
  }
  return report
})

const { values } = parseArgs({ options: { json: { type: "boolean" }, keep: { type: "string" } } })

const program = Effect.scoped(
  Effect.gen(function* () {
    const directory = yield* workDirectory(values.keep)
    const layer = Layer.mergeAll(
      NativeVmm.layer,
      SnapshotStore.layerHost,
      Layer.provide(GuestKit.layer, NativeAgent.layer),
      Journal.layerSqlite({ path: join(directory, "runs.journal") })
    )
    const report = yield* Effect.provide(Effect.scoped(inDirectory(directory)), layer)
    if (values.json === true) say(JSON.stringify(report))
  })
)

await asProgram(program)
