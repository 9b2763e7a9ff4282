import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import type { Machine } from "@stillpoint/core"
import { Effect, Exit, Fiber, Scope } from "effect"
import { layer } from "../guests.ts"
import { hostProgram, missingProgram } from "../hostProgram.ts"
import { fetched, hostServer, inGuest, listening, sha256, url, whileRunning } from "./webGuest.ts"

const noCurl = missingProgram("curl")

const closed = (socket: Socket) =>
  Effect.promise(() => new Promise<boolean>((resolve) => socket.on("close", resolve).on("error", () => undefined)))

const refusals = (machine: Machine) =>
  Effect.map(machine.eventsSoFar(), (events) => events.filter((event) => event._tag === "NetworkRefused"))

describe("ports", { timeout: 300_000 }, () => {
  withLayer(layer)((it) => {
    it.effect("a-program-of-the-host-gets-what-the-guest-serves-byte-by-byte", () =>
      Effect.gen(function* () {
        const machine = yield* listening
        const port = yield* machine.ports.publish({ port: 8080 })
        assert.strictEqual(port.host, "127.0.0.1")
        const page = yield* inGuest(machine, "cat", "/www/index.html")
        const digest = (yield* inGuest(machine, "sha256sum", "/www/big")).split(" ")[0]
        yield* whileRunning(
          machine,
          Effect.gen(function* () {
            assert.strictEqual((yield* fetched(url(port))).toString().trim(), page)
            const all = yield* Effect.all(
              Array.from({ length: 8 }, () => fetched(url(port, "/big"))),
              { concurrency: "unbounded" }
            )
            assert.deepStrictEqual(
              all.map(sha256),
              all.map(() => digest)
            )
          })
        )
        const inputs = (yield* machine.eventsSoFar()).filter(
          (event) => event._tag === "HostInput" && event.kind === "network"
        )
        assert.isAbove(inputs.length, 0)
        assert.deepStrictEqual(yield* refusals(machine), [])
      })
    )

    it.effect.skipIf(noCurl !== undefined)(`curl-gets-what-the-guest-serves${noCurl ?? ""}`, () =>
      Effect.gen(function* () {
        const machine = yield* listening
        const port = yield* machine.ports.publish({ port: 8080 })
        const page = yield* inGuest(machine, "cat", "/www/index.html")
        const got = yield* whileRunning(machine, hostProgram("curl", "-sS", "--noproxy", "*", url(port)))
        assert.deepStrictEqual({ ...got, stdout: got.stdout.trim() }, { code: 0, stdout: page })
      })
    )

    it.effect("a-port-with-limits-passes-no-more-than-they-say-and-says-which-are-none", () =>
      Effect.gen(function* () {
        const machine = yield* listening
        const bytesPerSecond = 8 * 1024 * 1024
        const port = yield* machine.ports.publish({ port: 8080, limits: { bytesPerSecond, connections: 1 } })
        const digest = (yield* inGuest(machine, "sha256sum", "/www/big")).split(" ")[0]
        const before = (yield* machine.eventsSoFar()).length
        const ask = fetched(url(port, "/big"))
        const pages = yield* whileRunning(machine, Effect.all([ask, ask], { concurrency: "unbounded" }))
        assert.deepStrictEqual(pages.map(sha256), [digest, digest])
        const after = (yield* machine.eventsSoFar()).slice(before)
        // One after the other: who came second waited.
        const open = after.flatMap((event) => (event._tag === "ConnectionOpened" ? [event.open] : []))
        assert.deepStrictEqual(open, [1, 1])
        const begun = after.find((event) => event._tag === "ConnectionOpened")?.atNanos ?? Infinity
        const taken = (after.at(-1)?.atNanos ?? 0) - begun
        const least = ((2 * 2 * 1024 * 1024) / bytesPerSecond) * 1e9 - 100_000_000
        assert.isAtLeast(taken, least)
        const wrong = { port: 8080, limits: { bytesPerSecond: 1, connections: 0 } }
        const refused = yield* Effect.flip(Effect.scoped(machine.ports.publish(wrong)))
        assert.deepInclude(refused.reason, { _tag: "NetworkInvalid" })
        assert.match(refused.message, /bytesPerSecond[^]*1024[^]*connections|connections[^]*bytesPerSecond/)
      })
    )

    it.effect("a-clone-has-ports-of-its-own-and-connections-of-before-are-reset-in-it", () =>
      Effect.gen(function* () {
        const machine = yield* listening
        const port = yield* machine.ports.publish({ port: 8080 })
        const page = yield* inGuest(machine, "cat", "/www/index.html")
        const count = (of: Machine) =>
          Effect.map(
            inGuest(of, "sh", "-c", "cat /proc/net/tcp /proc/net/tcp6"),
            (table) => table.split("\n").filter((line) => /:1F90 \S*0202000A:\S+ 01 /.test(line)).length
          )
        // A client that says nothing: its connection stands open.
        const client = connect(port.hostPort, port.host)
        yield* whileRunning(
          machine,
          Effect.gen(function* () {
            while ((yield* count(machine)) === 0) yield* Effect.yieldNow
          })
        )
        assert.strictEqual(yield* machine.ports.connections, 1)
        const clone = yield* machine.fork
        assert.strictEqual(yield* clone.ports.connections, 0)
        assert.strictEqual(yield* count(clone), 0)
        assert.strictEqual(yield* count(machine), 1)
        const other = yield* clone.ports.publish({ port: 8080 })
        assert.notStrictEqual(other.hostPort, port.hostPort)
        assert.strictEqual((yield* whileRunning(clone, fetched(url(other)))).toString().trim(), page)
        assert.strictEqual((yield* whileRunning(machine, fetched(url(port)))).toString().trim(), page)
        client.destroy()
      })
    )

    it.effect("a-machine-that-closes-in-the-middle-of-traffic-resets-its-clients-and-listens-no-more", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const machine = yield* Effect.provideService(listening, Scope.Scope, scope)
        const port = yield* Effect.provideService(machine.ports.publish({ port: 8080 }), Scope.Scope, scope)
        const client = connect(port.hostPort, port.host)
        client.write("GET /big HTTP/1.0\r\n\r\n")
        const begun = Effect.promise(() => new Promise((resolve) => client.once("data", resolve)))
        yield* whileRunning(machine, begun)
        const gone = yield* Effect.forkChild(closed(client))
        client.resume()
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.join(gone)
        const again = connect(port.hostPort, port.host)
        assert.isTrue(yield* closed(again))
      })
    )

    it.effect("a-guest-reaches-a-server-of-the-hosts-loopback-when-it-is-named-and-not-before", () =>
      Effect.gen(function* () {
        const machine = yield* listening
        const port = yield* hostServer("127.0.0.1")
        const wget = machine.exec({ argv: ["wget", "-q", "-O", "-", "-T", "20", `http://10.0.2.2:${port}/`] })
        assert.notStrictEqual((yield* wget).code, 0)
        const [refused] = yield* refusals(machine)
        assert.deepInclude(refused, {
          _tag: "NetworkRefused",
          protocol: "tcp",
          address: "10.0.2.2",
          port,
          reason: "NotAllowed",
          count: 1
        })
        yield* machine.ports.allow({ allow: [{ addresses: "0.0.0.0/0" }] })
        assert.notStrictEqual((yield* wget).code, 0)
        yield* machine.ports.allow({ allow: [{ addresses: "127.0.0.1", ports: [port] }] })
        const { code, stdout } = yield* wget
        assert.deepStrictEqual({ code, said: Buffer.from(stdout).toString() }, { code: 0, said: "from the host" })
        assert.lengthOf(yield* refusals(machine), 2)
      })
    )

    it.effect("what-cannot-be-published-is-refused-by-name", () =>
      Effect.gen(function* () {
        const machine = yield* listening
        const refused = (spec: Parameters<Machine["ports"]["publish"]>[0]) =>
          Effect.map(Effect.flip(machine.ports.publish(spec)), (error) => error.reason._tag)
        const taken = yield* Effect.promise(
          () =>
            new Promise<ReturnType<typeof createServer>>((resolve) => {
              const server = createServer().listen(0, "127.0.0.1", () => resolve(server))
            })
        )
        assert.strictEqual(yield* refused({ port: 80, hostPort: (taken.address() as AddressInfo).port }), "PortInUse")
        taken.close()
        assert.strictEqual(yield* refused({ port: 80, host: "192.0.2.1" }), "AddressUnknown")
        assert.strictEqual(yield* refused({ port: 0, hostPort: -1 }), "NetworkInvalid")
        assert.strictEqual(yield* refused({ port: 80, host: "localhost" }), "NetworkInvalid")
        const wrong = { port: 99_999, hostPort: 1.5, limits: { bytesPerSecond: "1" }, guestPort: 80 } as never
        const { reason } = yield* Effect.flip(machine.ports.publish(wrong))
        assert.deepStrictEqual(reason.message.split("; ").toSorted(), [
          "guestPort: no such option",
          "hostPort: expected 0 to 65535, found 1.5",
          "limits.bytesPerSecond: expected number, found 1",
          "port: expected 1 to 65535, found 99999",
          "there are port, protocol, host, hostPort, limits"
        ])
        const absent = yield* Effect.flip(machine.ports.publish({} as never))
        assert.strictEqual(absent.reason.message, "port: expected a value, found none")
        const problem = yield* Effect.flip(machine.ports.allow({ allow: [{ addresses: "example.com" }] }))
        assert.strictEqual(problem.reason._tag, "NetworkInvalid")
        const both = { addresses: "1.2.3.4", host: "a.test" }
        const all = yield* Effect.flip(
          machine.ports.allow({ allow: [both, { host: "1.2.3.4" }], names: { table: { "a b": ["::1"] } } })
        )
        for (const part of ["allow[0]: expected", "allow[1].host: expected", 'table["a b"]: expected', "[0]: expected"])
          assert.include(all.reason.message, part)
      })
    )
  })
})
