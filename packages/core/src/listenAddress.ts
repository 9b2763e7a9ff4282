/**
 * The addresses of a host's that a port can listen at.
 *
 * @module
 */
import { BlockList, isIP } from "node:net"
import { describeValue } from "./describeValue.ts"

const multicast = new BlockList()
multicast.addSubnet("224.0.0.0", 4, "ipv4")
multicast.addSubnet("ff00::", 8, "ipv6")
const mapped = new BlockList()
mapped.addSubnet("::ffff:0:0", 96, "ipv6")
const ofLinks = new BlockList()
ofLinks.addSubnet("fe80::", 10, "ipv6")

/** What is wrong with a host to listen at; `null` if nothing is. Ports of guests that are published have the same rule. */
export const listenAddressProblem = (host: unknown): string | null => {
  const version = typeof host === "string" ? isIP(host) : 0
  const expected = `expected an IP address of this host's, such as 127.0.0.1 or ::1, found ${describeValue(host)}`
  if (typeof host !== "string") return expected
  if (host.includes("%")) return `${expected}: one with a zone cannot be listened at`
  if (version === 0) return `${expected}: names are not looked up`
  const kind = version === 4 ? "ipv4" : "ipv6"
  if (kind === "ipv6" && mapped.check(host, kind)) return `${expected}: write one of IPv4 without ::ffff:`
  if (host === "255.255.255.255" || multicast.check(host, kind)) return `${expected}: that is nobody's own`
  if (kind === "ipv6" && ofLinks.check(host, kind))
    return `${expected}: one of a link says nothing without its interface`
  return null
}
