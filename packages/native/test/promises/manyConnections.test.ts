/** Clients of a published port as a host meets them: many, at once, ones that stop reading, ones that flood, and rare ones. */
import { connect, type Socket } from "node:net"
import { readdirSync } from "node:fs"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import type { Machine, PublishedPort } from "@stillpoint/core"
import { Effect } from "effect"
import { layer } from "../guests.ts"
import { settle } from "../settle.ts"
import { fetched, inGuest, listening, sha256, url } from "./webGuest.ts"

const descriptors = (): number => readdirSync("/proc/self/fd").length

/** Everything that a socket gets, once it has ended; fails where it was reset. */
const all = (socket: Socket) =>
  Effect.promise(
    () =>
      new Promise<Buffer>((resolve, reject) => {
        const parts: Array<Buffer> = []
        socket.on("data", (part: Buffer) => parts.push(part))
        socket.on("end", () => resolve(Buffer.concat(parts)))
        socket.on("error", reject)
      })
  )

const connected = ({ host, hostPort }: PublishedPort) =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<Socket>((resolve, reject) => {
          const socket = connect(hostPort, host, () => resolve(socket)).on("error", reject)
        })
    ),
    (socket) => Effect.sync(() => void socket.destroy())
  )

/** Until the machine has that many connections. */
const untilConnections = (machine: Machine, count: number) =>
  Effect.gen(function* () {
    while ((yield* machine.ports.connections) !== count) yield* Effect.sleep("1 millis")
  })

/** A machine that lives and the port of the host's that leads to its pages. */
const living = Effect.gen(function* () {
  const machine = yield* listening
  const page = yield* inGuest(machine, "cat", "/www/index.html")
  const digest = (yield* inGuest(machine, "sha256sum", "/www/big")).split(" ")[0]
  const port = yield* machine.ports.publish({ port: 8080 })
  return { machine, page, digest, port }
})

describe("clients of a published port", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("a-hundred-at-once-and-hundreds-in-turn-are-all-answered-and-leave-nothing-behind", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { machine, page, port } = yield* living
          yield* machine.live()
          const ask = Effect.map(fetched(url(port)), (got) => assert.strictEqual(got.toString().trim(), page))
          yield* ask
          yield* untilConnections(machine, 0)
          const before = descriptors()
          // All of them stand open before the first one says anything.
          yield* Effect.scoped(
            Effect.gen(function* () {
              const sockets = yield* Effect.forEach(Array.from({ length: 100 }), () => connected(port))
              yield* untilConnections(machine, 100)
              const answers = yield* Effect.forEach(
                sockets,
                (socket) => {
                  socket.write("GET / HTTP/1.0\r\n\r\n")
                  return all(socket)
                },
                { concurrency: "unbounded" }
              )
              for (const answer of answers) assert.include(answer.toString(), page)
            })
          )
          for (let round = 0; round < 200; round++) yield* ask
          yield* untilConnections(machine, 0)
          yield* settle(() => descriptors() <= before)
          assert.isAtMost(descriptors(), before)
        })
      )
    )

    it.effect("a-reader-that-stops-holds-up-nobody-else-and-has-every-byte-when-it-goes-on", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { digest, machine, page, port } = yield* living
          yield* machine.live()
          const slow = yield* connected(port)
          slow.pause()
          slow.write("GET /big HTTP/1.0\r\n\r\n")
          yield* untilConnections(machine, 1)
          for (let round = 0; round < 5; round++) {
            assert.strictEqual((yield* fetched(url(port))).toString().trim(), page)
          }
          assert.isAtLeast(yield* machine.ports.connections, 1)
          const answer = yield* all(slow.resume())
          const body = answer.subarray(answer.indexOf("\r\n\r\n") + 4)
          assert.strictEqual(sha256(body), digest)
        })
      )
    )

    it.effect("a-flood-into-a-guest-that-does-not-read-stops-where-its-buffers-are-full", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { machine, page, port } = yield* living
          yield* machine.live()
          // A server that takes connections and reads nothing: it stands stopped.
          const stopped = yield* machine.spawn({ argv: ["nc", "-l", "-p", "9", "-e", "sleep", "1000000"] })
          const other = yield* machine.ports.publish({ port: 9 })
          while (!(yield* inGuest(machine, "cat", "/proc/net/tcp", "/proc/net/tcp6")).includes(":0009 ")) {
            yield* Effect.yieldNow
          }
          const flood = yield* connected(other)
          flood.on("error", () => undefined)
          const bytes = Buffer.alloc(64 << 10)
          let isFull = false
          let still = 0
          let sent = -1
          while (!isFull) {
            while (flood.writableLength === 0) flood.write(bytes)
            // The buffers of the kernels and the stack are full once nothing moves while others are answered.
            assert.strictEqual((yield* fetched(url(port))).toString().trim(), page)
            still = flood.bytesWritten - flood.writableLength === sent ? still + 1 : 0
            sent = flood.bytesWritten - flood.writableLength
            isFull = still === 20
            assert.isBelow(sent, 64 << 20)
          }
          assert.isAbove(sent, 0)
          assert.isFalse(flood.destroyed)
          flood.destroy()
          yield* stopped.kill()
          yield* untilConnections(machine, 0)
        })
      )
    )

    it.effect("a-machine-that-dozes-is-woken-by-who-connects-and-dozes-again", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { machine, page, port } = yield* living
          const live = yield* machine.live({ idleTimeout: "100 millis" })
          for (let round = 0; round < 3; round++) {
            while ((yield* live.state).status !== "dozing") yield* Effect.sleep("1 millis")
            assert.strictEqual((yield* fetched(url(port))).toString().trim(), page)
            // The time for which it dozed is lost to its guest.
            assert.isAbove((yield* live.state).lostNanos, 0)
          }
        })
      )
    )
  })
})
