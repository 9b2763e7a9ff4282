import { createServer as createHttpServer } from "node:http"
import { type AddressInfo, createServer } from "node:net"
import { Duplex } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { passRequest } from "./passing.ts"
import type { ServedHow } from "./ServeError.ts"

/** A client that sends a request and reads nothing of the answer; `told` is called with its first bytes. */
const stopped = (told: () => void): Duplex => {
  const client = new Duplex({ read: () => undefined, write: told })
  client.push("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
  return client
}

/** A guest that answers, and is gone; its port, until the scope ends. */
const guestPort = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() =>
      createServer((client) => {
        client.on("error", () => undefined)
        client.once("data", () => client.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
      })
    ),
    (server) => Effect.sync(() => server.close())
  ),
  (server) =>
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    })
).pipe(Effect.flatten)

describe("an answer of a guest's", () => {
  it.live("that-its-client-does-not-read-is-given-up-though-the-guest-has-said-all", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const hostPort = yield* guestPort
        const how = yield* Deferred.make<ServedHow>()
        const said = yield* Deferred.make<void>()
        const port = { port: 80, protocol: "tcp" as const, host: "127.0.0.1", hostPort }
        const server = createHttpServer((asked, response) => {
          // Of the clone's answer, not of the client, and so of no use here.
          const ages = 300_000
          const passing = passRequest(asked, response, port, ages, { fromClient: 0, fromGuest: 0 })
          Effect.runFork(Deferred.complete(how, passing))
          // The client is as silent while the guest has said nothing: that is not its fault.
          asked.socket.emit("timeout")
        })
        server.on("timeout", () => undefined)
        const client = stopped(() => Effect.runFork(Deferred.succeed(said, undefined)))
        server.emit("connection", client)
        yield* Deferred.await(said)
        client.emit("timeout")
        assert.deepStrictEqual(yield* Deferred.await(how), { _tag: "Idle", idleMillis: 300_000 })
      })
    )
  )
})
