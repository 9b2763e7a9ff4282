import type { IncomingMessage, Server, ServerResponse } from "node:http"
import { type AddressInfo, connect, type Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import * as fc from "fast-check"
import { makeHttpServer } from "./oneAtATime.ts"

type OnRequest = (request: IncomingMessage, response: ServerResponse) => void

/** A server, and a client of it; until the scope ends. */
const connected = (onRequest: OnRequest, idleMillis = 300_000) =>
  Effect.gen(function* () {
    const server = yield* Effect.acquireRelease(
      Effect.callback<Server>((resume) => {
        const made = makeHttpServer(idleMillis, onRequest)
        made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
      }),
      (made) =>
        Effect.sync(() => {
          made.close()
          made.closeAllConnections()
        })
    )
    return yield* Effect.acquireRelease(
      Effect.callback<Socket>((resume) => {
        const { port } = server.address() as AddressInfo
        const client = connect(port, "127.0.0.1", () => resume(Effect.succeed(client)))
        client.on("error", () => undefined)
      }),
      (client) => Effect.sync(() => client.destroy())
    )
  })

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

/** All that has come by now has been parsed. */
const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

interface Sent {
  readonly body: string
  readonly isChunked: boolean
}

const written = ({ body, isChunked }: Sent, index: number): string => {
  const head = `POST /${index} HTTP/1.1\r\nHost: x\r\n`
  return isChunked
    ? `${head}Transfer-Encoding: chunked\r\n\r\n${body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`}0\r\n\r\n`
    : `${head}Content-Length: ${body.length}\r\n\r\n${body}`
}

describe("a connection's requests", () => {
  it.live("are-begun-one-after-another-however-many-are-sent-without-reading", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const begun: Array<ServerResponse> = []
        const first = yield* Deferred.make<void>()
        const client = yield* connected((_, response) => {
          begun.push(response)
          Effect.runFork(Deferred.succeed(first, undefined))
        })
        for (let times = 0; times < 400; times++) client.write(get.repeat(2000))
        yield* Deferred.await(first)
        for (let count = 1; count < 200; count++) {
          yield* turn
          assert.lengthOf(begun, count)
          begun[count - 1]?.end("answer")
          while (begun.length === count) yield* turn
        }
        // TCP holds the client back: far from everything has been taken.
        assert.isAbove(client.writableLength, 0)
      })
    )
  )

  it.live("are-answered-in-order-wherever-they-are-cut", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.record({
              body: fc.oneof(
                fc.string({ unit: "binary-ascii", maxLength: 30 }),
                fc.integer({ min: 0, max: 100_000 }).map((length) => "\n".repeat(length)),
                fc.constant(get)
              ),
              isChunked: fc.boolean()
            }),
            { minLength: 1, maxLength: 12 }
          ),
          fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 5 }),
          (all, cuts) =>
            Effect.runPromise(
              Effect.scoped(
                Effect.gen(function* () {
                  const found: Array<string> = []
                  let open = 0
                  const client = yield* connected((request, response) => {
                    open += 1
                    assert.strictEqual(open, 1)
                    let body = ""
                    request.on("data", (bytes: Buffer) => (body += bytes.toString("latin1")))
                    request.on("end", () => {
                      found.push(body)
                      response.end(`<${request.url}>`)
                    })
                    response.on("close", () => (open -= 1))
                  })
                  let heard = ""
                  client.on("data", (bytes: Buffer) => (heard += bytes.toString("latin1")))
                  const text = all.map(written).join("")
                  for (let from = 0, index = 0; from < text.length; index++) {
                    const until = index < 500 ? from + (cuts[index % cuts.length] ?? 1) : text.length
                    client.write(text.slice(from, until), "latin1")
                    from = until
                    if (index % 7 === 0) yield* turn
                  }
                  const last = `</${all.length - 1}>`
                  while (!heard.includes(last)) yield* turn
                  assert.deepStrictEqual(
                    found,
                    all.map(({ body }) => body)
                  )
                  assert.deepStrictEqual(
                    heard.match(/<\/\d+>/g)?.map(String),
                    all.map((_, index) => `</${index}>`)
                  )
                })
              )
            )
        ),
        { numRuns: 30 }
      )
    )
  )

  it.live("that-is-served-ends-with-its-client-and-those-behind-it-never-begin", () =>
    Effect.scoped(
      Effect.gen(function* () {
        let begun = 0
        const isServed = yield* Deferred.make<void>()
        const isClosed = yield* Deferred.make<void>()
        const client = yield* connected((_, response) => {
          begun += 1
          Effect.runFork(Deferred.succeed(isServed, undefined))
          response.on("close", () => Effect.runFork(Deferred.succeed(isClosed, undefined)))
        })
        client.write(get.repeat(3))
        yield* Deferred.await(isServed)
        client.resetAndDestroy()
        yield* Deferred.await(isClosed)
        yield* turn
        assert.strictEqual(begun, 1)
      })
    )
  )

  it.live("whose-answer-is-not-read-are-told-of-the-time", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const isClosed = yield* Deferred.make<void>()
        const client = yield* connected((_, response) => {
          response.on("timeout", () => response.destroy())
          response.on("close", () => Effect.runFork(Deferred.succeed(isClosed, undefined)))
          response.end(Buffer.alloc(64 * 1024 * 1024))
        }, 100)
        client.write(get.repeat(3))
        yield* Deferred.await(isClosed)
      })
    )
  )
})
