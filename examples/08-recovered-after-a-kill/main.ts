/**
 * A run that is killed in the middle, and its recovery by the next process: the journal shows how far it had come.
 *
 * `node --conditions=stillpoint-source main.ts`
 *
 * @module
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Gate, Journal, Pipeline, ProgressListener, recoverRuns, SnapshotStore } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { NativeAgent, NativeVmm } from "@stillpoint/native"
import { onListener } from "@stillpoint/triggers"
import { Effect, Layer } from "effect"
import { asProgram, say, temporaryDirectory } from "../asProgram.ts"

const page = "mkdir -p /www; echo written before the kill > /www/index.html; exec httpd -f -p 8080 -h /www"

const request = { argv: ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"] } as const

/** The services of a program whose runs survive it: the journal is a file. */
const services = (directory: string) =>
  Layer.mergeAll(
    NativeVmm.layer,
    Layer.provide(GuestKit.layer, NativeAgent.layer),
    SnapshotStore.layerHost,
    Journal.layerSqlite({ path: join(directory, "runs.journal") })
  )

const targetIn = (directory: string): string => join(directory, "web")

/** Captures a web server, and is killed when a stage of its run begins. */
const captureUntil = (directory: string, stage: string) =>
  Effect.gen(function* () {
    const spec = yield* (yield* GuestKit).guest({ workload: { argv: ["/bin/sh", "-c", page] } })
    yield* Pipeline.run(spec, {
      policy: onListener({ port: 8080 }),
      target: targetIn(directory),
      replace: true,
      validate: Pipeline.execProbe(request),
      prefetch: true
    })
  }).pipe(
    Effect.scoped,
    Effect.provideService(ProgressListener, (progress) =>
      Effect.sync(() => {
        if (progress.stage === stage && progress.status === "started") process.kill(process.pid, "SIGKILL")
      })
    ),
    Effect.provide(services(directory))
  )

/** Starts this program again, as the process that does not survive; returns the signal that ended it. */
const killedAt = (directory: string, stage: string) =>
  Effect.promise(async () => {
    const args = ["--conditions=stillpoint-source", "--no-warnings", fileURLToPath(import.meta.url), directory, stage]
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] })
    const [, signal] = (await once(child, "exit")) as [number | null, string | null]
    return signal
  })

/** The start of a program: it ends the runs that the last one left, and shows the result. */
const startAgain = (directory: string) =>
  Effect.gen(function* () {
    const { ended, failed } = yield* recoverRuns
    const said = ended.map(({ is, was }) => `  its run was ${was} and is ${is}`)
    for (const { _tag } of failed) said.push(`  not recovered: ${_tag}`)
    for (const line of said.length > 0 ? said : ["  its run had ended"]) say(line)
    const found = yield* Effect.result((yield* SnapshotStore).open(targetIn(directory)))
    if (found._tag === "Failure") return say(`  no clone: ${found.failure.reason._tag}`)
    const { machine } = yield* Gate.restore(found.success.directory)
    const { stdout } = yield* machine.exec(request)
    say(`  a clone answers: ${new TextDecoder().decode(stdout).trim()}`)
  }).pipe(Effect.scoped, Effect.provide(services(directory)))

const program = Effect.gen(function* () {
  const directory = yield* temporaryDirectory("recovered")
  for (const stage of ["publish", "validate", "prefetch"]) {
    say(`killed when it began to ${stage}: ${yield* killedAt(directory, stage)}`)
    yield* startAgain(directory)
  }
})

const [directory, stage] = process.argv.slice(2)
await asProgram(
  directory === undefined || stage === undefined ? Effect.scoped(program) : captureUntil(directory, stage)
)
