/**
 * Arguments of the verbs that begin with an image.
 *
 * @module
 */
import { Effect, Option } from "effect"
import { Argument, Flag } from "effect/cli"
import type { BakeOptions } from "../sandbox/bake.ts"
import { usualMoment } from "../sandbox/checkedOptions.ts"
import type { ImageOptions } from "../sandbox/imageSpec.ts"
import { type PlatformName, platformNames } from "../sandbox/platforms.ts"
import { momentOf } from "./policyFile.ts"

export const image = Argument.String("image").pipe(
  Argument.withDescription("kit:httpd, oci:FOLDER[:TAG], docker-archive:FILE or docker://REGISTRY/NAME[:TAG]")
)
export const at = Flag.String("at").pipe(
  Flag.withDescription(
    `When to capture: an expression, JSON, or a file such as ./policy.ts or ./policy.json (default: ${usualMoment})`
  ),
  Flag.withDefault(usualMoment)
)
export const memory = Flag.Int("memory").pipe(Flag.withDescription("Guest memory in MiB"), Flag.optional)

export const platform = Flag.Literals("platform", platformNames).pipe(
  Flag.withDescription(
    "The guest's platform (default: auto, an image's linux/amd64 where this host has KVM for it, else linux/riscv64)"
  ),
  Flag.withDefault("auto")
)

export const env = Flag.KeyValuePair("env").pipe(
  Flag.withDescription("A variable for the workload's environment, NAME=VALUE; may be repeated; kept in the snapshot"),
  Flag.withDefault({})
)
export const workload = Argument.String("workload").pipe(
  Argument.variadic(),
  Argument.withDescription("After --, the program to run and its arguments, in place of the image's own")
)

interface AskedGuest {
  readonly image: string
  readonly env: Readonly<Record<string, string>>
  readonly workload?: ReadonlyArray<string>
  readonly memory: Option.Option<number>
  readonly platform: PlatformName
}

/** The guest that they ask for. */
export const guestOf = ({
  env,
  image,
  memory,
  platform,
  workload: [program, ...rest] = []
}: AskedGuest): ImageOptions => ({
  image,
  platform,
  workload: {
    ...(program === undefined ? {} : { argv: [program, ...rest] as const }),
    ...(Object.keys(env).length === 0 ? {} : { env })
  },
  ...(Option.isSome(memory) ? { memoryMib: memory.value } : {})
})

/** That, and when it is to be captured. */
export const baking = ({ at, ...guest }: AskedGuest & { readonly at: string }) =>
  Effect.map(momentOf(at), (captureAt): BakeOptions => ({ ...guestOf(guest), captureAt }))
