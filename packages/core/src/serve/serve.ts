/**
 * A host port behind which every connection, or every request, gets its own clone.
 *
 * ```text
 *  client ──▶ listener ──▶ lease on a clone ──▶ its published port ──▶ guest
 *                             ▲        │
 *               ClonePool ────┘        └─▶ closed when it has served, and replaced by the pool
 * ```
 *
 * @module
 */
import { type IncomingMessage, Server as HttpServer, type ServerResponse } from "node:http"
import { createServer, isIP, type Server, type Socket } from "node:net"
import { Cause, Duration, Effect, Exit, type Fiber, FiberSet } from "effect"
import { listenAddressProblem } from "../listenAddress.ts"
import {
  countProblems,
  durationProblems,
  isFunction,
  isRecord,
  kindProblems,
  orAbsent,
  portProblems,
  unknownProblems
} from "../optionProblems.ts"
import { type ClonePool, type ClonePoolOptions, makeClonePool, poolProblems } from "../pool/ClonePool.ts"
import { type Lease, makeLeases } from "./leases.ts"
import { makeHttpServer } from "./oneAtATime.ts"
import { answer, type Passed, passConnection, passRequest, whenUnread } from "./passing.ts"
import { type ServedHow, ServeError, type ServeReason } from "./ServeError.ts"

/** Options for serving clones. */
export interface ServeOptions {
  /** An existing pool of clones, or the options of one to make; a pool made here ends with the scope. */
  readonly pool: ClonePool | ClonePoolOptions
  /** TCP port in the guest that connections lead to. */
  readonly port: number
  /** Whether each TCP connection (the default, with any protocol) or each HTTP/1.1 request gets its own clone. */
  readonly per?: "connection" | "request"
  /** Host address to listen on; `127.0.0.1` if absent. */
  readonly host?: string
  /** Host port; any free port if 0 or absent. */
  readonly hostPort?: number
  /** Number of connections or requests that a clone serves, one after another, before it is replaced; 1 if absent. */
  readonly servesPerClone?: number
  /**
   * Maximum number of client connections at once; 1,024 if absent. Further ones are closed at once and counted as `turnedAway`.
   * A connection has one request at a time: those that it sends meanwhile wait in its client.
   */
  readonly maxOpen?: number
  /**
   * Host time after which a connection or request without any traffic is given up, also one that sends nothing, half of a
   * request's header, or does not read its answer; 5 minutes if absent. The wait for a clone does not count.
   */
  readonly idleTimeout?: Duration.Input
  /** Called when a connection or request has ended. */
  readonly onServed?: (served: Served) => Effect.Effect<void>
}

/** A connection or request that has ended. */
export interface Served {
  readonly how: ServedHow
  /** The machine that served it; `null` if none did. */
  readonly machineId: string | null
  /** Bytes that its client sent; with a clone per request, only the bytes of the request's body. */
  readonly bytesFromClient: number
  /** Bytes that its guest sent; with a clone per request, only the bytes of the response's body. */
  readonly bytesFromGuest: number
}

/** Counts of served connections or requests. */
export interface ServeStats {
  /** Those that are being served or wait for a clone. */
  readonly open: number
  /** Of those, the ones that wait for a clone. */
  readonly waiting: number
  /** Those that both sides finished. */
  readonly served: number
  /** Those that failed, other than through their client. */
  readonly failed: number
  /** Connections that were closed at once because there were too many. */
  readonly turnedAway: number
  /** The latest failure; `null` if there was none. */
  readonly lastFailure: ServedHow | null
}

/** Clones that are served. */
export interface ServedClones {
  readonly host: string
  readonly hostPort: number
  readonly stats: Effect.Effect<ServeStats>
  /** Stops listening and waits for open connections. Closing the scope resets them instead. */
  readonly drain: Effect.Effect<void>
}

const optionNames = {
  pool: true,
  port: true,
  per: true,
  host: true,
  hostPort: true,
  servesPerClone: true,
  maxOpen: true,
  idleTimeout: true,
  onServed: true
} as const satisfies Record<keyof ServeOptions, true>

const isPool = (pool: ClonePool | ClonePoolOptions): pool is ClonePool => "acquire" in pool

const poolOptionProblems = (pool: ServeOptions["pool"]): ReadonlyArray<string> => {
  if (!isRecord(pool)) return kindProblems("serve.pool", pool, "a pool, or the options of one", isRecord)
  if (isPool(pool)) return kindProblems("serve.pool.acquire", pool.acquire, "an effect", Effect.isEffect)
  return [
    ...poolProblems(pool),
    ...kindProblems("pool.snapshot", pool.snapshot, "a directory", (found) => typeof found === "string")
  ]
}

const hostProblems = (host: unknown): ReadonlyArray<string> => {
  const problem = host === undefined ? null : listenAddressProblem(host)
  return problem === null ? [] : [`serve.host: ${problem}`]
}

const serveProblems = (options: ServeOptions): ReadonlyArray<string> => {
  if (!isRecord(options)) return kindProblems("serve", options, "the options of serving", isRecord)
  return [
    ...unknownProblems("serve", options, optionNames),
    ...poolOptionProblems(options.pool),
    ...portProblems("serve.port", options.port, 1, "required"),
    ...portProblems("serve.hostPort", options.hostPort, 0),
    ...hostProblems(options.host),
    ...kindProblems(
      "serve.per",
      options.per,
      `"connection" or "request"`,
      orAbsent((found) => found === "connection" || found === "request")
    ),
    ...countProblems("serve.servesPerClone", options.servesPerClone, 1),
    ...countProblems("serve.maxOpen", options.maxOpen, 1),
    ...durationProblems("serve.idleTimeout", options.idleTimeout),
    ...kindProblems("serve.onServed", options.onServed, "a function", orAbsent(isFunction))
  ]
}

const refuse = (reason: ServeReason): ServeError => new ServeError({ reason })

const listenReason = (error: NodeJS.ErrnoException, address: string): ServeReason => {
  switch (error.code) {
    case "EADDRINUSE":
      return { _tag: "PortInUse", address }
    case "EACCES":
      return { _tag: "PortPrivileged", address }
    case "EADDRNOTAVAIL":
      return { _tag: "AddressUnknown", address }
    default:
      return { _tag: "HostRefused", address, message: error.message }
  }
}

/** Listens until the scope ends, and then ends `work` with all connections; returns the port. */
const listen = (server: Server, host: string, port: number, work: FiberSet.FiberSet<void>) =>
  Effect.acquireRelease(
    Effect.callback<number, ServeError>((resume) => {
      const address = isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
      server.once("error", (error) => resume(refuse(listenReason(error, address))))
      // An error of one connection, such as a lack of descriptors, does not end the server.
      server.on("error", () => undefined)
      server.listen({ host, port }, () => {
        const at = server.address()
        resume(Effect.succeed(typeof at === "object" && at !== null ? at.port : port))
      })
    }),
    () =>
      Effect.gen(function* () {
        server.close()
        yield* FiberSet.clear(work)
        if (server instanceof HttpServer) server.closeAllConnections()
      })
  )

/** A client's request, and the means to answer it. */
interface Work {
  /** Passes the clone's answer on, until both sides have ended. */
  readonly pass: (lease: Lease, passed: Passed) => Effect.Effect<ServedHow>
  /** There is no clone for it. */
  readonly refuse: (how: ServedHow) => void
  /** Calls that when the client is gone. */
  readonly onGone: (then: () => void) => void
}

/** The client's address. */
interface Client {
  isGone: boolean
  /** For a clone. */
  isWaiting: boolean
}

/** Ends that are not failures. */
const isNoFailure = ({ _tag }: ServedHow): boolean => _tag === "Ended" || _tag === "ClientReset" || _tag === "Stopped"

/**
 * Listens on the host and gives each connection, or each HTTP request, its own clone, until the scope ends.
 *
 * The clone runs as a {@link LiveMachine} meanwhile and is destroyed afterwards, so no client sees what another one left behind; with
 * `servesPerClone` it serves several, one after another. Clients wait for a clone as long as the pool allows; after that, a connection
 * is reset and a request is answered with 503. If a guest has no listener, ends, or is silent for `idleTimeout`, only its own client
 * loses the connection (502, 504).
 *
 * Returns once the first clone is ready. Fails with `PortInUse`, `PortPrivileged`, `AddressUnknown`, `HostRefused`, `MachineFailed`
 * (`InterfaceMissing`: the snapshot's machine was booted without `network`) or `OptionsInvalid`, and with the errors of a pool.
 *
 * @example
 * ```ts
 * import { serve } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const { host, hostPort } = yield* serve({ pool: { snapshot: "snapshots/web", ready: 8 }, port: 8080, per: "request" })
 *   console.log(`http://${host}:${hostPort}`)
 *   return yield* Effect.never
 * }))
 * ```
 */
export const serve = Effect.fn("serve")(function* (options: ServeOptions) {
  const [problem, ...problems] = serveProblems(options)
  if (problem !== undefined) {
    return yield* refuse({ _tag: "OptionsInvalid", problems: [problem, ...problems] })
  }
  const pool = isPool(options.pool) ? options.pool : yield* makeClonePool(options.pool)
  const leases = makeLeases(pool, options.port, options.servesPerClone ?? 1)
  yield* Effect.addFinalizer(() => leases.close)
  yield* Effect.catchTag(leases.ready, "MachineError", ({ reason }) => refuse({ _tag: "MachineFailed", cause: reason }))
  // Node's timers take no more.
  const idleMillis = Math.min(
    2 ** 31 - 1,
    Duration.toMillis(Duration.fromInputUnsafe(options.idleTimeout ?? "5 minutes"))
  )
  const stats = { open: 0, waiting: 0, served: 0, failed: 0, turnedAway: 0, lastFailure: null as ServedHow | null }

  const report = (served: Served): Effect.Effect<void> => {
    stats.open -= 1
    if (served.how._tag === "Ended") stats.served += 1
    if (!isNoFailure(served.how)) {
      stats.failed += 1
      stats.lastFailure = served.how
    }
    return options.onServed === undefined ? Effect.void : Effect.catchCause(options.onServed(served), Effect.logWarning)
  }

  const handle = (work: Work, client: Client) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const taken = yield* Effect.exit(leases.take(restore))
        client.isWaiting = false
        stats.waiting -= 1
        if (Exit.isFailure(taken)) {
          const how = client.isGone ? clientReset : whyNone(taken.cause)
          work.refuse(how)
          return yield* report({ how, machineId: null, bytesFromClient: 0, bytesFromGuest: 0 })
        }
        const lease = taken.value
        const passed: Passed = { fromClient: 0, fromGuest: 0 }
        const guestEnded = Effect.match(lease.live.ended, {
          onSuccess: ({ reason }): ServedHow => ({ _tag: "GuestEnded", message: `the guest ended: ${reason}` }),
          onFailure: ({ message }): ServedHow => ({ _tag: "GuestEnded", message })
        })
        const exit = yield* Effect.exit(restore(Effect.raceFirst(work.pass(lease, passed), guestEnded)))
        const how = Exit.isSuccess(exit) ? exit.value : client.isGone ? clientReset : whyNone(exit.cause)
        if (Exit.isFailure(exit)) work.refuse(how)
        yield* report({
          how,
          machineId: lease.clone.machine.id,
          bytesFromClient: passed.fromClient,
          bytesFromGuest: passed.fromGuest
        })
        yield* leases.giveBack(lease, how._tag === "Ended" || how._tag === "ClientReset")
      })
    )

  const work = yield* FiberSet.make<void, never>()
  const run = yield* FiberSet.runtime(work)()
  const begin = (one: Work): void => {
    const client: Client = { isGone: false, isWaiting: true }
    let fiber: Fiber.Fiber<void> | null = null
    stats.open += 1
    stats.waiting += 1
    one.onGone(() => {
      client.isGone = true
      if (client.isWaiting) fiber?.interruptUnsafe()
    })
    fiber = run(handle(one, client))
  }

  let isDraining = false
  const server: Server =
    options.per === "request"
      ? makeHttpServer(idleMillis, (request, response) => {
          if (isDraining) response.shouldKeepAlive = false
          begin(requestWork(request, response, idleMillis))
        })
      : createServer({ allowHalfOpen: true, noDelay: true }, (client) => begin(connectionWork(client, idleMillis)))
  server.maxConnections = options.maxOpen ?? 1024
  server.on("drop", () => (stats.turnedAway += 1))
  const host = options.host ?? "127.0.0.1"
  const hostPort = yield* listen(server, host, options.hostPort ?? 0, work)
  return {
    host,
    hostPort,
    stats: Effect.sync(() => ({ ...stats })),
    drain: Effect.suspend(() => {
      isDraining = true
      server.close()
      return FiberSet.awaitEmpty(work)
    })
  } satisfies ServedClones
})

const clientReset: ServedHow = { _tag: "ClientReset" }

/** The reason for a missing answer. */
const whyNone = (cause: Cause.Cause<LeaseFailure>): ServedHow => {
  if (Cause.hasInterruptsOnly(cause)) return { _tag: "Stopped" }
  const error = Cause.squash(cause) as LeaseFailure
  switch (error._tag) {
    case "PoolError":
      return { _tag: "NoClone", cause: error.reason }
    case "MachineError":
      return { _tag: "MachineFailed", cause: error.reason }
    default:
      return { _tag: "MachineFailed", cause: { _tag: "Panicked", message: Cause.pretty(cause) } }
  }
}
type LeaseFailure = Effect.Error<ReturnType<ReturnType<typeof makeLeases>["take"]>>

const connectionWork = (client: Socket, idleMillis: number): Work => {
  client.on("error", () => undefined)
  return {
    pass: ({ port }, passed) => passConnection(client, port, idleMillis, passed),
    refuse: () => void client.resetAndDestroy(),
    onGone: (then) => void client.once("close", then)
  }
}

const requestWork = (request: IncomingMessage, response: ServerResponse, idleMillis: number): Work => {
  request.on("error", () => undefined)
  response.on("error", () => undefined)
  whenUnread(response, () => void response.destroy())
  return {
    pass: ({ port }, passed) => passRequest(request, response, port, idleMillis, passed),
    refuse: () => answer(response, 503, "no clone is to be had"),
    onGone: (then) => void response.once("close", then)
  }
}
