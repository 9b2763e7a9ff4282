/**
 * Arguments and flags that several verbs have.
 *
 * @module
 */
import { Argument, Flag } from "effect/cli"

export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print only the result, as one line of JSON"),
  Flag.withDefault(false)
)
export const referenceOrPlace = Argument.String("snapshot").pipe(
  Argument.withDescription("NAME, NAME:TAG or digest; or docker://REGISTRY/NAME[:TAG], which arrives as it is needed")
)
export const reference = Argument.String("snapshot").pipe(Argument.withDescription("NAME, NAME:TAG or digest"))
export const command = Argument.String("command").pipe(
  Argument.variadic({ min: 1 }),
  Argument.withDescription("The program and its arguments, after --")
)
export const replace = Flag.Boolean("replace").pipe(
  Flag.withDescription("Move the name if another snapshot already has it"),
  Flag.withDefault(false)
)
export const file = Argument.String("file").pipe(
  Argument.withDescription("An archive (tar, compressed by zstd), or - for standard input or output")
)
