/**
 * The timeline of a boot.
 *
 * @module
 */
import { captureRecording, Vmm, writeWhole } from "@stillpoint/core"
import { Effect, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { mebibytes } from "../../report/mebibytes.ts"
import { imageSpec } from "../../sandbox/imageSpec.ts"
import { ArgumentInvalid } from "../ArgumentInvalid.ts"
import { answer, write } from "../Output.ts"
import { json } from "../arguments.ts"
import { env, guestOf, image, memory, platform, workload } from "../imageArguments.ts"
import { sandboxesWith } from "../layers.ts"

const mostSeconds = 3600

export const recordCommand = Command.make(
  "record",
  {
    image,
    memory,
    platform,
    env,
    workload,
    seconds: Flag.Int("seconds").pipe(
      Flag.withDescription("Seconds of guest time to record (default: 10)"),
      Flag.withDefault(10)
    ),
    out: Flag.String("out").pipe(
      Flag.withDescription("Where to write the recording (default: boot.jsonl); - is standard output"),
      Flag.withDefault("boot.jsonl")
    ),
    json
  },
  ({ json, out, seconds, ...asked }) =>
    Effect.gen(function* () {
      if (seconds < 1 || seconds > mostSeconds) {
        const expected = `1 to ${mostSeconds}`
        return yield* new ArgumentInvalid({ argument: "--seconds", expected, found: String(seconds) })
      }
      const { spec } = yield* imageSpec(guestOf(asked))
      const machine = yield* Vmm.use((vmm) => vmm.boot(spec))
      yield* machine.run({ atNanos: seconds * 1e9 })
      const recording = yield* captureRecording(machine, spec, [])
      if (out === "-") return yield* write(process.stdout, recording)
      const { length: events } = yield* machine.eventsSoFar()
      const sizeBytes = yield* writeWhole(out, Stream.make(recording))
      const guestNanos = yield* machine.nowNanos
      yield* answer(json, { recording: out, events, guestNanos, sizeBytes }, [
        `${out}: ${events} events, ${mebibytes(sizeBytes)}`
      ])
    }).pipe(Effect.scoped, sandboxesWith({ json }))
).pipe(
  Command.withDescription("Boot an image and record what its guest does, for replay and for testing policies"),
  Command.withExamples([{ command: "stillpoint record kit:httpd --seconds 5 --out boot.jsonl" }])
)
