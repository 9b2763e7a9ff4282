/**
 * A signature of a snapshot.
 *
 * @module
 */
import { Snapshots } from "@stillpoint/core"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { answer } from "../Output.ts"
import { json, reference } from "../arguments.ts"
import { readSignKey, signingKey } from "../keys.ts"
import { names } from "../layers.ts"

export const signCommand = Command.make("sign", { reference, signingKey, json }, ({ json, reference, signingKey }) =>
  Effect.gen(function* () {
    const signing = yield* readSignKey(signingKey)
    const { digest } = yield* Snapshots.use((snapshots) => snapshots.sign(reference, signing))
    yield* answer(json, { snapshot: digest, keyId: signing.id }, [
      `${reference}: ${digest.slice(0, 12)} is signed by ${signing.id.slice(0, 12)}`
    ])
  }).pipe(names)
).pipe(
  Command.withDescription("Sign a snapshot, so that --require-key accepts it"),
  Command.withExamples([
    {
      command: "stillpoint sign web --sign-key key.pem",
      description: "With a key made by: openssl genpkey -algorithm ed25519"
    }
  ])
)
