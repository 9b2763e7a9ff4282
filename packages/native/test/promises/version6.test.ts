/** A Linux guest whose network speaks IPv6, too. */
import { connect } from "node:net"
import { networkInterfaces } from "node:os"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import type { Machine } from "@stillpoint/core"
import { Effect } from "effect"
import { layer } from "../guests.ts"
import { fetched, hostServer, inGuest, listening, listeningWith, url, whileRunning } from "./webGuest.ts"

const guestAddress = "fd53:5449:4c4c::15"
const gateway = "fd53:5449:4c4c::2"
const nameServer = "fd53:5449:4c4c::3"

const hasLoopback = Object.values(networkInterfaces())
  .flat()
  .some((it) => it?.address === "::1")

const said = (machine: Machine, command: string) =>
  Effect.map(machine.exec({ argv: ["sh", "-c", command] }), ({ code, stdout }) => ({
    code,
    text: Buffer.from(stdout).toString().trim()
  }))

/** The refusals since the last call. */
const refusals = (machine: Machine) => {
  let known = 0
  return Effect.map(machine.eventsSoFar(), (events) => {
    const since = events.slice(known)
    known = events.length
    return since.flatMap((event) =>
      event._tag === "NetworkRefused" ? [`${event.protocol} ${event.address} ${event.port} ${event.reason}`] : []
    )
  })
}

/** Connections of a guest's over IPv6 that stand open. */
const open = (machine: Machine) =>
  Effect.map(
    inGuest(machine, "cat", "/proc/net/tcp6"),
    (table) => table.split("\n").filter((line) => /:1F91 [0-9A-F]*0{4}02000000:\S+ 01 /.test(line)).length
  )

const skipped = hasLoopback ? "" : " (skipped: this host has no address ::1)"

describe.skipIf(!hasLoopback)(`version 6${skipped}`, { timeout: 300_000 }, () => {
  withLayer(layer)((it) => {
    it.effect("a-guest-has-an-address-of-version-6-and-reaches-with-it-what-it-may", () =>
      Effect.gen(function* () {
        const machine = yield* listening
        const refused = refusals(machine)
        const addresses = yield* inGuest(machine, "ip", "-6", "addr", "show", "dev", "eth0")
        assert.match(addresses, /inet6 fd53:5449:4c4c::15\/64 scope global/)
        assert.notMatch(addresses, /tentative|dadfailed/)
        assert.match(yield* inGuest(machine, "ip", "-6", "route"), /default via fd53:5449:4c4c::2 dev eth0/)
        assert.deepStrictEqual(yield* refused, [])

        const { code, text } = yield* said(machine, `ping -6 -c 2 -W 5 ${gateway}`)
        assert.match(text, /2 packets transmitted, 2 packets received/)
        assert.strictEqual(code, 0)
        assert.notStrictEqual((yield* said(machine, "ping -6 -c 1 -W 1 2001:db8::1")).code, 0)
        assert.deepStrictEqual(yield* refused, ["icmp 2001:db8::1 0 NotAllowed"])

        const port = yield* hostServer("::1")
        const wget = said(machine, `wget -q -O - -T 20 'http://[${gateway}]:${port}/'`)
        assert.notStrictEqual((yield* wget).code, 0)
        assert.deepStrictEqual(yield* refused, [`tcp ${gateway} ${port} NotAllowed`])
        // Neither everything nor the loopback of the other version is the loopback.
        yield* machine.ports.allow({ allow: [{ addresses: "::/0" }, { addresses: "127.0.0.1" }] })
        assert.notStrictEqual((yield* wget).code, 0)
        yield* machine.ports.allow({ allow: [{ addresses: "::1", ports: [port] }, { host: "*.test" }] })
        assert.deepStrictEqual(yield* wget, { code: 0, text: "from the host" })
        assert.deepStrictEqual(yield* refused, [`tcp ${gateway} ${port} NotAllowed`])

        // A name means what it was answered with, and is never the host.
        yield* machine.ports.allow({
          allow: [{ host: "*.test" }],
          names: { table: { "db.test": ["2001:db8::7"], "host.test": [gateway] }, resolver: "none" }
        })
        const looked = yield* said(machine, `nslookup -type=aaaa db.test ${nameServer}`)
        assert.match(looked.text, /2001:db8::7/)
        assert.deepStrictEqual(yield* refused, [])
        assert.notStrictEqual((yield* said(machine, `wget -q -O - -T 20 http://host.test:${port}/`)).code, 0)
        assert.deepStrictEqual(yield* refused, [`tcp ${gateway} ${port} NotAllowed`])
      })
    )

    it.effect("a-published-port-of-version-6-leads-to-who-listens-and-connections-of-before-are-reset-in-a-clone", () =>
      Effect.gen(function* () {
        // One that may change its network's settings, for the end.
        const machine = yield* listeningWith({ privileged: true })
        const page = yield* inGuest(machine, "cat", "/www/index.html")
        const port = yield* machine.ports.publish({ port: 8080, host: "::1" })
        assert.strictEqual(port.host, "::1")
        assert.strictEqual((yield* whileRunning(machine, fetched(url(port)))).toString().trim(), page)

        // A listener on IPv6 alone is reached too, whatever the host's address.
        const listens = yield* said(machine, `httpd -p '[${guestAddress}]:8081' -h /www`)
        assert.strictEqual(listens.code, 0)
        // The workload's own listener, of version 6 (one of a command is not told).
        const bound = (yield* machine.eventsSoFar()).flatMap((event) =>
          event._tag === "ListenerBound" ? [`${event.protocol} ${event.address} ${event.port}`] : []
        )
        assert.deepStrictEqual(bound, ["tcp :: 8080"])
        const alone = yield* machine.ports.publish({ port: 8081 })
        assert.strictEqual((yield* whileRunning(machine, fetched(url(alone)))).toString().trim(), page)
        const peers = (yield* machine.eventsSoFar()).flatMap((event) =>
          event._tag === "ConnectionOpened" ? [`${event.guestPort} ${event.peerAddress}`] : []
        )
        assert.deepStrictEqual(peers, ["8080 10.0.2.2", `8081 ${gateway}`])

        const client = connect(alone.hostPort, alone.host)
        client.on("error", () => undefined)
        yield* whileRunning(
          machine,
          Effect.gen(function* () {
            while ((yield* open(machine)) === 0) yield* Effect.yieldNow
          })
        )
        const clone = yield* machine.fork
        assert.deepStrictEqual([yield* open(clone), yield* open(machine)], [0, 1])
        const own = yield* clone.ports.publish({ port: 8081, host: "::1" })
        assert.strictEqual((yield* whileRunning(clone, fetched(url(own)))).toString().trim(), page)
        client.destroy()

        // A guest that configures itself finds the prefix and the router.
        const settings = "/proc/sys/net/ipv6/conf/eth0"
        yield* said(clone, `echo 1 > ${settings}/disable_ipv6; echo 1 > ${settings}/accept_ra`)
        yield* said(clone, `echo 1 > ${settings}/accept_dad; echo 0 > ${settings}/disable_ipv6; sleep 6`)
        const found = yield* inGuest(clone, "ip", "-6", "addr", "show", "dev", "eth0")
        assert.match(found, /inet6 fd53:5449:4c4c:0:\S+\/64 scope global dynamic/)
        assert.match(yield* inGuest(clone, "ip", "-6", "route"), /default via fe80::2 dev eth0/)
        assert.strictEqual((yield* said(clone, `ping -6 -c 1 -W 5 ${gateway}`)).code, 0)
      })
    )
  })
})
