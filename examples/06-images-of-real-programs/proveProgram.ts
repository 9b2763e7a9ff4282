/**
 * One image of a real program: booted on an empty volume and written to, booted again and captured at two right moments, cloned.
 *
 * @module
 */
import { join } from "node:path"
import { type BootSpec, Gate, type Machine, Pipeline, Vmm } from "@stillpoint/core"
import { Images } from "@stillpoint/images"
import { GuestKit } from "@stillpoint/kit"
import { SnapshotResources } from "@stillpoint/triggers"
import { Effect } from "effect"
import { type Program, programs } from "./programs.ts"

/** A clone: what its program answered, who it is, and how long the answer took from the call of restore. */
export interface ProgramClone {
  readonly cause: "pre-exec" | "listener"
  readonly answer: string
  readonly identity: string
  readonly restoreToAnswerMs: number
}

/** The results of one program. */
export interface ProgramReport {
  readonly name: string
  readonly imageBytes: number
  readonly buildMs: number
  readonly captures: ReadonlyArray<{
    readonly cause: ProgramClone["cause"]
    readonly guestNanos: number
    readonly pauseMs: number
    readonly bytes: number
  }>
  readonly clones: ReadonlyArray<ProgramClone>
}

const volumeBytes = 256 * 2 ** 20

const causes = ["pre-exec", "listener"] as const

const policies = {
  "pre-exec": new SnapshotResources({ onPreExec: true }).toPolicy(),
  // The server's work after it begins to listen is in the snapshot too.
  listener: new SnapshotResources({ onListener: true, quiesceMs: 5 }).toPolicy()
}

const run = Effect.fnUntraced(function* (machine: Machine, argv: ReadonlyArray<string>) {
  const { code, signal, stderr, stdout } = yield* machine.exec({ argv })
  if (code === 0) return new TextDecoder().decode(stdout)
  const said = new TextDecoder().decode(stderr).trim()
  return yield* Effect.die(
    new Error(`expected ${argv.join(" ")} to succeed, found code ${code}, signal ${signal}: ${said}`)
  )
})

/** Guest time between two requests, and the number of requests. */
const betweenNanos = 50_000_000
const mostQuestions = 200

/** Asks until it is answered: a database listens before it has read its log, and says until then that it is starting. */
const answered = Effect.fnUntraced(function* (machine: Machine, argv: ReadonlyArray<string>) {
  for (let question = 1; question < mostQuestions; question++) {
    const { code, stdout } = yield* machine.exec({ argv })
    if (code === 0) return new TextDecoder().decode(stdout)
    yield* machine.run({ budgetNanos: betweenNanos })
  }
  return yield* run(machine, argv)
})

const listening = Effect.fnUntraced(function* (machine: Machine) {
  const { reason } = yield* machine.run({ kinds: ["ListenerBound", "WorkloadExited", "WorkloadFailed"] })
  const last = (yield* machine.eventsSoFar()).at(-1)
  if (reason !== "event" || last?._tag !== "ListenerBound") {
    const lines = (yield* machine.eventsSoFar()).flatMap((event) => (event._tag === "SerialLine" ? [event.text] : []))
    const said = lines.slice(-20).join("\n")
    return yield* Effect.die(new Error(`expected a listener, found ${last?._tag ?? reason}; the guest said:\n${said}`))
  }
})

const askAClone = (cause: ProgramClone["cause"], snapshot: string, program: Program) =>
  Effect.scoped(
    Effect.gen(function* () {
      const begun = performance.now()
      const { machine } = yield* Gate.restore(snapshot)
      if (cause === "pre-exec") yield* listening(machine)
      const answer = yield* answered(machine, program.read)
      const restoreToAnswerMs = performance.now() - begun
      const identity = yield* run(machine, ["cat", "/etc/machine-id", "/etc/hostname", "/proc/sys/kernel/random/uuid"])
      return { cause, answer, identity, restoreToAnswerMs } satisfies ProgramClone
    })
  )

/** Takes one program of the layout through its whole life; snapshots and its volume are in `directory`. */
export const proveProgram = Effect.fn("proveProgram")(function* (name: string, layout: string, directory: string) {
  const program = programs[name]
  if (program === undefined) {
    return yield* Effect.die(new Error(`expected one of ${Object.keys(programs).join(", ")}, found ${name}`))
  }
  const begun = performance.now()
  const image = yield* Images.use((images) => images.resolve(`oci:${layout}:${name}`))
  const buildMs = performance.now() - begun
  const kit = yield* GuestKit
  const volume = { name: "data", access: "volume" as const, source: join(directory, `${name}.volume`) }
  const specOn = (sizeBytes?: number) =>
    Effect.map(
      kit.bootSpec({
        image,
        ...(program.data === null
          ? {}
          : { disks: [{ ...volume, path: program.data, ...(sizeBytes === undefined ? {} : { sizeBytes }) }] })
      }),
      (spec): BootSpec => ({ ...spec, memoryMib: program.memoryMib, seed: 1 })
    )

  if (program.data !== null) {
    // On an empty volume, which the guest formats; switched off, it leaves its data there.
    yield* Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot(yield* specOn(volumeBytes))
        yield* listening(machine)
        for (const command of program.write) yield* answered(machine, command)
        yield* machine.agent.powerOff({ within: "30 seconds" })
      })
    )
  }

  const results = yield* Pipeline.sideBySide(
    yield* specOn(),
    causes.map((cause) => ({
      name: `${name} at ${cause}`,
      policy: policies[cause],
      target: join(directory, `${name}-${cause}`),
      // A program without data on a disk keeps it in memory.
      ...(cause === "listener" && program.data === null ? { warmUp: program.write.map((argv) => ({ argv })) } : {})
    }))
  )
  const taken = yield* Effect.forEach(results, Effect.fromResult)
  const clones = yield* Effect.forEach(
    causes.flatMap((cause) => [cause, cause, cause]),
    (cause) => askAClone(cause, join(directory, `${name}-${cause}`), program)
  )
  return {
    name,
    imageBytes: image.sizeBytes,
    buildMs,
    captures: taken.map(({ value: { firing, pauseNanos, storedBytes } }, index) => ({
      cause: causes[index] ?? "pre-exec",
      guestNanos: firing.atNanos,
      pauseMs: pauseNanos / 1e6,
      bytes: storedBytes
    })),
    clones
  } satisfies ProgramReport
})
