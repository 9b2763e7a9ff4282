/**
 * A port of clones.
 *
 * @module
 */
import { serve } from "@stillpoint/core"
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { poolOf, Sandbox } from "../../sandbox/Sandbox.ts"
import { ArgumentInvalid } from "../ArgumentInvalid.ts"
import { answer } from "../Output.ts"
import { json, reference } from "../arguments.ts"
import { sandboxes } from "../layers.ts"

const published = /^(?:((?:\d{1,3}\.){3}\d{1,3}):)?(\d{1,5}):(\d{1,5})$/

const perRequest = Flag.Boolean("clone-per-request").pipe(
  Flag.withDescription("Answer each HTTP/1.1 request with a clone of its own"),
  Flag.withDefault(false)
)
const perConnection = Flag.Boolean("clone-per-connection").pipe(
  Flag.withDescription("Give each TCP connection a clone of its own"),
  Flag.withDefault(false)
)

/** Clones that stand ready while they are served. */
const readyClones = 2

export const serveCommand = Command.make(
  "serve",
  {
    reference,
    publish: Flag.String("publish").pipe(Flag.withDescription("[ADDRESS:]PORT:GUESTPORT; port 0 for any that is free")),
    perRequest,
    perConnection,
    json
  },
  ({ json, perConnection, perRequest, publish, reference }) =>
    Effect.gen(function* () {
      const [, host, hostPort, guestPort] = published.exec(publish) ?? []
      if (hostPort === undefined || guestPort === undefined) {
        return yield* new ArgumentInvalid({
          argument: "--publish",
          expected: "[ADDRESS:]PORT:GUESTPORT",
          found: publish
        })
      }
      const where = {
        guestPort: Number(guestPort),
        hostPort: Number(hostPort),
        ...(host === undefined ? {} : { host })
      }
      const per = perRequest ? "request" : perConnection ? "connection" : null
      const port =
        per === null
          ? yield* (yield* Sandbox.of(reference)).publish(where)
          : yield* serve({ ...where, per, pool: yield* poolOf(reference, readyClones) })
      const leads = per === null ? "leads to a clone" : `gives each ${per} a clone`
      yield* answer(json, { host: port.host, hostPort: port.hostPort, guestPort: where.guestPort, per }, [
        `http://${port.host}:${port.hostPort} ${leads} of ${reference}`
      ])
      return yield* Effect.never
    }).pipe(Effect.scoped, sandboxes)
).pipe(
  Command.withDescription(
    "Publish a port until it is interrupted: of one clone that all share, or of one for each request"
  ),
  Command.withExamples([
    { command: "stillpoint serve web --publish 127.0.0.1:8080:8080 --clone-per-request" },
    { command: "stillpoint serve web --publish 8080:8080", description: "Whoever connects shares one clone" }
  ])
)
