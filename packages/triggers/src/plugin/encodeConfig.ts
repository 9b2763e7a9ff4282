import { Result, Schema } from "effect"
import { refuse } from "../PolicyError.ts"

/**
 * Writes the configuration of a published part as JSON; one that its own schema does not accept is refused by the part's name.
 */
export const encodeConfig =
  <A, I extends Schema.Json>(name: string, schema: Schema.Codec<A, I>): ((config: A) => I) =>
  (config) => {
    const encoded = Schema.encodeUnknownResult(schema, { errors: "all" })(config)
    return Result.isSuccess(encoded)
      ? encoded.success
      : refuse(name, "a configuration that its schema accepts", encoded.failure.message)
  }
