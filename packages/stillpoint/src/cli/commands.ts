/**
 * The verbs of the command line.
 *
 * @module
 */
import { writeFile } from "node:fs/promises"
import {
  guestTimeInWords,
  progressDisplay,
  serve,
  type Snapshot,
  Snapshots,
  type StoredSnapshot
} from "@stillpoint/core"
import { Effect, Layer, Option, Schema, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { exportSnapshot } from "../archive/exportSnapshot.ts"
import { importSnapshot } from "../archive/importSnapshot.ts"
import { mebibytes } from "../report/mebibytes.ts"
import { snapshotReport } from "../report/snapshotReport.ts"
import { bake, usualMoment } from "../sandbox/bake.ts"
import { explainSnapshot, poolOf, Sandbox } from "../sandbox/Sandbox.ts"
import { stillpointLayer } from "../sandbox/stillpointLayer.ts"
import { examine } from "./doctor.ts"
import { Ended } from "./exitCode.ts"
import { answer, note, table, write } from "./Output.ts"

/** An argument that no schema of a flag can refuse by itself. */
export class ArgumentInvalid extends Schema.TaggedError<ArgumentInvalid>()("ArgumentInvalid", {
  argument: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.argument}: expected ${this.expected}, found ${this.found}`
  }
}

const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print the result as one line of JSON, and nothing else, to standard output"),
  Flag.withDefault(false)
)
const reference = Argument.String("snapshot").pipe(Argument.withDescription("NAME, NAME:TAG or a digest"))
const command = Argument.String("command").pipe(
  Argument.variadic({ min: 1 }),
  Argument.withDescription("After --: the program and its arguments")
)
const replace = Flag.Boolean("replace").pipe(
  Flag.withDescription("Take the name from the snapshot that has it"),
  Flag.withDefault(false)
)

const sandboxes = Effect.provide(stillpointLayer())
const names = Effect.provide(Snapshots.layerHost())

/** Progress where there is a terminal, silence where not. */
const progress = (json: boolean) => (process.stderr.isTTY && !json ? progressDisplay() : Layer.empty)

const doctor = Command.make("doctor", { json }, ({ json }) =>
  Effect.gen(function* () {
    const checks = yield* examine
    const ok = checks.every((check) => check.ok)
    yield* answer(
      json,
      { ok, checks },
      table(checks.map(({ detail, name, ok }) => [ok ? "ok" : "MISSING", name, detail]))
    )
    if (!ok) return yield* Effect.fail(new Ended(1))
  })
).pipe(Command.withDescription("Say what works on this machine, and what is missing"))

const bakeCommand = Command.make(
  "bake",
  {
    image: Argument.String("image").pipe(
      Argument.withDescription("kit:httpd, oci:FOLDER[:TAG], docker-archive:FILE or docker://REGISTRY/NAME[:TAG]")
    ),
    at: Flag.String("at").pipe(
      Flag.withDescription(`When to capture: an expression, or JSON; ${usualMoment} if absent`),
      Flag.withDefault(usualMoment)
    ),
    name: Flag.String("name").pipe(Flag.withDescription("NAME or NAME:TAG of the snapshot"), Flag.optional),
    memory: Flag.Int("memory").pipe(Flag.withDescription("Guest memory in MiB"), Flag.optional),
    replace,
    json
  },
  ({ at, image, json, memory, name, replace }) => {
    const options = {
      image,
      captureAt: at,
      replace,
      ...(Option.isSome(name) ? { name: name.value } : {}),
      ...(Option.isSome(memory) ? { memoryMib: memory.value } : {})
    }
    return bake(options).pipe(
      Effect.provide(progress(json)),
      Effect.tap((baked) =>
        answer(json, baked, [
          `${baked.name ?? baked.snapshot}: captured at ${baked.cause}, ${guestTimeInWords(baked.guestNanos)} of guest time, ` +
            `pause ${baked.pauseMs.toFixed(2)} ms, ${mebibytes(baked.storedBytes)}`,
          baked.why
        ])
      ),
      sandboxes
    )
  }
).pipe(
  Command.withDescription("Boot an image, capture it at a moment, and keep the snapshot"),
  Command.withExamples([
    {
      command: "stillpoint bake kit:httpd --at 'listener:8080 & calm 20ms | after 10s' --name web",
      description: "A web server, captured when it listens and has come to rest"
    },
    {
      command: "stillpoint bake oci:./layout:latest --at pre-exec --name job",
      description: "Before its first instruction"
    }
  ])
)

/** Runs a command in a sandbox with its output as it comes; its exit status as a shell says it. */
const runIn = (sandbox: Sandbox, argv: ReadonlyArray<string>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const process_ = yield* sandbox.spawn({ argv, pace: "asFastAsPossible" })
      yield* process_.endInput
      yield* Effect.all(
        [
          Stream.runForEach(process_.stdout, (bytes) => write(process.stdout, bytes)),
          Stream.runForEach(process_.stderr, (bytes) => write(process.stderr, bytes))
        ],
        { concurrency: "unbounded" }
      )
      return statusOf(yield* process_.exit)
    })
  )

const statusOf = ({ code, signal }: { readonly code: number | null; readonly signal: number | null }): number =>
  code ?? 128 + (signal ?? 0)

/** A failure of ours beside the status of a command. */
const notTheCommands = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, Ended | ArgumentInvalid, R> =>
  Effect.matchEffect(work, {
    onSuccess: (value) => Effect.succeed(value),
    onFailure: (error): Effect.Effect<never, Ended | ArgumentInvalid> =>
      error instanceof Ended || error instanceof ArgumentInvalid
        ? Effect.fail(error)
        : Effect.andThen(
            note(`stillpoint: ${error instanceof Error ? error.message : String(error)}`),
            Effect.fail(new Ended(125))
          )
  })

const exec = Command.make("exec", { reference, command, json }, ({ command, json, reference }) =>
  Effect.gen(function* () {
    const sandbox = yield* Sandbox.of(reference)
    if (!json) {
      const status = yield* runIn(sandbox, command)
      return status === 0 ? undefined : yield* Effect.fail(new Ended(status))
    }
    const result = yield* sandbox.exec(command)
    yield* answer(true, result, [])
    const status = statusOf(result)
    if (status !== 0) return yield* Effect.fail(new Ended(status))
  }).pipe(Effect.scoped, sandboxes, notTheCommands)
).pipe(
  Command.withDescription("Run a command in a clone of its own; ends with the command's exit status"),
  Command.withExamples([{ command: "stillpoint exec web -- sh -c 'hostname; cat /etc/machine-id'" }])
)

const mostClones = 1000

const fork = Command.make(
  "fork",
  {
    reference,
    count: Flag.Int("count").pipe(Flag.withDescription("How many clones; 2 if absent"), Flag.withDefault(2)),
    command,
    json
  },
  ({ command, count, json, reference }) =>
    Effect.gen(function* () {
      if (count < 1 || count > mostClones) {
        return yield* new ArgumentInvalid({ argument: "--count", expected: `1 to ${mostClones}`, found: String(count) })
      }
      const original = yield* Sandbox.of(reference)
      const statuses: Array<number> = []
      const clones: Array<unknown> = []
      for (let index = 0; index < count; index++) {
        const [clone] = yield* original.fork(1)
        if (clone === undefined) continue
        const result = yield* clone.exec(command)
        statuses.push(statusOf(result))
        if (json) clones.push({ index, ...result })
        else {
          yield* write(process.stdout, result.stdout)
          yield* write(process.stderr, result.stderr)
        }
      }
      if (json) yield* answer(true, { clones }, [])
      const failed = statuses.find((status) => status !== 0)
      if (failed !== undefined) return yield* Effect.fail(new Ended(failed))
    }).pipe(Effect.scoped, sandboxes, notTheCommands)
).pipe(
  Command.withDescription(
    "Run a command in several clones, one after the other; ends with the first status that is not 0"
  ),
  Command.withExamples([{ command: "stillpoint fork web --count 3 -- cat /proc/sys/kernel/random/uuid" }])
)

const summary = ({
  children,
  digest,
  manifest,
  names,
  namedAtMillis,
  parent,
  problem,
  storedBytes
}: StoredSnapshot) => ({
  snapshot: digest,
  names,
  namedAt: namedAtMillis === null ? null : new Date(namedAtMillis).toISOString(),
  engine: manifest?.engine ?? null,
  memoryMib: manifest?.memoryMib ?? null,
  guestNanos: manifest?.capture.atNanos ?? null,
  storedBytes,
  parent,
  children,
  problem
})

const ls = Command.make("ls", { json }, ({ json }) =>
  Effect.gen(function* () {
    const all = yield* Snapshots.use(({ list }) => list)
    const rows = all.map(({ digest, manifest, names, problem, storedBytes }) => [
      names.length === 0 ? "-" : names.join(", "),
      digest.slice(0, 12),
      manifest === null ? "-" : guestTimeInWords(manifest.capture.atNanos),
      mebibytes(storedBytes),
      problem ?? "ok"
    ])
    yield* answer(json, { snapshots: all.map(summary) }, [
      ...(all.length === 0
        ? ["no snapshots yet; make one with: stillpoint bake kit:httpd --name web"]
        : table([["NAME", "DIGEST", "CAPTURED AT", "SIZE", "STATE"], ...rows]))
    ])
  }).pipe(names)
).pipe(Command.withDescription("List the snapshots"))

const inspect = Command.make("inspect", { reference, json }, ({ json, reference }) =>
  Effect.gen(function* () {
    const found = yield* Snapshots.use((snapshots) => snapshots.inspect(reference))
    const { directory, manifest } = found
    const { digest: _digest, files, ...said } = manifest ?? { digest: null, files: [] }
    const value = { ...summary(found), directory, ...said, files }
    yield* answer(json, value, [JSON.stringify(value, null, 2)])
  }).pipe(names)
).pipe(Command.withDescription("Show everything that is known of a snapshot"))

const explain = Command.make("explain", { reference, json }, ({ json, reference }) =>
  Effect.gen(function* () {
    const snapshot: Snapshot = yield* Snapshots.use(({ get }) => get(reference, { allowUnvalidated: true }))
    const why = explainSnapshot(snapshot)
    const { digest } = snapshot.manifest
    yield* answer(json, { snapshot: digest, why }, [
      why ?? "it was taken by hand, from a sandbox that was running: no policy decided"
    ])
  }).pipe(names)
).pipe(Command.withDescription("Say why a snapshot was taken when it was"))

const verify = Command.make("verify", { reference, json }, ({ json, reference }) =>
  Effect.gen(function* () {
    const found = yield* Snapshots.use((snapshots) => snapshots.verify(reference))
    yield* answer(json, { snapshot: found.digest, ok: true, storedBytes: found.storedBytes }, [
      `${reference}: whole, ${mebibytes(found.storedBytes)} read and compared with ${found.digest.slice(0, 12)}`
    ])
  }).pipe(sandboxes)
).pipe(Command.withDescription("Check every byte of a snapshot"))

const out = Flag.String("out").pipe(
  Flag.withDescription("The page that is written; report.html if absent"),
  Flag.withDefault("report.html")
)

const report = Command.make("report", { reference, out, json }, ({ json, out, reference }) =>
  Effect.gen(function* () {
    const page = yield* snapshotReport(reference)
    yield* Effect.tryPromise({
      try: () => writeFile(out, page),
      catch: (cause) =>
        new Error(`${out} could not be written: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`)
    })
    yield* answer(json, { report: out, sizeBytes: Buffer.byteLength(page) }, [out])
  }).pipe(sandboxes)
).pipe(Command.withDescription("Write one page that shows a snapshot, its boot and its run"))

const file = Argument.String("file").pipe(Argument.withDescription("A tar archive; - for standard input or output"))

const exportCommand = Command.make("export", { reference, file, json }, ({ file, json, reference }) =>
  Effect.gen(function* () {
    const exported = yield* exportSnapshot(reference, file)
    // On standard output stands the archive.
    if (file === "-") yield* note(`${mebibytes(exported.sizeBytes)} exported`)
    else yield* answer(json, exported, [`${file}: ${mebibytes(exported.sizeBytes)}`])
  }).pipe(names)
).pipe(Command.withDescription("Write a snapshot to one archive"))

const importCommand = Command.make(
  "import",
  { file, name: Flag.String("name").pipe(Flag.withDescription("Its name here"), Flag.optional), replace, json },
  ({ file, json, name, replace }) =>
    Effect.gen(function* () {
      const kept = yield* importSnapshot(file, Option.getOrUndefined(name), { replace })
      yield* answer(json, summary(kept), [`${kept.names[0] ?? kept.digest}: ${mebibytes(kept.storedBytes)}`])
    }).pipe(names)
).pipe(Command.withDescription("Take the snapshot of an archive into the store"))

const rm = Command.make("rm", { reference, json }, ({ json, reference }) =>
  Effect.gen(function* () {
    const removed = yield* Snapshots.use((snapshots) => snapshots.remove(reference))
    const { digest, isGone } = removed
    yield* answer(json, { snapshot: digest, names: removed.names, removed: isGone }, [
      isGone ? `${reference}: removed` : `${reference}: the name is gone; the snapshot has others`
    ])
  }).pipe(names)
).pipe(Command.withDescription("Remove a name, and the snapshot with its last name; by digest, with all of them"))

const tag = Command.make(
  "tag",
  { reference, name: Argument.String("name").pipe(Argument.withDescription("NAME or NAME:TAG")), replace, json },
  ({ json, name, reference, replace }) =>
    Effect.gen(function* () {
      const found = yield* Snapshots.use((snapshots) => snapshots.tag(reference, name, { replace }))
      yield* answer(json, summary(found), [found.names.join(", ")])
    }).pipe(names)
).pipe(Command.withDescription("Give a snapshot one more name"))

const published = /^(?:((?:\d{1,3}\.){3}\d{1,3}):)?(\d{1,5}):(\d{1,5})$/

const perRequest = Flag.Boolean("clone-per-request").pipe(
  Flag.withDescription("Answer each HTTP/1.1 request with a clone of its own"),
  Flag.withDefault(false)
)
const perConnection = Flag.Boolean("clone-per-connection").pipe(
  Flag.withDescription("Give each TCP connection a clone of its own"),
  Flag.withDefault(false)
)

/** Clones that stand ready while they are served. */
const readyClones = 2

const serveCommand = Command.make(
  "serve",
  {
    reference,
    publish: Flag.String("publish").pipe(Flag.withDescription("[ADDRESS:]PORT:GUESTPORT; port 0 for any that is free")),
    perRequest,
    perConnection,
    json
  },
  ({ json, perConnection, perRequest, publish, reference }) =>
    Effect.gen(function* () {
      const [, host, hostPort, guestPort] = published.exec(publish) ?? []
      if (hostPort === undefined || guestPort === undefined) {
        return yield* new ArgumentInvalid({
          argument: "--publish",
          expected: "[ADDRESS:]PORT:GUESTPORT",
          found: publish
        })
      }
      const where = {
        guestPort: Number(guestPort),
        hostPort: Number(hostPort),
        ...(host === undefined ? {} : { host })
      }
      const per = perRequest ? "request" : perConnection ? "connection" : null
      const port =
        per === null
          ? yield* (yield* Sandbox.of(reference)).publish(where)
          : yield* serve({ ...where, per, pool: yield* poolOf(reference, readyClones) })
      const leads = per === null ? "leads to a clone" : `gives each ${per} a clone`
      yield* answer(json, { host: port.host, hostPort: port.hostPort, guestPort: where.guestPort, per }, [
        `http://${port.host}:${port.hostPort} ${leads} of ${reference}`
      ])
      return yield* Effect.never
    }).pipe(Effect.scoped, sandboxes)
).pipe(
  Command.withDescription(
    "Publish a port until it is interrupted: of one clone that all share, or of one for each request"
  ),
  Command.withExamples([
    { command: "stillpoint serve web --publish 127.0.0.1:8080:8080 --clone-per-request" },
    { command: "stillpoint serve web --publish 8080:8080", description: "Whoever connects shares one clone" }
  ])
)

/** The whole command line. */
export const stillpoint = Command.make("stillpoint").pipe(
  Command.withDescription(
    "Boot an image, capture it at the right moment, and have clones of it.\n" +
      "Ends with 0 when done, 1 when it failed, 2 for what makes no sense, 3 for an unknown snapshot, 4 where the store stands against it; " +
      "exec and fork end with the command's own status, and 125 if stillpoint failed."
  ),
  Command.withSubcommands([
    doctor,
    bakeCommand,
    exec,
    fork,
    serveCommand,
    ls,
    inspect,
    explain,
    verify,
    report,
    exportCommand,
    importCommand,
    tag,
    rm
  ])
)
