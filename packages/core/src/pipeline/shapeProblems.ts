/**
 * Checks the options of a run before its stages are made, since a caller may not use types.
 *
 * @module
 */
import { Effect, Schedule } from "effect"
import { commandProblems } from "../agent/commandRequest.ts"
import { describeValue } from "../describeValue.ts"
import { gateProblems } from "../gate/gateProblems.ts"
import {
  durationProblems,
  flagProblems,
  isFunction,
  isList,
  isRecord,
  isText,
  kindProblems,
  orAbsent,
  unknownProblems
} from "../optionProblems.ts"
import type { StageTuning } from "./Stage.ts"
import { probeProblems } from "./stages/validate.ts"

/** The standard stages, in their order. */
export const standardStages = [
  "boot",
  "watch",
  "warm up",
  "freeze",
  "capture",
  "publish",
  "validate",
  "prefetch"
] as const

const policyProblems = (name: string, policy: unknown): ReadonlyArray<string> =>
  kindProblems(
    name,
    policy,
    "a policy, as the constructors of @stillpoint/triggers make it",
    (value) => isRecord(value) && isText(value["name"]) && isList(value["interest"]) && Effect.isEffect(value["await"])
  )

const tuningNames = { retry: true, timeout: true } as const satisfies Record<keyof StageTuning, true>

const tuningProblems = (tuning: unknown): ReadonlyArray<string> => {
  if (tuning === undefined) return []
  if (!isRecord(tuning)) return kindProblems("tuning", tuning, "retries and timeouts by stage", isRecord)
  return Object.entries(tuning).flatMap(([stage, one]) => {
    if (!standardStages.some((known) => known === stage)) {
      return [`tuning: no stage is called ${JSON.stringify(stage)}; there are ${standardStages.join(", ")}`]
    }
    const name = `tuning.${stage}`
    if (one === undefined) return []
    if (!isRecord(one)) return kindProblems(name, one, "{ retry, timeout }", isRecord)
    return [
      ...unknownProblems(name, one, tuningNames),
      ...kindProblems(`${name}.retry`, one["retry"], "a schedule of Effect's", orAbsent(Schedule.isSchedule)),
      ...durationProblems(`${name}.timeout`, one["timeout"])
    ]
  })
}

/** Problems of the options of a capture. Its target is a path, or for each of several captures one. */
export const captureShapeProblems = (options: unknown, target: "path" | "paths"): ReadonlyArray<string> => {
  if (!isRecord(options)) return kindProblems("options", options, "the options of a capture", isRecord)
  const { freeze, name, policy, validate, warmUp } = options
  return [
    ...policyProblems("policy", policy),
    ...(target === "path"
      ? kindProblems("target", options["target"], "the path of a directory", isText)
      : kindProblems("target", options["target"], "a function from a number to the path of a directory", isFunction)),
    ...kindProblems("name", name, "a text", orAbsent(isText)),
    ...(warmUp === undefined
      ? []
      : isList(warmUp)
        ? Array.from(warmUp).flatMap((command, index) => commandProblems(`warmUp.${index}`, command))
        : kindProblems("warmUp", warmUp, "a list of commands", isList)),
    ...kindProblems("freeze", freeze, "{ when, deadline }", orAbsent(isRecord)),
    ...(validate === undefined ? [] : probeProblems("validate", validate)),
    ...gateProblems("gate", options["gate"] as never),
    ...tuningProblems(options["tuning"]),
    ...watchShapeProblems(options)
  ]
}

/** The target of the n-th snapshot from the caller's function, or the problem with it. */
export const targetAt = (
  target: (index: number) => unknown,
  index: number
): { readonly target: string; readonly problems: ReadonlyArray<string> } => {
  const name = `target(${index})`
  try {
    const found: unknown = target(index)
    // A promise is invalid here, and its rejection must not be reported as unhandled.
    if (found instanceof Promise) found.catch(() => undefined)
    const problems = kindProblems(name, found, "the path of a directory", isText)
    return { target: isText(found) ? found : "", problems }
  } catch (cause) {
    return {
      target: "",
      problems: [`${name}: expected the path of a directory, found that it threw ${describeValue(cause)}`]
    }
  }
}

/** Problems of the watch options. */
export const watchShapeProblems = (options: unknown): ReadonlyArray<string> => {
  if (!isRecord(options)) return kindProblems("options", options, "options", isRecord)
  return [
    ...kindProblems("observe", options["observe"], "a function that is given the machine", orAbsent(isFunction)),
    ...flagProblems("recordGuest", options["recordGuest"]),
    ...flagProblems("deltas", options["deltas"])
  ]
}
