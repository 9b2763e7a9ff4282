import type { GuestEventOf } from "@stillpoint/core"
import { Schema } from "effect"
import { requireAll, requireEventName, requireSchema } from "../argument.ts"
import type { Policy } from "../Policy.ts"
import { eventPolicy } from "./onEvent.ts"

/**
 * Fires at a user-defined event whose payload its schema accepts:
 * `onCustom(n, s)(a) = min { e.at | e after a, e is Custom, e.name = n, s decodes e.payload }`.
 *
 * The name must be one that a guest can send: 1 to 64 of `A-Z a-z 0-9 . _ : / -`, not beginning with `-`. A schema may
 * narrow the payload: an event whose payload does not decode is skipped, and counted in the trigger's explanation. The
 * schema must decode without services. To read such a policy from JSON, a registry must know the schema by name.
 *
 * - *Same instant*: of several, the one with the lowest `seq`.
 * - *Already true at arming*: an event at or before the arming does not count.
 * - *Guest ends first*: never fires.
 *
 * @example
 * ```ts
 * import { onCustom } from "@stillpoint/triggers"
 * import { Schema } from "effect"
 *
 * const Warm = Schema.Struct({ classes: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1000)) })
 * console.log(onCustom("jit-warm", Warm).name) // onCustom(jit-warm)
 * ```
 */
export const onCustom = <A, I>(name: string, schema?: Schema.Codec<A, I>): Policy => {
  requireAll({
    name: () => requireEventName("onCustom.name", name),
    schema: () => schema === undefined || requireSchema("onCustom.schema", schema)
  })
  const accepts = schema === undefined ? () => true : Schema.is(Schema.toEncoded(schema))
  const decodes = schema === undefined ? () => true : decoder(schema)
  return eventPolicy({
    name: `onCustom(${name})`,
    description: { trigger: "onCustom", name, ...(schema === undefined ? {} : { hasSchema: true }) },
    kinds: ["Custom"],
    waitedFor: `an event ${JSON.stringify(name)}`,
    ...(schema === undefined
      ? {}
      : {
          hears: [{ kind: "Custom", fields: { name }, payload: schema as unknown as Schema.Codec<unknown, unknown> }]
        }),
    accepts: (event) => {
      const custom = event as GuestEventOf<"Custom">
      return custom.name === name && accepts(custom.payload) && decodes(custom.payload)
    }
  })
}

const decoder = <A, I>(schema: Schema.Codec<A, I>): ((payload: unknown) => boolean) => {
  const decode = Schema.decodeUnknownOption(schema)
  return (payload) => decode(payload)._tag === "Some"
}
