import { Result, Schema } from "effect"
import { requireFunction, requireOptions, requireText } from "../argument.ts"
import { refuse } from "../PolicyError.ts"

/** Writes the configuration of a published part as JSON; one that its own schema does not accept is refused under its name. */
export const encodeConfig =
  <A, I extends Schema.Json>(name: string, schema: Schema.Codec<A, I>): ((config: A) => I) =>
  (config) => {
    const encoded = Schema.encodeUnknownResult(schema, { errors: "all" })(config)
    return Result.isSuccess(encoded)
      ? encoded.success
      : refuse(name, "a configuration that its schema accepts", encoded.failure.message)
  }

/** Refuses a definition of a published part that is none: `answers` are the functions that it must have, `others` what it may. */
export const requireDefinition = (
  what: string,
  definition: { readonly name: string; readonly config: unknown },
  answers: ReadonlyArray<string>,
  others: ReadonlyArray<string>
): void => {
  const read = requireOptions(what, definition, ["name", "config", ...answers, ...others])
  requireText(`${what}.name`, read.name)
  if (!Schema.isSchema(read.config)) refuse(`${what}.config`, "a schema", read.config)
  for (const answer of answers) requireFunction(`${what}.${answer}`, Reflect.get(read, answer))
}
