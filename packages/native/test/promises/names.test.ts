import { randomBytes } from "node:crypto"
import { createSocket } from "node:dgram"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { type BootSpec, type EgressPolicy, type Machine, Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Fiber } from "effect"
import { enough, layer } from "../guests.ts"
import { inGuest } from "./webGuest.ts"
import { compile, hasCompiler } from "./witness.ts"

/** A guest that sends back every datagram to its port 5353. */
const guest = Effect.gen(function* () {
  const kit = yield* GuestKit
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-datagrams-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const program = join(directory, "datagrams")
  compile("datagrams.c", program, "-static", "-O1")
  const spec = yield* kit.guest({
    workload: { argv: ["/datagrams", "echo", "5353"] },
    network: true,
    files: { "/datagrams": { from: program, mode: 0o755 } }
  })
  const machine = yield* (yield* Vmm).boot({ ...spec, network: {} } satisfies BootSpec)
  const stop = yield* machine.run({ kinds: ["ListenerBound"], budgetNanos: enough })
  if (stop.reason !== "event") yield* Effect.die(new Error(`expected ListenerBound, the run ended: ${stop.reason}`))
  return machine
})

const lookedUp = (machine: Machine, name: string) =>
  Effect.map(machine.exec({ argv: ["sh", "-c", `nslookup ${name}`] }), ({ stdout }) =>
    // Whom it asked is said with a port.
    [
      ...Buffer.from(stdout)
        .toString()
        .matchAll(/^Address(?: \d+)?:\s*(\d+\.\d+\.\d+\.\d+)$/gm)
    ].map(([, address]) => address)
  )

const refused = (machine: Machine) =>
  Effect.map(machine.eventsSoFar(), (events) =>
    events.flatMap((event) =>
      event._tag === "NetworkRefused" ? [{ protocol: event.protocol, address: event.address, port: event.port }] : []
    )
  )

const policy = (table: Record<string, ReadonlyArray<string>>): EgressPolicy => ({
  allow: [
    { host: "*.test", protocol: "udp" },
    { addresses: "127.0.0.1", protocol: "udp" }
  ],
  names: { table, resolver: "none" }
})

describe.skipIf(!hasCompiler)(
  `names and datagrams${hasCompiler ? "" : " (skipped: no cross compiler)"}`,
  { timeout: 300_000 },
  () => {
    withLayer(layer)((it) => {
      it.effect("a-guest-is-told-what-names-mean-and-what-it-may-not-know-is-nobodys", () =>
        Effect.gen(function* () {
          const machine = yield* guest
          assert.strictEqual(yield* inGuest(machine, "cat", "/etc/resolv.conf"), "nameserver 10.0.2.3")
          assert.deepStrictEqual(yield* lookedUp(machine, "db.test"), [])
          const names = (yield* refused(machine)).map(({ address }) => address)
          assert.isAbove(names.length, 0)
          assert.isTrue(names.every((name) => name === "db.test"))
          yield* machine.ports.allow(policy({ "DB.test": ["192.0.2.7", "192.0.2.8"] }))
          assert.includeMembers(yield* lookedUp(machine, "db.test"), ["192.0.2.7", "192.0.2.8"])
          assert.lengthOf(yield* refused(machine), names.length)
          // Over TCP, too: a question has its length before it, and so has its answer.
          const labels = Buffer.from("\u0002db\u0004test\0")
          const message = Buffer.concat([
            Buffer.from([7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
            labels,
            Buffer.from([0, 1, 0, 1])
          ])
          const octal = [0, message.length, ...message].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("")
          const answered = yield* inGuest(machine, "sh", "-c", `printf '${octal}' | timeout 1 nc 10.0.2.3 53 | xxd -p`)
          assert.include(answered.replaceAll("\n", ""), "c0000207")
          // The answers are in the timeline.
          const inputs = (yield* machine.eventsSoFar()).filter(
            (event) => event._tag === "HostInput" && event.kind === "network"
          )
          assert.isAbove(inputs.length, 0)
        })
      )

      it.effect("datagrams-go-through-a-published-port-and-come-back", () =>
        Effect.gen(function* () {
          const machine = yield* guest
          const port = yield* machine.ports.publish({ port: 5353, protocol: "udp" })
          assert.strictEqual(port.protocol, "udp")
          const client = yield* Effect.acquireRelease(
            Effect.sync(() => createSocket("udp4")),
            (socket) => Effect.sync(() => socket.close())
          )
          const answer = (bytes: Uint8Array) =>
            Effect.promise(
              () =>
                new Promise<Uint8Array>((resolve) => {
                  client.once("message", resolve)
                  client.send(bytes, port.hostPort, port.host)
                })
            )
          const running = yield* Effect.forkChild(machine.run({ pace: "realTime" }))
          const hello = Buffer.from("hello from the host")
          assert.isTrue(hello.equals(yield* answer(hello)))
          // The longest that there is goes in fragments, in both directions.
          const longest = randomBytes(65_507)
          assert.isTrue(longest.equals(yield* answer(longest)))
          yield* Fiber.interrupt(running)
        })
      )

      it.effect("a-guest-sends-datagrams-to-whom-it-may-and-is-told-of-the-others", () =>
        Effect.gen(function* () {
          const machine = yield* guest
          const server = yield* Effect.acquireRelease(
            Effect.promise(
              () =>
                new Promise<ReturnType<typeof createSocket>>((resolve) => {
                  const socket = createSocket("udp4")
                  socket.on("message", (bytes, { address, port }) => socket.send(`${bytes} back`, port, address))
                  socket.bind(0, "127.0.0.1", () => resolve(socket))
                })
            ),
            (socket) => Effect.sync(() => socket.close())
          )
          const { port } = server.address()
          const asked = inGuest(machine, "/datagrams", "ask", "10.0.2.2", String(port), "hello")
          // It is answered at once, long before its time-out.
          const said = yield* machine.exec({ argv: ["/datagrams", "ask", "10.0.2.2", String(port), "hello"] })
          assert.deepInclude(said, { code: 2 })
          assert.include(Buffer.from(said.stderr).toString(), "No route to host")
          assert.deepStrictEqual(yield* refused(machine), [{ protocol: "udp", address: "10.0.2.2", port }])
          yield* machine.ports.allow(policy({}))
          assert.strictEqual(yield* asked, "hello back")
        })
      )
    })
  }
)
