/**
 * A guest's network, as its host sees it: ports that lead into the guest, and whom the guest may reach.
 *
 * @module
 */
import type { Effect, Scope } from "effect"
import type { MachineError } from "./MachineErrors.ts"

/** The network interface of a machine. */
export interface NetworkSpec {
  /**
   * Maximum bytes of a packet, 576 to 65535; 65520 if absent, since no packet leaves the host's process. Below 1280 the guest has no
   * IPv6, which needs at least that (RFC 8200, 5): only IPv4 is configured.
   */
  readonly mtu?: number
}

/** The transport between a guest and its host: connections, or datagrams. */
export type TransportProtocol = "tcp" | "udp"

/**
 * Limits for traffic over one published port, or to and from all outside addresses that a policy allows. Traffic over the limit
 * waits, as for a slow reader; only datagrams out of the guest are lost, and reported as `NetworkRefused` with the reason
 * `TooMany`.
 */
export interface TrafficLimits {
  /** Maximum open connections, 1 to 1,024. Further ones to a published port wait; further ones out of the guest are refused. */
  readonly connections?: number
  /**
   * Maximum bytes in a second of guest time, 1,024 to 2^40, both directions together: the payload of connections and datagrams,
   * without headers. After a pause, a tenth of this may pass at once. Connections share the rate equally.
   */
  readonly bytesPerSecond?: number
}

/** The guest's port to publish, and the address on the host. */
export interface PublishSpec {
  /** The guest's port, on which one of its programs listens, or will. */
  readonly port: number
  /** `tcp` if absent. */
  readonly protocol?: TransportProtocol
  /**
   * Host address to listen on, IPv4 or IPv6, such as `::1`; `127.0.0.1` if absent. An IPv6 address accepts IPv6 clients only,
   * even `::`.
   */
  readonly host?: string
  /** The host's port; 0, or absent: any that is free. */
  readonly hostPort?: number
  /** Limits of this port; unlimited if absent. */
  readonly limits?: TrafficLimits
}

/** A port of the host's that leads to one of the guest's. */
export interface PublishedPort {
  /** The guest's port. */
  readonly port: number
  readonly protocol: TransportProtocol
  readonly host: string
  readonly hostPort: number
}

interface EgressPorts {
  /** Ports, or ranges of them; any if absent. */
  readonly ports?: ReadonlyArray<number | { readonly first: number; readonly last: number }>
  /** `tcp` if absent. */
  readonly protocol?: TransportProtocol
}

/** Lets a guest reach some addresses at some ports. */
export interface AddressRule extends EgressPorts {
  /**
   * An address, or a range of them as `10.0.0.0/8` or `2001:db8::/32`. Addresses of the host itself, of its links, of metadata services
   * and, in IPv6, of local networks (`fc00::/7`) are reached only if the whole range lies among them: neither `0.0.0.0/0` nor `::/0`
   * allows them, however they are written (`::ffff:127.0.0.1`). The host's loopback is reached as the guest's gateway: as 10.0.2.2 where
   * a rule names `127.0.0.1`, as fd53:5449:4c4c::2 where one names `::1`.
   */
  readonly addresses: string
}

/** Allows a host by name, at the addresses that this guest's name server gave for it. */
export interface HostRule extends EgressPorts {
  /**
   * A name, `*.example.com` for those below one, or `*` for any. It allows the addresses that the name server answered this guest
   * for it, and no others. It never allows addresses of the host itself, of its links or of metadata services, whatever the name
   * resolves to.
   */
  readonly host: string
}

/** Allows outside addresses, or a host by its name. */
export type EgressRule = AddressRule | HostRule

/**
 * The guest's name server, at 10.0.2.3 and fd53:5449:4c4c::3. It answers an unknown name, and one that no rule allows, with
 * `NXDOMAIN`.
 */
export interface GuestNames {
  /** Names, each with at most 14 addresses, of IPv4 and IPv6 together: answered with them and nothing else, whether or not a rule allows to reach them. */
  readonly table?: Readonly<Record<string, ReadonlyArray<string>>>
  /** The resolver for names that a {@link HostRule} allows and the table does not have; `host` if absent. */
  readonly resolver?: "host" | "none"
}

/** The outside addresses that a guest may reach: those that any of the rules allows. */
export interface EgressPolicy {
  readonly allow: ReadonlyArray<EgressRule>
  readonly names?: GuestNames
  /** Limits of all rules together; unlimited if absent. */
  readonly limits?: TrafficLimits
}

/**
 * The ports of a machine that was booted with `network`.
 *
 * @example
 * ```ts
 * import type { Machine } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * const serve = Effect.fn(function* (machine: Machine) {
 *   yield* machine.ports.allow({ allow: [{ addresses: "192.0.2.0/24", ports: [443] }] })
 *   const { host, hostPort } = yield* machine.ports.publish({ port: 8080 })
 *   console.log(`http://${host}:${hostPort}`)
 *   return yield* machine.run({ pace: "realTime" })
 * }, Effect.scoped)
 * ```
 */
export interface GuestPorts {
  /**
   * Listens on the host until the scope ends, and connects each client to the guest's port. Bytes pass in both directions while
   * the guest runs, at the pace of the slower side; an end or a reset on one side is passed on to the other. While the guest is
   * stopped, new clients wait. The guest is tried over IPv4 first, then over IPv6 if nothing listens there; if nothing listens on
   * either, connections are reset.
   *
   * Datagrams go through each as a whole, and may be lost as on any network; the guest sees each peer as a port of its gateway, until 30 s
   * of guest time without a datagram between the two.
   *
   * Limits: 64 ports; 1,024 connections, beyond which new ones wait; 512 peers of datagrams, of which the one that was silent for
   * longest makes room. A fork or a restored machine has none of these ports and publishes its own. Fails with `PortInUse`,
   * `PortPrivileged`, `AddressUnknown`, `TooManyPorts`, `NetworkInvalid`, `InterfaceMissing`, `HostRefused` or `Closed`.
   */
  readonly publish: (spec: PublishSpec) => Effect.Effect<PublishedPort, MachineError, Scope.Scope>
  /** Connections that are open now, into the guest and out of it. */
  readonly connections: Effect.Effect<number, MachineError>
  /**
   * Sets the outside addresses that the guest may reach from now on; by default, none. A forbidden connection is reset, a
   * forbidden datagram is answered with ICMP "prohibited", and a forbidden name with `NXDOMAIN`. Each refusal is reported as
   * `NetworkRefused`, with the name in place of the address. Open connections continue. A fork or a restored machine resolves
   * names again. Fails with `NetworkInvalid` or `InterfaceMissing`.
   */
  readonly allow: (policy: EgressPolicy) => Effect.Effect<void, MachineError>
}
