/**
 * Policies as JSON: the form in journals and manifests, which a registry reads back.
 *
 * @module
 */
import { Schema } from "effect"
import { Activity } from "../combinators/activity.ts"
import { eventKinds } from "../automaton/eventKinds.ts"

const nanos = Schema.Natural
const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/** The JSON form of a policy: `Policy.description`. */
export type PolicyDescription =
  | { readonly trigger: "never" }
  | { readonly trigger: "afterGuestTime"; readonly nanos: number }
  | { readonly trigger: "atHeartbeat"; readonly count: number; readonly console?: boolean }
  | { readonly trigger: "onEvent"; readonly kind: (typeof eventKinds)[number] }
  | { readonly trigger: "onPreExec"; readonly console?: string; readonly consoleHoldNanos?: number }
  | {
      readonly trigger: "onListener"
      readonly protocol?: "tcp" | "udp"
      readonly address?: string
      readonly port?: number
      readonly counts?: "listening"
    }
  | { readonly trigger: "onConnection"; readonly port?: number; readonly direction?: "outward" }
  | { readonly trigger: "onRequestServed"; readonly count: number; readonly port?: number }
  | { readonly trigger: "onParked" }
  | { readonly trigger: "onIdle"; readonly nanos: number }
  | {
      readonly trigger: "onSerialMatch" | "onSerialText"
      readonly text?: string
      readonly regex?: string
      readonly flags?: string
      readonly port?: number
    }
  | { readonly trigger: "onCustom"; readonly name: string; readonly hasSchema?: boolean }
  | { readonly trigger: "onDirtyRateBelow"; readonly pagesPerSecond: number; readonly windowNanos: number }
  | { readonly trigger: "fromEffect"; readonly name: string; readonly onFailure?: "never" | "fail" }
  | { readonly trigger: "plugin" | "probe"; readonly name: string; readonly config: Schema.Json }
  | { readonly trigger: "firstOf" | "precedence" | "allOf"; readonly of: ReadonlyArray<PolicyDescription> }
  | { readonly trigger: "then"; readonly first: PolicyDescription; readonly second: PolicyDescription }
  | { readonly trigger: "within" | "atLatest" | "debounce"; readonly of: PolicyDescription; readonly nanos: number }
  | {
      readonly trigger: "orElseAfter"
      readonly of: PolicyDescription
      readonly nanos: number
      readonly other: PolicyDescription
    }
  | { readonly trigger: "repeat"; readonly of: PolicyDescription; readonly times?: number }
  | { readonly trigger: "filter"; readonly of: PolicyDescription; readonly predicate: string }
  | { readonly trigger: "mapCause"; readonly of: PolicyDescription; readonly map: string }
  | { readonly trigger: "named"; readonly name: string; readonly of: PolicyDescription }
  | {
      readonly trigger: "quiesce"
      readonly of: PolicyDescription
      readonly calmForNanos: number
      readonly deadlineNanos: number | null
      readonly onDeadline: "capture" | "abandon" | "fail"
      readonly agent: "auto" | "ask" | "none"
      readonly activity: ReadonlyArray<Activity>
    }

const is = <const T extends string>(...names: ReadonlyArray<T>) => Schema.Literals(names)

/** The schemas of a policy's cases, given that of its parts. */
const casesOf = <Inner extends Schema.Top>(inner: Inner) => [
  Schema.Struct({ trigger: is("never") }),
  Schema.Struct({ trigger: is("afterGuestTime"), nanos }),
  Schema.Struct({ trigger: is("atHeartbeat"), count, console: Schema.optionalKey(Schema.Boolean) }),
  Schema.Struct({ trigger: is("onEvent"), kind: Schema.Literals(eventKinds) }),
  Schema.Struct({
    trigger: is("onPreExec"),
    console: Schema.optionalKey(Schema.String),
    consoleHoldNanos: Schema.optionalKey(nanos)
  }),
  Schema.Struct({
    trigger: is("onListener"),
    protocol: Schema.optionalKey(Schema.Literals(["tcp", "udp"])),
    address: Schema.optionalKey(Schema.String),
    port: Schema.optionalKey(Schema.Int),
    counts: Schema.optionalKey(Schema.Literal("listening"))
  }),
  Schema.Struct({
    trigger: is("onConnection"),
    port: Schema.optionalKey(Schema.Int),
    direction: Schema.optionalKey(Schema.Literal("outward"))
  }),
  Schema.Struct({ trigger: is("onRequestServed"), count, port: Schema.optionalKey(Schema.Int) }),
  Schema.Struct({ trigger: is("onParked") }),
  Schema.Struct({ trigger: is("onIdle"), nanos }),
  Schema.Struct({
    trigger: is("onSerialMatch", "onSerialText"),
    text: Schema.optionalKey(Schema.String),
    regex: Schema.optionalKey(Schema.String),
    flags: Schema.optionalKey(Schema.String),
    port: Schema.optionalKey(Schema.Natural)
  }),
  Schema.Struct({ trigger: is("onCustom"), name: Schema.String, hasSchema: Schema.optionalKey(Schema.Boolean) }),
  Schema.Struct({ trigger: is("onDirtyRateBelow"), pagesPerSecond: Schema.Finite, windowNanos: nanos }),
  Schema.Struct({
    trigger: is("fromEffect"),
    name: Schema.String,
    onFailure: Schema.optionalKey(Schema.Literals(["never", "fail"]))
  }),
  Schema.Struct({ trigger: is("plugin", "probe"), name: Schema.String, config: Schema.Json }),
  Schema.Struct({ trigger: is("firstOf", "precedence", "allOf"), of: Schema.Array(inner) }),
  Schema.Struct({ trigger: is("then"), first: inner, second: inner }),
  Schema.Struct({ trigger: is("within", "atLatest", "debounce"), of: inner, nanos }),
  Schema.Struct({ trigger: is("orElseAfter"), of: inner, nanos, other: inner }),
  Schema.Struct({ trigger: is("repeat"), of: inner, times: Schema.optionalKey(count) }),
  Schema.Struct({ trigger: is("filter"), of: inner, predicate: Schema.String }),
  Schema.Struct({ trigger: is("mapCause"), of: inner, map: Schema.String }),
  Schema.Struct({ trigger: is("named"), name: Schema.String, of: inner }),
  Schema.Struct({
    trigger: is("quiesce"),
    of: inner,
    calmForNanos: nanos,
    deadlineNanos: Schema.NullOr(nanos),
    onDeadline: Schema.Literals(["capture", "abandon", "fail"]),
    agent: Schema.Literals(["auto", "ask", "none"]),
    activity: Schema.Array(Activity)
  })
]

/** Schema of {@link PolicyDescription}. */
export const PolicyDescription: Schema.Codec<PolicyDescription> = Schema.Union(
  casesOf(Schema.suspend((): Schema.Codec<PolicyDescription> => PolicyDescription))
)

/** One case of a description whose parts have not been checked. */
export interface ShallowCase {
  readonly schema: Schema.Codec<Readonly<Record<string, unknown>>, unknown>
  readonly fields: ReadonlyArray<string>
}

/** The cases by the name in `trigger`. */
export const shallowCases: ReadonlyMap<string, ShallowCase> = new Map(
  casesOf(Schema.Unknown).flatMap((schema) =>
    schema.fields.trigger.literals.map((name): readonly [string, ShallowCase] => [
      name,
      { schema: schema as unknown as ShallowCase["schema"], fields: Object.keys(schema.fields) }
    ])
  )
)
