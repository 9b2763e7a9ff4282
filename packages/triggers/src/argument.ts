/**
 * Checks the arguments of triggers' constructors before they are used, since a caller may not use types. All problems are
 * reported at once.
 *
 * @module
 */
import { contractLimits, describeValue, didYouMean, type GuestEventKind } from "@stillpoint/core"
import { Effect, Schema } from "effect"
import { eventKinds } from "./automaton/eventKinds.ts"
import { PolicyError, type PolicyProblem, refuse, unknownName, unknownProblems } from "./PolicyError.ts"

/** Looks at one value; `what` names it in the {@link PolicyError} that is thrown where it will not do. */
export type Reader<A> = (what: string, value: unknown) => A

type Checks = Readonly<Record<string, () => unknown>>

/** The answers of several checks, or everything that they refuse as one {@link PolicyError}. */
export const requireAll = <C extends Checks>(
  checks: C,
  found: ReadonlyArray<PolicyProblem> = []
): { readonly [K in keyof C]: ReturnType<C[K]> } => {
  const problems = [...found]
  const answers = Object.entries(checks).map(([name, check]) => {
    try {
      return [name, check()] as const
    } catch (cause) {
      if (!(cause instanceof PolicyError)) throw cause
      problems.push(...cause.problems)
      return [name, undefined] as const
    }
  })
  if (problems.length > 0) throw new PolicyError({ problems })
  return Object.fromEntries(answers) as never
}

/** A text. */
export const requireText: Reader<string> = (what, value) =>
  typeof value === "string" ? value : refuse(what, "a text", describeValue(value))

/** A function. */
export const requireFunction = <F>(what: string, value: F): F =>
  typeof value === "function" ? value : refuseValue(what, "a function", value)

/** A schema. */
export const requireSchema: Reader<Schema.Top> = (what, value) =>
  Schema.isSchema(value) ? value : refuseValue(what, "a schema", value)

/** An effect of the host's. */
export const requireEffect: Reader<Effect.Effect<unknown, unknown>> = (what, value) =>
  Effect.isEffect(value) ? (value as Effect.Effect<unknown, unknown>) : refuseValue(what, "an Effect", value)

/** Yes or no. */
export const requireFlag: Reader<boolean> = (what, value) =>
  typeof value === "boolean" ? value : refuseValue(what, "true or false", value)

/** Refuses a value: a text is quoted and called a text, so that `"80"` is not mistaken for 80. */
export const refuseValue = (what: string, expected: string, value: unknown): never =>
  refuse(what, expected, typeof value === "string" ? `${JSON.stringify(value.slice(0, longestShown))}, a text` : value)

const longestShown = 60

/** A number of something that is counted from 1. */
export const requireCount: Reader<number> = (what, value) =>
  isWhole(value) && value >= 1 ? value : refuseValue(what, "a whole number from 1 to 2^53 - 1", value)

/** A number of pages or bytes a second. */
export const requireRate: Reader<number> = (what, value) =>
  typeof value === "number" && Number.isFinite(value) && value > 0
    ? value
    : refuseValue(what, "a number above 0", value)

/** A port of the guest's network. */
export const requirePort: Reader<number> = (what, value) =>
  isWhole(value) && value >= 1 && value <= 65_535 ? value : refuseValue(what, "a whole number from 1 to 65535", value)

/** A serial port of the guest. */
export const requireSerialPort: Reader<number> = (what, value) =>
  isWhole(value) && value >= 0 ? value : refuseValue(what, "the number of a serial port", value)

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value)

/** One of some words. */
export const wordAmong =
  <const W extends string>(...words: ReadonlyArray<W>): Reader<W> =>
  (what, value) =>
    words.find((word) => word === value) ??
    refuse(what, `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`, wordFound(value, words))

const wordFound = (value: unknown, words: ReadonlyArray<string>): string =>
  typeof value === "string"
    ? `${JSON.stringify(value.slice(0, longestShown))}${didYouMean(value, words)}`
    : describeValue(value)

/** A kind of event. */
export const requireEventKind: Reader<GuestEventKind> = (what, value) => {
  const kind = eventKinds.find((each) => each === value)
  if (kind !== undefined) return kind
  if (typeof value !== "string") return refuse(what, "the name of an event kind, as SerialLine", describeValue(value))
  throw new PolicyError({ problems: [{ path: [what], message: unknownName("event kind", value, eventKinds) }] })
}

/** The form of names of custom events. */
export const eventNamePattern = new RegExp(`^[A-Za-z0-9._:/][A-Za-z0-9._:/-]{0,${contractLimits.eventNameBytes - 1}}$`)

/** The name of a custom event, as a guest can send it: the agent and the machine refuse others (`control/wire.rs`, `event_form.c`). */
export const requireEventName: Reader<string> = (what, value) =>
  typeof value === "string" && eventNamePattern.test(value)
    ? value
    : refuse(
        what,
        `the name of a custom event, as caches-warm: 1 to ${contractLimits.eventNameBytes} of A-Z a-z 0-9 . _ : / -, and no - first`,
        typeof value === "string" ? JSON.stringify(value.slice(0, longestShown)) : describeValue(value)
      )

/** An argument that may be absent. */
export const optional =
  <A>(read: Reader<A>): Reader<A | undefined> =>
  (what, value) =>
    value === undefined ? undefined : read(what, value)

/** A record, read once: options, or a definition. */
export const requireRecord = <A extends object>(what: string, value: A, kind: string): A => {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return refuse(what, kind, describeValue(value))
  try {
    return { ...value }
  } catch (cause) {
    return refuse(what, kind, `what cannot be read: ${describeValue(cause)}`)
  }
}

type Readers<A> = { readonly [K in keyof A]-?: Reader<unknown> }

/** Options, read once: each by its reader, which names it `what.option`, and no others. */
export const requireOptions = <A extends object, const R extends Readers<A>>(
  what: string,
  value: A,
  readers: R & Readers<A>
): { readonly [K in keyof R]: R[K] extends Reader<infer B> ? B : never } => {
  // A trigger or an Effect in the place of options: the options were forgotten.
  if (typeof value === "object" && value !== null && "pipe" in value) refuse(what, "options", value)
  const options = requireRecord(what, value, "options")
  const checks = Object.entries<Reader<unknown>>(readers as never).map(
    ([name, read]) => [name, () => read(`${what}.${name}`, Reflect.get(options, name))] as const
  )
  return requireAll(Object.fromEntries(checks), unknownProblems(what, options, Object.keys(readers))) as never
}
