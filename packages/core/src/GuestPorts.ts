/**
 * A guest's network, as its host sees it: ports that lead into the guest, and whom the guest may reach.
 *
 * @module
 */
import type { Effect, Scope } from "effect"
import type { MachineError } from "./MachineErrors.ts"

/** The network interface of a machine. */
export interface NetworkSpec {
  /** Most bytes of a packet, 576 to 65535; 65520 if absent: no packet leaves the host's process as it is. */
  readonly mtu?: number
}

/** What carries bytes between a guest and its host: connections, or datagrams. */
export type TransportProtocol = "tcp" | "udp"

/**
 * How much may pass: by one published port, or to and from everybody whom a policy lets the guest reach. What may not pass yet waits, as
 * it does for a slow reader; only datagrams out of the guest are lost, and told as `NetworkRefused` with the reason `TooMany`.
 */
export interface TrafficLimits {
  /** Most connections at once, 1 to 1,024. Further ones to a published port wait, further ones out of the guest are refused. */
  readonly connections?: number
  /**
   * Most bytes in a second of guest time, 1,024 to 2^40, in both directions together: what connections and datagrams carry, without
   * headers. After a pause, those of a tenth of a second may pass at once. Connections share them alike.
   */
  readonly bytesPerSecond?: number
}

/** Which port of the guest's is published, and where. */
export interface PublishSpec {
  /** Port that a program of the guest's listens on, or will. */
  readonly guestPort: number
  /** `tcp` if absent. */
  readonly protocol?: TransportProtocol
  /** Address of the host's to listen on, IPv4 or IPv6, as `::1`; `127.0.0.1` if absent. An IPv6 address takes nobody of IPv4, `::` neither. */
  readonly host?: string
  /** The host's port; 0, or absent: any that is free. */
  readonly hostPort?: number
  /** How much may pass by this port; as much as can if absent. */
  readonly limits?: TrafficLimits
}

/** A port of the host's that leads to one of the guest's. */
export interface PublishedPort {
  readonly guestPort: number
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

/** Lets a guest reach a host, wherever this guest was told that it is. */
export interface HostRule extends EgressPorts {
  /**
   * A name, `*.example.com` for those below one, or `*` for any. It allows the addresses that the name server answered this guest for it, and
   * no others; never those of the host itself, of its links and of metadata services, whatever a name is said to mean.
   */
  readonly host: string
}

/** Lets a guest reach somebody: addresses, or a host by its name. */
export type EgressRule = AddressRule | HostRule

/** What the guest's questions for names, to 10.0.2.3 or fd53:5449:4c4c::3, are answered with. A name that nobody knows, or that no rule allows, is nobody's. */
export interface GuestNames {
  /** Names, each with at most 14 addresses, of IPv4 and IPv6 together: answered with them and nothing else, whether or not a rule allows to reach them. */
  readonly table?: Readonly<Record<string, ReadonlyArray<string>>>
  /** Who is asked for names that a {@link HostRule} allows and the table does not have: `host`, its resolver, if absent. */
  readonly resolver?: "host" | "none"
}

/** What a guest may reach: whatever one of the rules allows. */
export interface EgressPolicy {
  readonly allow: ReadonlyArray<EgressRule>
  readonly names?: GuestNames
  /** How much may pass by all rules together; as much as can if absent. */
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
 *   const { host, hostPort } = yield* machine.ports.publish({ guestPort: 8080 })
 *   console.log(`http://${host}:${hostPort}`)
 *   return yield* machine.run({ pace: "realTime" })
 * }, Effect.scoped)
 * ```
 */
export interface GuestPorts {
  /**
   * Listens on the host until the scope ends; whoever connects is connected to the guest's port. Bytes go through while the guest
   * runs, in both directions, at the pace of the slower side; an end or a reset of one side is one for the other. While the guest
   * stands still, who connects waits. Whoever listens in the guest is asked over IPv4, and over IPv6 if nobody is there; where nobody
   * listens at all, connections are reset.
   *
   * Datagrams go through each as a whole, and may be lost as on any network; the guest sees each peer as a port of its gateway, until 30 s
   * of guest time without a datagram between the two.
   *
   * At most 64 ports, 1,024 connections, of which further ones wait, and 512 peers of datagrams, of which the one that was silent for
   * longest makes room. A fork or a restored machine has none of them: it publishes ports
   * of its own. Fails with `PortInUse`, `PortPrivileged`, `AddressUnknown`, `TooManyPorts`, `NetworkInvalid`,
   * `InterfaceMissing`, `HostRefused` or `Closed`.
   */
  readonly publish: (spec: PublishSpec) => Effect.Effect<PublishedPort, MachineError, Scope.Scope>
  /** Connections that are open now, into the guest and out of it. */
  readonly connections: Effect.Effect<number, MachineError>
  /**
   * Says whom the guest may reach from now on: nobody, if nothing was said. What it may not reach is answered with a reset, a datagram
   * with the news that it is prohibited, a question for a name with nobody, and each is told as `NetworkRefused`, with the name in the
   * place of the address. Connections that it has go on. A fork or a restored machine asks for names anew. Fails with `NetworkInvalid` or `InterfaceMissing`.
   */
  readonly allow: (policy: EgressPolicy) => Effect.Effect<void, MachineError>
}
