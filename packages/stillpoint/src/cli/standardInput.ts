/**
 * Standard input of this process, passed on to a command in a guest.
 *
 * @module
 */
import { fstatSync } from "node:fs"
import { codeOf, type GuestProcess } from "@stillpoint/core"
import { Effect } from "effect"
import { ArgumentInvalid } from "./ArgumentInvalid.ts"
import { note } from "./Output.ts"

/** Refuses a directory as standard input, which Node would take for an empty one. */
export const requireReadableInput = Effect.suspend(() =>
  fstatSync(0).isDirectory()
    ? Effect.fail(
        new ArgumentInvalid({
          argument: "standard input",
          expected: "a file, a pipe or a terminal",
          found: "a directory; for a command without input, write < /dev/null"
        })
      )
    : Effect.void
)

/** The next bytes, or `null` at the end. Nothing is read before it is asked for; a terminal gives one line at a time. */
const nextInput = Effect.callback<Uint8Array | null>((resume) => {
  const { stdin } = process
  const settle = (bytes: Uint8Array | null): void => {
    leave()
    resume(Effect.succeed(bytes))
  }
  const onReadable = (): void => {
    const bytes = stdin.read() as Buffer | null
    if (bytes !== null) settle(bytes)
    else if (stdin.readableEnded || stdin.destroyed) settle(null)
  }
  const onEnd = (): void => settle(null)
  const onError = (cause: Error): void => {
    leave()
    resume(Effect.as(note(`standard input cannot be read: ${codeOf(cause)}; the command's input ends there`), null))
  }
  const leave = (): void => void stdin.off("readable", onReadable).off("end", onEnd).off("error", onError)
  stdin.on("readable", onReadable).on("end", onEnd).on("error", onError)
  onReadable()
  return Effect.sync(leave)
})

/** Passes standard input on to a command, as fast as it reads, and its end. A command that takes no input, or has ended, gets no more. */
export const inputOf = (command: Pick<GuestProcess, "write" | "endInput">) =>
  Effect.gen(function* () {
    for (;;) {
      const bytes = yield* nextInput
      if (bytes === null) return yield* command.endInput
      yield* command.write(bytes)
    }
  }).pipe(
    Effect.catchReason("ExecError", "InputClosed", () => Effect.void),
    // What remains is not read: an open pipe or a terminal would keep this process.
    Effect.ensuring(Effect.sync(() => void process.stdin.destroy()))
  )
