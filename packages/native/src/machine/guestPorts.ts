/**
 * Ports that lead into a guest, and whom it may reach, over the native addon.
 *
 * @module
 */
import {
  type EgressPolicy,
  type GuestPorts,
  MachineError,
  type MachineFailureReason,
  type PublishedPort,
  type PublishSpec,
  schemaProblems,
  type TrafficLimits
} from "@stillpoint/core"
import { Effect, Schema } from "effect"
import type * as Addon from "../binding/Addon.ts"
import { reasonOf } from "./reasonOf.ts"

const lastPort = 65_535
const port = (first: number) =>
  Schema.Number.check(
    Schema.makeFilter((found: number) => Number.isInteger(found) && found >= first && found <= lastPort, {
      expected: `${first} to ${lastPort}`
    })
  )

const protocol = Schema.optionalKey(Schema.Literals(["tcp", "udp"]))

const limits = Schema.optionalKey(
  Schema.Struct({
    connections: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1024 }))),
    bytesPerSecond: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1024, maximum: 2 ** 40 })))
  })
)

const publishSpec = Schema.Struct({
  port: port(1),
  protocol,
  host: Schema.optionalKey(Schema.String),
  hostPort: Schema.optionalKey(port(0)),
  limits
})

const ports = Schema.optionalKey(
  Schema.Array(Schema.Union([port(1), Schema.Struct({ first: port(1), last: port(1) })]))
)

const egressPolicy = Schema.Struct({
  // The core checks which of the two it is, together with all other problems.
  allow: Schema.Array(
    Schema.Struct({
      addresses: Schema.optionalKey(Schema.String),
      host: Schema.optionalKey(Schema.String),
      ports,
      protocol
    })
  ),
  names: Schema.optionalKey(
    Schema.Struct({
      table: Schema.optionalKey(Schema.Record(Schema.String, Schema.Array(Schema.String))),
      resolver: Schema.optionalKey(Schema.Literals(["host", "none"]))
    })
  ),
  limits
})

/** What a caller without types may have given, refused with all its problems at once. */
const checked = <A>(schema: Schema.Codec<A, unknown>, found: unknown): Effect.Effect<A, MachineError> =>
  Effect.mapError(
    Schema.decodeUnknownEffect(schema)(found, { errors: "all", onExcessProperty: "error" }),
    () =>
      new MachineError({
        reason: { _tag: "NetworkInvalid", message: schemaProblems(null, schema, found).join("; ") }
      })
  )

const limitsOf = (limits: TrafficLimits | undefined) => ({
  connections: limits?.connections ?? null,
  bytesPerSecond: limits?.bytesPerSecond ?? null
})

const isFailure = (value: object): value is Addon.Failure => "failed" in value

const told = <A>(operation: () => Addon.Failure | A): Effect.Effect<A, MachineError> =>
  Effect.suspend(() => {
    const outcome = operation()
    return typeof outcome === "object" && outcome !== null && isFailure(outcome)
      ? Effect.fail(new MachineError({ reason: reasonOf<MachineFailureReason>(outcome) }))
      : Effect.succeed(outcome as A)
  })

/** The ports of one machine. */
export const guestPorts = (native: Addon.NativeMachine): GuestPorts => ({
  publish: Effect.fn("NativeMachine.publish")(function* (spec: PublishSpec) {
    const asked = yield* checked(publishSpec, spec)
    const { port, protocol = "tcp", host = "127.0.0.1", hostPort = 0, limits } = asked
    const published = yield* Effect.acquireRelease(
      told(() => native.publish(protocol, port, host, hostPort, limitsOf(limits))),
      ({ id }) => Effect.sync(() => native.unpublish(id))
    )
    return { port, protocol, host: published.host, hostPort: published.hostPort } satisfies PublishedPort
  }),
  connections: told(() => native.connections()),
  allow: Effect.fn("NativeMachine.allow")(function* (policy: EgressPolicy) {
    const { allow, names, limits } = yield* checked(egressPolicy, policy)
    const rules = allow.map((rule) => ({
      addresses: rule.addresses ?? null,
      host: rule.host ?? null,
      ports: rule.ports?.map((each) => (typeof each === "number" ? { first: each, last: each } : each)) ?? null,
      protocol: rule.protocol ?? "tcp"
    }))
    const table = Object.entries(names?.table ?? {}).map(([name, addresses]) => ({ name, addresses: [...addresses] }))
    yield* told(() =>
      native.setEgress({ allow: rules, table, asksHost: names?.resolver !== "none", limits: limitsOf(limits) })
    )
  })
})
