/**
 * The names of a store: reading, setting and removing them.
 *
 * @module
 */
import { join } from "node:path"
import { Clock, Effect, Result } from "effect"
import type { DurableFilesShape } from "../files/DurableFiles.ts"
import { waitToHold } from "../files/waitToHold.ts"
import { NameMoved, NameTaken, type OptionsInvalid, StoreBusy } from "./NameErrors.ts"
import { clearDrafts, type Names, readNames, writeNames } from "./nameRecord.ts"
import { flagProblems, isRecord, isText, kindProblems, orAbsent, unknownProblems } from "../optionProblems.ts"
import { parseName, printName, type Reference, type ReferenceInvalid } from "./Reference.ts"
import { refuseProblems } from "./refuseProblems.ts"
import type { TagOptions } from "./SnapshotsShape.ts"

/** A name as the record has it. */
export const fullName = ({ name, tag }: Extract<Reference, { _tag: "Named" }>): string => `${name}:${tag}`

/** A name of the record as people write it. */
export const shortName = (full: string): string => {
  const [name = "", tag = ""] = full.split(":")
  return printName(name, tag)
}

const tagNames = { replace: true, expecting: true } as const satisfies Record<keyof TagOptions, true>

const tagProblems = (options: unknown): ReadonlyArray<string> =>
  isRecord(options)
    ? [
        ...unknownProblems("options", options, tagNames),
        ...flagProblems("options.replace", options["replace"]),
        ...kindProblems(
          "options.expecting",
          options["expecting"],
          "a digest or null",
          orAbsent((found) => found === null || isText(found))
        )
      ]
    : kindProblems("options", options, "{ replace, expecting }", isRecord)

/** Refuses a name that can be given to nothing, and options that are none, before anything is done for them. */
export const checkedNaming = (
  name: string | undefined,
  options: TagOptions
): Effect.Effect<void, ReferenceInvalid | OptionsInvalid> => {
  const read = name === undefined ? null : parseName(name)
  if (read !== null && Result.isFailure(read)) return Effect.fail(read.failure)
  return refuseProblems(tagProblems(options))
}

const isSame = (one: Names, other: Names): boolean =>
  one.size === other.size && [...one].every(([name, { digest }]) => other.get(name)?.digest === digest)

/** The snapshot's names, as people write them. */
export const namesOf = (names: Names, digest: string): ReadonlyArray<string> =>
  [...names].filter(([, named]) => named.digest === digest).map(([name]) => shortName(name))

/** The names of the store in a folder, which `made` creates if it is missing. */
export const makeNaming = <E>(
  files: DurableFilesShape,
  home: string,
  {
    cleared,
    made
  }: {
    readonly made: Effect.Effect<void, E>
    /** Clears leftovers of an earlier holder of the store; the argument tells which snapshots have names. */
    readonly cleared: (isNamed: (digest: string) => Effect.Effect<boolean, unknown>) => Effect.Effect<void, unknown>
  }
) => {
  /** Runs an operation that excludes all others on the store. */
  const holding = <A, E>(work: Effect.Effect<A, E>) =>
    Effect.scoped(
      Effect.gen(function* () {
        yield* made
        const busy = (waitedMillis: number) => new StoreBusy({ path: home, waitedMillis })
        yield* waitToHold(files, join(home, "store.lock"), busy)
        yield* clearDrafts(files, home)
        // The next process clears what cannot be cleared now.
        yield* Effect.ignore(cleared((digest) => Effect.map(read, (names) => namesOf(names, digest).length > 0)))
        return yield* Effect.uninterruptible(work)
      })
    )

  const read = Effect.suspend(() => readNames(files, home))

  /** Puts names in the place of those before. What fails is taken back, also where the names stand already and only their flush fails. */
  const exchange = (before: Names, after: Names) =>
    Effect.onError(writeNames(files, home, after), () =>
      Effect.ignore(
        Effect.flatMap(read, (found) => (isSame(found, before) ? Effect.void : writeNames(files, home, before)))
      )
    )

  /** The function that sets a name, or `null` if it is set already. The caller holds the store. */
  const named = Effect.fnUntraced(function* (digest: string, name: string, options: TagOptions) {
    const names = yield* read
    const full = fullName(yield* Effect.fromResult(parseName(name)))
    const before = names.get(full)?.digest ?? null
    const { expecting, replace } = options
    if (expecting !== undefined && expecting !== before) {
      return yield* new NameMoved({ name: shortName(full), expected: expecting ?? "none", found: before ?? "none" })
    }
    if (before === digest) return null
    if (before !== null && replace !== true && expecting === undefined) {
      return yield* new NameTaken({ name: shortName(full), digest: before })
    }
    const after: Names = new Map([...names, [full, { digest, atMillis: yield* Clock.currentTimeMillis }]])
    return exchange(names, after)
  })

  return { holding, read, exchange, named }
}
