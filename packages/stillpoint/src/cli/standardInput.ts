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

/** An error of the system where more input should have been. */
interface Unreadable {
  readonly code: string
}

/** The next bytes, or `null` at the end. Nothing is read before it is asked for; a terminal gives one line at a time. */
const nextInput = Effect.callback<Uint8Array | Unreadable | null>((resume) => {
  const { stdin } = process
  const settle = (next: Uint8Array | Unreadable | null): void => {
    leave()
    resume(Effect.succeed(next))
  }
  const onReadable = (): void => {
    const bytes = stdin.read() as Buffer | null
    if (bytes !== null) settle(bytes)
    else if (stdin.readableEnded || stdin.destroyed) settle(null)
  }
  const onEnd = (): void => settle(null)
  const onError = (cause: Error): void => settle({ code: codeOf(cause) })
  const leave = (): void => void stdin.off("readable", onReadable).off("end", onEnd).off("error", onError)
  stdin.on("readable", onReadable).on("end", onEnd).on("error", onError)
  onReadable()
  return Effect.sync(leave)
})

/**
 * Passes standard input on to a command, as fast as it reads, and its end. A command that takes no input, or has ended, gets no more.
 * Input that cannot be read ends there, with a note. If some of it was passed on before, `onCut` is called: the command cannot tell
 * that there was more. Where nothing was, there may be nothing to read, as under `nohup`.
 */
export const inputOf = (command: Pick<GuestProcess, "write" | "endInput">, onCut: () => void) =>
  Effect.gen(function* () {
    for (let isBegun = false; ; isBegun = true) {
      const next = yield* nextInput
      if (next === null) return yield* command.endInput
      if (next instanceof Uint8Array) yield* command.write(next)
      else {
        if (isBegun) onCut()
        yield* note(`stillpoint: standard input cannot be read: ${next.code}; the command's input ends there`)
        return yield* command.endInput
      }
    }
  }).pipe(
    Effect.catchReason("ExecError", "InputClosed", () => Effect.void),
    // What remains is not read: an open pipe or a terminal would keep this process.
    Effect.ensuring(Effect.sync(() => void process.stdin.destroy()))
  )
