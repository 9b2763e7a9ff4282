/**
 * A port of the host's that leads to clones, until it is interrupted.
 *
 * @module
 */
import { isIPv4, isIPv6 } from "node:net"
import { Effect } from "effect"
import { Flag } from "effect/cli"
import { Sandbox } from "../sandbox/Sandbox.ts"
import { toClone } from "./transferring.ts"
import { ArgumentInvalid } from "./ArgumentInvalid.ts"
import { answer } from "./Output.ts"

const published = /^(?:(?:\[([^\]%]+)\]|([^:]+)):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/
const lastPort = 65_535

export const publish = Flag.String("publish").pipe(
  Flag.withDescription(
    "[ADDRESS:]HOSTPORT:PORT[/udp]: the host's port (0: any free one) and the guest's; an IPv6 address in brackets"
  )
)
export const perRequest = Flag.Boolean("clone-per-request").pipe(
  Flag.withDescription("Answer each HTTP/1.1 request with a fresh clone"),
  Flag.withDefault(false)
)
export const perConnection = Flag.Boolean("clone-per-connection").pipe(
  Flag.withDescription("Give each TCP connection a fresh clone"),
  Flag.withDefault(false)
)

/** Parses a value of `--publish`. */
export const readPublish = Effect.fnUntraced(function* (publish: string) {
  const [, version6, version4, hostPort, port, protocol] = published.exec(publish) ?? []
  const host = version6 ?? version4
  const isAddress = (version6 === undefined || isIPv6(version6)) && (version4 === undefined || isIPv4(version4))
  const isPort = (text: string | undefined, least: number): text is string =>
    text !== undefined && Number(text) >= least && Number(text) <= lastPort
  if (!isPort(hostPort, 0) || !isPort(port, 1) || !isAddress) {
    const expected = `[ADDRESS:]HOSTPORT:PORT[/udp], an IPv4 address or [IPv6 address], and ports of at most ${lastPort}`
    return yield* new ArgumentInvalid({ argument: "--publish", expected, found: publish })
  }
  const where = { port: Number(port), hostPort: Number(hostPort), ...(host === undefined ? {} : { host }) }
  return { ...where, protocol: protocol === "udp" ? ("udp" as const) : ("tcp" as const) }
})

/** Publishes clones of a snapshot, called `name` in messages, until it is interrupted. */
export const publishClones = Effect.fnUntraced(function* (
  reference: string,
  name: string,
  where: Effect.Success<ReturnType<typeof readPublish>>,
  how: { readonly perRequest: boolean; readonly perConnection: boolean; readonly json: boolean }
) {
  if (how.perRequest && how.perConnection) {
    return yield* new ArgumentInvalid({
      argument: "--clone-per-request, --clone-per-connection",
      expected: "one of them",
      found: "both"
    })
  }
  // Datagrams have no beginning or end, so there is no connection or request to give a clone to.
  if (where.protocol === "udp" && (how.perRequest || how.perConnection)) {
    return yield* new ArgumentInvalid({
      argument: how.perRequest ? "--clone-per-request" : "--clone-per-connection",
      expected: "a TCP port; who sends datagrams shares one clone",
      found: "--publish …/udp"
    })
  }
  const { protocol, ...at } = where
  const per = how.perRequest ? "request" : how.perConnection ? "connection" : null
  const snapshot = yield* toClone(reference)
  const port =
    per === null
      ? yield* (yield* Sandbox.of(snapshot)).ports.publish(where)
      : yield* Sandbox.serve(snapshot, { ...at, per })
  const leads = per === null ? "leads to a clone" : `gives each ${per} a clone`
  const scheme = protocol === "udp" ? "udp" : "http"
  yield* answer(how.json, { host: port.host, hostPort: port.hostPort, port: where.port, protocol, per }, [
    `${scheme}://${isIPv6(port.host) ? `[${port.host}]` : port.host}:${port.hostPort} ${leads} of ${name}`
  ])
  return yield* Effect.never
})
