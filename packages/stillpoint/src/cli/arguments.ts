/**
 * Arguments and flags that several verbs have.
 *
 * @module
 */
import { Argument, Flag } from "effect/cli"

export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print the result as one line of JSON, and nothing else, to standard output"),
  Flag.withDefault(false)
)
export const reference = Argument.String("snapshot").pipe(Argument.withDescription("NAME, NAME:TAG or a digest"))
export const command = Argument.String("command").pipe(
  Argument.variadic({ min: 1 }),
  Argument.withDescription("After --: the program and its arguments")
)
export const replace = Flag.Boolean("replace").pipe(
  Flag.withDescription("Take the name from the snapshot that has it"),
  Flag.withDefault(false)
)
export const file = Argument.String("file").pipe(
  Argument.withDescription("A tar archive; - for standard input or output")
)
