/**
 * Flags and layers that the registry verbs share.
 *
 * @module
 */
import type { TransferOptions } from "@stillpoint/images"
import { Effect } from "effect"
import { Argument } from "effect/cli"
import { type LazyPullOptions, pullLazily } from "../registry/pullLazily.ts"
import { ArgumentInvalid } from "./ArgumentInvalid.ts"
import { workTold } from "./workLine.ts"

export const place = Argument.String("place").pipe(Argument.withDescription("[docker://]REGISTRY/NAME[:TAG][@DIGEST]"))

/** A place as registries are named; other places are not for snapshots. */
export const referenceOf = (place: string): Effect.Effect<string, ArgumentInvalid> =>
  /^(docker:\/\/)?[^/:]+(:\d+)?\/./.test(place)
    ? Effect.succeed(place.includes("://") ? place : `docker://${place}`)
    : Effect.fail(
        new ArgumentInvalid({ argument: "place", expected: "[docker://]REGISTRY/NAME[:TAG][@DIGEST]", found: place })
      )

/** One line that says how far it is, how fast, and how long it takes, where there is a terminal; silence where not. */
export const watched = (json: boolean, what: string): TransferOptions => {
  const told = workTold(json)
  return told === null ? {} : { onProgress: (progress) => told({ what, ...progress }) }
}

/** What a clone is made of: a snapshot of the store, or one of a registry, `docker://…`, that arrives while its clones run. */
export const toClone = (reference: string, options: Pick<LazyPullOptions, "rest"> = {}) =>
  reference.startsWith("docker://")
    ? Effect.map(pullLazily(reference, undefined, options), ({ snapshot }) => snapshot)
    : Effect.succeed(reference)
