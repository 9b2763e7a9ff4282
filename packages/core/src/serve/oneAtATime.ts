/**
 * An HTTP server that takes one request of a connection at a time.
 *
 * Node parses all that a client has sent, and so a client that sends many requests without reading an answer would have as many of
 * them open. Here its bytes reach the parser in small pieces, and those behind a request that is being served wait, at last in the
 * client's own socket.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { Duplex } from "node:stream"

/** A piece: it ends few requests, and so few wait behind the one that is served. */
const pieceBytes = 512

/** Bytes that may wait here before the client is not read. Until then, its end is seen at once. */
const mostWaitingBytes = 16 * 1024

/** A request, and the means to answer it. */
interface Asked {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** A client's connection, as the parser sees it. */
class Taken extends Duplex {
  readonly #socket: Socket
  readonly #begin: (asked: Asked) => void
  /** Bytes that the parser has not seen. */
  #waiting: Array<Buffer> = []
  #waitingBytes = 0
  #hasEnded = false
  #isWanted = false
  #current: Asked | null = null
  /** Parsed with the end of the one before. */
  #next: Array<Asked> = []
  /** Of the current request's body, that the parser has not seen: at least so many, less one piece. */
  #bodyBytes = 0

  constructor(socket: Socket, begin: (asked: Asked) => void) {
    // Nothing is parsed ahead.
    super({ allowHalfOpen: true, readableHighWaterMark: 1 })
    this.#socket = socket
    this.#begin = begin
    socket.on("data", (bytes: Buffer) => {
      this.#waiting.push(bytes)
      this.#waitingBytes += bytes.length
      if (this.#waitingBytes >= mostWaitingBytes) socket.pause()
      this.#feed()
    })
    socket.on("end", () => {
      this.#hasEnded = true
      this.#feed()
    })
    socket.on("timeout", () => this.emit("timeout"))
    socket.on("error", () => undefined)
    socket.on("close", () => this.destroy())
  }

  /** A request has been parsed. */
  parsed(asked: Asked): void {
    if (this.#current === null) this.#start(asked)
    else this.#next.push(asked)
  }

  #start(asked: Asked): void {
    this.#current = asked
    this.#bodyBytes = Number(asked.request.headers["content-length"] ?? 0)
    // After all others have heard of it.
    asked.response.once("close", () => process.nextTick(() => this.#goOn()))
    this.#begin(asked)
  }

  #goOn(): void {
    this.#current = null
    const next = this.#next.shift()
    if (this.destroyed) return
    if (next !== undefined) this.#start(next)
    this.#feed()
  }

  /** Whether what comes next belongs to the request that is served, or none is. */
  get #isOpen(): boolean {
    return this.#isWanted && this.#next.length === 0 && this.#current?.request.complete !== true
  }

  #feed(): void {
    while (this.#isOpen && this.#waitingBytes > 0) {
      const piece = this.#piece()
      if (this.#waitingBytes < mostWaitingBytes) this.#socket.resume()
      this.#isWanted = false
      // What has been parsed with it may have been answered, and more be wanted, when this returns.
      if (this.push(piece)) this.#isWanted = true
    }
    if (this.#isOpen && this.#hasEnded && this.#waitingBytes === 0) {
      this.#isWanted = false
      this.push(null)
    }
  }

  #piece(): Buffer {
    const first = this.#waiting[0] ?? Buffer.alloc(0)
    const most = Math.max(pieceBytes, this.#bodyBytes - pieceBytes)
    const piece = first.subarray(0, most)
    if (piece.length === first.length) this.#waiting.shift()
    else this.#waiting[0] = first.subarray(most)
    this.#waitingBytes -= piece.length
    this.#bodyBytes -= piece.length
    return piece
  }

  override _read(): void {
    this.#isWanted = true
    // Not within the call: what is pushed then is parsed later, and more is asked for before.
    process.nextTick(() => this.#feed())
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(bytes, done)
  }

  override _writev(
    all: Array<{ readonly chunk: Buffer; readonly encoding: BufferEncoding }>,
    done: (error?: Error | null) => void
  ): void {
    this.#socket.cork()
    all.forEach(({ chunk }, index) => this.#socket.write(chunk, index === all.length - 1 ? done : undefined))
    this.#socket.uncork()
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#waiting = []
    this.#waitingBytes = 0
    this.#socket.destroy()
    done(error)
  }

  /** As of a socket: the end of what it is timed by. */
  setTimeout(millis: number, then?: () => void): this {
    this.#socket.setTimeout(millis)
    if (then !== undefined) this.once("timeout", then)
    return this
  }

  /** As of a socket: closes it once all is written. */
  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once("finish", () => this.destroy())
  }
}

/** Milliseconds for which Node keeps a connection on which no further request comes. */
const keptMillis = 5_000

/**
 * A server that serves the requests of a connection one after another, in their order, and gives up clients that do not send a
 * request's header in that time; the code that answers times the connections.
 */
export const makeHttpServer = (
  idleMillis: number,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void
): Server => {
  const server = createServer(
    {
      // The duration of a body is not limited while it arrives.
      requestTimeout: 0,
      headersTimeout: idleMillis,
      connectionsCheckingInterval: Math.min(idleMillis, 30_000),
      keepAliveTimeout: Math.min(idleMillis, keptMillis)
    },
    (request, response) => (request.socket as unknown as Taken).parsed({ request, response })
  )
  server.timeout = idleMillis
  const parse = server.listeners("connection")
  server.removeAllListeners("connection")
  server.on("connection", (socket: Socket) => {
    const taken = new Taken(socket, ({ request, response }) => onRequest(request, response))
    for (const each of parse) Reflect.apply(each, server, [taken])
  })
  return server
}
