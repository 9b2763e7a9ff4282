#!/usr/bin/env node
/**
 * The command line. `stillpoint --help` lists the verbs, `exitCode.ts` the exit codes.
 *
 * @module
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Effect, Exit, Fiber, Layer } from "effect"
import { CliOutput, Command } from "effect/cli"
import { stillpoint } from "./commands.ts"
import { Ended, exitCodeOf } from "./exitCode.ts"
import { failureText } from "./failureText.ts"
import { note, say } from "./Output.ts"
import { terminalWith } from "./terminal.ts"

const formatter = CliOutput.defaultFormatter({ colors: false })

/** Requested help goes to standard output as a result; errors in a call do not. */
const presenter: CliOutput.Presenter = {
  present: (event) => {
    switch (event._tag) {
      case "Help":
        return say(formatter.formatHelpDoc(event.helpDoc))
      case "Version":
        return say(formatter.formatVersion(event.name, event.version))
      case "InvalidInvocation":
        return note(`${formatter.formatErrors(event.errors)}\nsee: ${event.commandPath.join(" ")} --help`)
    }
  }
}

let interruptedBy: number | null = null
/** The wizard ends as if all was well when it is cancelled. */
const terminal = terminalWith(() => {
  interruptedBy ??= 130
})

const program = Command.run(stillpoint, { version: "0.1.0" }).pipe(
  Effect.provide(Layer.mergeAll(NodeServices.layer, terminal, CliOutput.layerPresenter(presenter)))
)

/** Verbs that exit with the status of a command. */
const isOfCommands = (verb: string | undefined): boolean => ["run", "exec", "fork"].includes(verb ?? "")

const fiber = Effect.runFork(program)
const interrupt = (status: number) => (): void => {
  // A second interruption ends the program at once.
  if (interruptedBy !== null && status !== 141) process.exit(status)
  interruptedBy = status
  fiber.interruptUnsafe()
}
process.on("SIGINT", interrupt(130))
process.on("SIGTERM", interrupt(143))
// The terminal is closed.
process.on("SIGHUP", interrupt(129))
let unwritten: string | null = null
for (const [name, stream] of [
  ["output", process.stdout],
  ["error", process.stderr]
] as const) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED") return interrupt(141)()
    unwritten = `standard ${name} cannot be written: ${error.code ?? error.message}`
    fiber.interruptUnsafe()
  })
}

const statusOf = async (exit: Exit.Exit<void, unknown>): Promise<number> => {
  // What the command line's library prints is not waited for anywhere else.
  await new Promise<void>((done) => process.stdout.write("", () => done()))
  if (interruptedBy !== null) return interruptedBy
  if (unwritten !== null) {
    await Effect.runPromise(note(failureText(unwritten)))
    return isOfCommands(process.argv[2]) ? 125 : 1
  }
  if (Exit.isSuccess(exit)) return 0
  const error = Cause.squash(exit.cause)
  if (error instanceof Ended) return error.status
  const { _tag, errors } = error as { readonly _tag?: string; readonly errors?: ReadonlyArray<unknown> }
  // It was shown already; help alone is no failure.
  if (_tag === "ShowHelp") return errors === undefined || errors.length === 0 ? 0 : 2
  await Effect.runPromise(note(failureText(error)))
  return exitCodeOf(error)
}

process.exitCode = await statusOf(await Effect.runPromise(Fiber.await(fiber)))
