/**
 * Arguments of the verbs that begin with an image.
 *
 * @module
 */
import { Option } from "effect"
import { Argument, Flag } from "effect/cli"
import { type BakeOptions, usualMoment } from "../sandbox/bake.ts"

export const image = Argument.String("image").pipe(
  Argument.withDescription("kit:httpd, oci:FOLDER[:TAG], docker-archive:FILE or docker://REGISTRY/NAME[:TAG]")
)
export const at = Flag.String("at").pipe(
  Flag.withDescription(`When to capture: an expression, or JSON; ${usualMoment} if absent`),
  Flag.withDefault(usualMoment)
)
export const memory = Flag.Int("memory").pipe(Flag.withDescription("Guest memory in MiB"), Flag.optional)

/** What they ask for. */
export const baking = (asked: {
  readonly image: string
  readonly at: string
  readonly memory: Option.Option<number>
}): BakeOptions => ({
  image: asked.image,
  captureAt: asked.at,
  ...(Option.isSome(asked.memory) ? { memoryMib: asked.memory.value } : {})
})
