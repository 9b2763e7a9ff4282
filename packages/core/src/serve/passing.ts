/**
 * One client and the port of its clone: bytes of a connection, or a request and its answer.
 *
 * @module
 */
import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from "node:http"
import { connect, type Socket } from "node:net"
import { Effect } from "effect"
import type { PublishedPort } from "../GuestPorts.ts"
import type { ServedHow } from "./ServeError.ts"

/** Bytes that went through so far. */
export interface Passed {
  fromClient: number
  fromGuest: number
}

const hasSaidAll = (socket: Socket): boolean => socket.readableEnded && socket.writableFinished

/**
 * Passes bytes in both directions until both sides have ended. The end of one side is passed on once everything before it has
 * passed; a reset is passed on as a reset; a slow reader slows the writer down. Interruption resets both.
 */
export const passConnection = (
  client: Socket,
  port: PublishedPort,
  idleMillis: number,
  passed: Passed
): Effect.Effect<ServedHow> =>
  Effect.callback<ServedHow>((resume) => {
    if (client.destroyed) return resume(Effect.succeed({ _tag: "ClientReset" }))
    const guest = connect({ host: port.host, port: port.hostPort, allowHalfOpen: true, noDelay: true })
    let how: ServedHow | null = null
    let open = 2
    const end = (because: ServedHow): void => {
      how ??= because
      for (const socket of [client, guest]) if (!socket.destroyed) socket.resetAndDestroy()
    }
    const onClose = (socket: Socket, reset: ServedHow) => () => {
      passed.fromClient = client.bytesRead
      passed.fromGuest = guest.bytesRead
      if (!hasSaidAll(socket)) end(reset)
      open -= 1
      if (open === 0) resume(Effect.succeed(how ?? { _tag: "Ended" }))
    }
    guest.on("error", () => undefined)
    guest.on("close", onClose(guest, { _tag: "GuestReset" }))
    client.on("close", onClose(client, { _tag: "ClientReset" }))
    client.setTimeout(idleMillis, () => end({ _tag: "Idle", idleMillis }))
    client.pipe(guest)
    guest.pipe(client)
    return Effect.sync(() => end({ _tag: "Stopped" }))
  })

/** Headers that concern one connection only, and are not passed on (RFC 9110, 7.6.1). */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect"
])

const passedOn = (message: IncomingMessage): OutgoingHttpHeaders => {
  const named = new Set((message.headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase()))
  return Object.fromEntries(
    Object.entries(message.headersDistinct)
      .filter(([name]) => !hopByHop.has(name) && !named.has(name))
      .map(([name, values]) => [name, values?.length === 1 ? values[0] : values])
  )
}

/** Answers for a guest that does not. */
export const answer = (response: ServerResponse, status: number, text: string): void => {
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  response.writeHead(status, { "content-type": "text/plain", connection: "close" }).end(`${text}\n`)
}

/** Whether part of the answer waits for the client to read it. */
const isUnread = (response: ServerResponse): boolean => response.writableEnded || response.writableLength > 0

/**
 * Says what happens if the client does not read its answer in time, in place of what was said before. Node closes a connection whose
 * time-out nobody hears, which must not happen while it waits for a clone.
 */
export const whenUnread = (response: ServerResponse, then: () => void): void => {
  response.removeAllListeners("timeout")
  response.on("timeout", () => {
    if (isUnread(response)) then()
  })
}

/** Passes a request on, and its answer back: 502 where the guest does not give one, 504 where it does not in time. */
export const passRequest = (
  request: IncomingMessage,
  response: ServerResponse,
  port: PublishedPort,
  idleMillis: number,
  passed: Passed
): Effect.Effect<ServedHow> =>
  Effect.callback<ServedHow>((resume) => {
    if (response.destroyed) return resume(Effect.succeed({ _tag: "ClientReset" }))
    let how: ServedHow | null = null
    let isAnswered = false
    const fail = (because: ServedHow, status: number, text: string): void => {
      if (how !== null) return
      how = because
      answer(response, status, text)
      asked.destroy()
    }
    const failed = (error: NodeJS.ErrnoException): void => {
      if (isAnswered) return
      // The error of Node's parser for an unreadable answer.
      if (error.code?.startsWith("HPE_") !== true)
        return fail({ _tag: "GuestReset" }, 502, "the guest reset the connection, or does not listen")
      const problem = error.message.replace(/^Parse Error: /, "")
      fail({ _tag: "AnswerInvalid", problem }, 502, `the guest's answer is not valid HTTP/1.1: ${problem}`)
    }
    const headers = passedOn(request)
    if (request.headers["transfer-encoding"] !== undefined) headers["transfer-encoding"] = "chunked"
    const asked = httpRequest({
      host: port.host,
      port: port.hostPort,
      method: request.method ?? "GET",
      path: request.url ?? "/",
      headers,
      setHost: false,
      agent: false
    })
    asked.on("response", (answered) => {
      const status = answered.statusCode ?? 502
      const writeHead = (): void => {
        if (!response.headersSent) response.writeHead(status, answered.statusMessage, passedOn(answered))
      }
      answered.on("error", failed)
      if (request.method === "HEAD" || status === 204 || status === 304) {
        // There is no body (RFC 9112, 6.3): one that the guest sends nevertheless is dropped.
        isAnswered = true
        writeHead()
        response.end()
        return
      }
      // Not before: an answer may turn out to be invalid.
      answered.on("data", (bytes: Buffer) => {
        writeHead()
        passed.fromGuest += bytes.length
      })
      answered.on("end", writeHead)
      answered.pipe(response)
    })
    asked.on("error", failed)
    const onIdle = () => fail({ _tag: "Idle", idleMillis }, 504, `nothing was heard for ${idleMillis} ms`)
    asked.setTimeout(idleMillis, onIdle)
    // The guest may have said all, and be gone, while the client does not read it.
    whenUnread(response, onIdle)
    request.on("data", (bytes: Buffer) => (passed.fromClient += bytes.length))
    request.pipe(asked)
    response.on("close", () => {
      if (!response.writableFinished) how ??= { _tag: "ClientReset" }
      asked.destroy()
      resume(Effect.succeed(how ?? { _tag: "Ended" }))
    })
    return Effect.sync(() => fail({ _tag: "Stopped" }, 503, "serving was stopped"))
  })
