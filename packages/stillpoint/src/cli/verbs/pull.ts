/**
 * From a registry to a snapshot.
 *
 * @module
 */
import { Artifacts } from "@stillpoint/images"
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { pullSnapshot } from "../../registry/pullSnapshot.ts"
import { mebibytes } from "../../report/mebibytes.ts"
import { answer } from "../Output.ts"
import { json, replace } from "../arguments.ts"
import { requireKey } from "../keys.ts"
import { namesWith } from "../layers.ts"
import { summary } from "../summary.ts"
import { place, referenceOf, watched } from "../transferring.ts"

export const pullCommand = Command.make(
  "pull",
  {
    place,
    name: Flag.String("name").pipe(Flag.withDescription("Name for the snapshot: NAME or NAME:TAG"), Flag.optional),
    replace,
    requireKey,
    json
  },
  ({ json, name, place, replace, requireKey }) =>
    Effect.gen(function* () {
      const named = Option.getOrUndefined(name)
      const pulled = yield* pullSnapshot(yield* referenceOf(place), named, { replace, ...watched(json, place) })
      const { artifact, fetchedBytes, kept } = pulled
      yield* answer(json, { ...summary(kept), artifact, fetchedBytes }, [
        `${named ?? kept.digest}: ${mebibytes(fetchedBytes)} fetched, ${mebibytes(kept.storedBytes)} on the disk`
      ])
    }).pipe(Effect.provide(Artifacts.layer()), namesWith({ requireKey }))
).pipe(
  Command.withDescription("Pull a snapshot from a registry; an interrupted pull continues where it stopped"),
  Command.withExamples([
    { command: "stillpoint pull registry.example/team/web:v1 --name web --require-key team.pub.pem" }
  ])
)
