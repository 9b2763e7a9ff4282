/**
 * Common options of operations with promises: a signal that cancels them, and the place of the store.
 *
 * @module
 */
import { describeValue, didYouMean } from "@stillpoint/core"
import type { StillpointOptions } from "./sandboxServices.ts"

/** A signal that cancels an operation: it cleans up, and its promise is rejected with the signal's reason. */
export interface Abortable {
  readonly signal?: AbortSignal
}

const isSignal = (value: unknown): boolean => value === undefined || value instanceof AbortSignal

export const signalProblems = (signal: unknown): ReadonlyArray<string> =>
  isSignal(signal) ? [] : [`signal: expected an AbortSignal, found ${describeValue(signal)}`]

/** Options of an operation, of which `more` are those beside the signal. */
export const abortableProblems = (options: unknown, more: ReadonlyArray<string> = []): ReadonlyArray<string> => {
  const known = ["signal", ...more]
  const isFit =
    typeof options === "object" &&
    options !== null &&
    !Array.isArray(options) &&
    isSignal(Reflect.get(options, "signal"))
  return isFit
    ? Object.keys(options)
        .filter((key) => !known.includes(key))
        .map((key) => `unknown option ${key}${didYouMean(key, known)}: expected { ${known.join(", ")} }`)
    : [`expected { ${known.join(", ")} }, with an AbortSignal as signal, found ${describeValue(options)}`]
}

/** Options that are no object, whose parts would be taken for options: a text, a list. None at all may be given. */
export const objectProblems = (given: unknown, example: string): ReadonlyArray<string> =>
  given === undefined || given === null || (typeof given === "object" && !Array.isArray(given))
    ? []
    : [`expected an object, such as ${example}, found ${describeValue(given)}`]

/** The options of services that are given. */
export const servicesOf = (options: { readonly [K in keyof StillpointOptions]: StillpointOptions[K] | undefined }) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as StillpointOptions

/**
 * Runs an operation that a signal can cancel: it does not begin if the signal is aborted already, and is rejected
 * with the signal's reason.
 */
export const cancelled = async <A>(
  signal: AbortSignal | undefined,
  begin: (options: Abortable) => Promise<A>
): Promise<A> => {
  signal?.throwIfAborted()
  try {
    return await begin(signal === undefined ? {} : { signal })
  } catch (cause) {
    signal?.throwIfAborted()
    throw cause
  }
}
