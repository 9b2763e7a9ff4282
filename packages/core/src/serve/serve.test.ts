import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net"
import { request } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as fc from "fast-check"
import type { GuestPorts } from "../GuestPorts.ts"
import { Journal } from "../journal/Journal.ts"
import { noGuestPorts } from "../noGuestPorts.ts"
import * as Pipeline from "../pipeline/Pipeline.ts"
import { type ClonePoolOptions, makeClonePool } from "../pool/ClonePool.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import type { ScriptedVmmOptions } from "../testing/ScriptedState.ts"
import { scriptedMachines, ScriptedVmm } from "../testing/ScriptedVmm.ts"
import { serviceScript } from "../testing/guestScript.ts"
import { serve, type Served, type ServeOptions } from "./serve.ts"

/** A guest's treatment of its clients. */
type Guest = (client: Socket, which: number) => void

/** Ports behind which such guests are, counted in the order in which they are published. */
const portsOf = (guest: Guest): GuestPorts & { open: number } => {
  let which = 0
  const ports = {
    ...noGuestPorts,
    open: 0,
    publish: ({ port }: { readonly port: number }) =>
      Effect.acquireRelease(
        Effect.callback<Server>((resume) => {
          const number = which++
          const server = createServer({ allowHalfOpen: true }, (client) => {
            client.on("error", () => undefined)
            guest(client, number)
          })
          ports.open += 1
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) =>
          Effect.sync(() => {
            ports.open -= 1
            server.close()
          })
      ).pipe(
        Effect.map((server) => ({
          port,
          protocol: "tcp" as const,
          host: "127.0.0.1",
          hostPort: (server.address() as AddressInfo).port
        }))
      )
  }
  return ports
}

const echo: Guest = (client) => void client.pipe(client)

const host = (options: ScriptedVmmOptions) =>
  Layer.provideMerge(
    Layer.mergeAll(ScriptedVmm.layer(options), SnapshotStore.layer, Journal.layerMemory),
    new MemoryFiles().layer
  )

const snapshot = "/s/web"
type Options = Partial<Omit<ServeOptions, "pool">> & { readonly pool?: Partial<ClonePoolOptions> }
const published = Effect.orDie(
  Effect.scoped(Pipeline.run({ kernelPath: "/kernel" }, { policy: kindTrigger("WorkloadPreExec"), target: snapshot }))
)
const serving = (options: Options = {}) =>
  Effect.andThen(
    published,
    serve({ port: 80, ...options, pool: { snapshot, ready: 1, acquireTimeout: "5 minutes", ...options.pool } })
  )

/** The bytes that a client of the host's got, and the end of its connection. */
interface Heard {
  readonly text: string
  readonly isReset: boolean
}

/** Connects, says that, and listens to the end. */
const say = ({ host, hostPort }: { readonly host: string; readonly hostPort: number }, text: string) =>
  Effect.callback<Heard>((resume) => {
    let heard = ""
    let isReset = false
    const client = connect({ host, port: hostPort, allowHalfOpen: true }, () => client.end(text))
    client.on("data", (bytes: Buffer) => (heard += bytes.toString("latin1")))
    client.on("error", () => (isReset = true))
    client.on("close", () => resume(Effect.succeed({ text: heard, isReset })))
    return Effect.sync(() => void client.resetAndDestroy())
  })

/** Asks for a page; status and body. */
const ask = ({ host, hostPort }: { readonly host: string; readonly hostPort: number }, body = "", path = "/") =>
  Effect.callback<{ readonly status: number; readonly body: string }>((resume) => {
    const asked = request({ host, port: hostPort, path, agent: false, method: body === "" ? "GET" : "POST" }, (got) => {
      let text = ""
      got.on("data", (bytes: Buffer) => (text += bytes.toString()))
      got.on("close", () => resume(Effect.succeed({ status: got.statusCode ?? 0, body: text })))
      got.on("error", () => undefined)
    })
    asked.on("error", ({ message }) => resume(Effect.succeed({ status: 0, body: message })))
    asked.end(body)
  })

/** An HTTP server of one answer: which guest it is, and what it was asked. */
const page: Guest = (client, which) => {
  let asked = ""
  client.on("data", (bytes: Buffer) => {
    asked += bytes.toString("latin1")
    const end = asked.indexOf("\r\n\r\n")
    const length = Number(/content-length: (\d+)/i.exec(asked)?.[1] ?? 0)
    const isWhole = /transfer-encoding: chunked/i.test(asked)
      ? asked.endsWith("0\r\n\r\n")
      : asked.length >= end + 4 + length
    if (end < 0 || !isWhole) return
    const text = `${which} ${asked.slice(0, asked.indexOf("\r\n"))}`
    client.end(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`)
  })
}

/** Until it is so; a test whose it never is hangs, and is named by that. */
const until = <E, R>(isSo: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(isSo, (so) => (so ? Effect.void : Effect.andThen(Effect.sleep("1 millis"), until(isSo))))

const told = () => {
  const all: Array<Served> = []
  return { all, onServed: (served: Served) => Effect.sync(() => void all.push(served)) }
}

describe("served clones", () => {
  it.live("every-connection-has-a-clone-of-its-own-and-nothing-is-left-of-it", () =>
    Effect.gen(function* () {
      const ports = portsOf((client, which) => client.end(`${which}`))
      const before = scriptedMachines.open
      const { all, onServed } = told()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const served = yield* serving({ onServed, pool: { ready: 2, maximum: 3 } })
          const heard = yield* Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8], () => say(served, ""), { concurrency: 4 })
          assert.strictEqual(new Set(heard.map(({ text }) => text)).size, 8)
          yield* until(Effect.map(served.stats, ({ open, served: ended }) => open === 0 && ended === 8))
        })
      ).pipe(Effect.provide(host({ ports })))
      assert.strictEqual(new Set(all.map(({ machineId }) => machineId)).size, 8)
      assert.deepStrictEqual([scriptedMachines.open, ports.open], [before, 0])
    })
  )

  it.live("what-clients-and-guests-do-is-passed-on-and-costs-nobody-else", () =>
    Effect.promise(() => {
      let resets = 0
      let ends = 0
      return fc
        .assert(
          fc.asyncProperty(
            fc.array(
              fc.record({
                text: fc.oneof(fc.string({ maxLength: 20, unit: "binary-ascii" }), fc.constant("x".repeat(300_000))),
                guest: fc.constantFrom("echo", "reset", "silent"),
                isImpatient: fc.boolean()
              }),
              { minLength: 1, maxLength: 6 }
            ),
            fc.integer({ min: 1, max: 3 }),
            fc.integer({ min: 1, max: 3 }),
            async (clients, maximum, servesPerClone) => {
              // The first bytes say which guest it is to be.
              const ports = portsOf((client) =>
                client.once("data", (bytes: Buffer) => {
                  const letter = String.fromCharCode(bytes[0] ?? 0)
                  if (letter === "r") client.resetAndDestroy()
                  else if (letter === "e") {
                    client.write(bytes)
                    client.pipe(client)
                  }
                })
              )
              const program = Effect.scoped(
                Effect.gen(function* () {
                  const served = yield* serving({
                    servesPerClone,
                    pool: { ready: 1, maximum },
                    // A silent connection is given up.
                    idleTimeout: clients.some(({ guest }) => guest === "silent") ? "300 millis" : "5 minutes"
                  })
                  yield* Effect.forEach(
                    clients,
                    ({ guest, isImpatient, text }) =>
                      Effect.gen(function* () {
                        const whole = `${guest[0]}${text}`
                        if (isImpatient) {
                          const fiber = yield* Effect.forkChild(say(served, whole), { startImmediately: true })
                          yield* Effect.repeat(Effect.yieldNow, { times: text.length % 7 })
                          yield* Fiber.interrupt(fiber)
                          return
                        }
                        const heard = yield* say(served, whole)
                        if (guest === "echo" && !heard.isReset) {
                          ends += 1
                          assert.strictEqual(heard.text, whole)
                        } else {
                          resets += 1
                          assert.isTrue(heard.isReset || heard.text === "")
                        }
                      }),
                    { concurrency: "unbounded", discard: true }
                  )
                  yield* until(Effect.map(served.stats, ({ open }) => open === 0))
                  const stats = yield* served.stats
                  assert.isAtMost(stats.served + stats.failed, clients.length)
                })
              )
              await Effect.runPromise(program.pipe(Effect.provide(host({ ports }), { local: true })))
              assert.deepStrictEqual([scriptedMachines.open, ports.open], [0, 0])
            }
          ),
          { numRuns: 40 }
        )
        .then(() => assert.isAbove(Math.min(resets, ends), 0))
    })
  )

  it.live("one-that-may-serve-more-does-until-it-has-served-as-many", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const served = yield* serving({ servesPerClone: 3, per: "request", pool: { ready: 1, maximum: 1 } })
        const which = []
        for (let n = 0; n < 7; n++) which.push(Number((yield* ask(served)).body.split(" ")[0]))
        assert.deepStrictEqual(which, [0, 0, 0, 1, 1, 1, 2])
      })
    ).pipe(Effect.provide(host({ ports: portsOf(page) })))
  )

  it.live("every-request-of-a-connection-has-a-clone-and-is-passed-on-as-it-was", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const served = yield* serving({ per: "request" })
        assert.deepStrictEqual(yield* ask(served, "", "/a?b=c"), { status: 200, body: "0 GET /a?b=c HTTP/1.1" })
        assert.deepStrictEqual(yield* ask(served, "body", "/p"), { status: 200, body: "1 POST /p HTTP/1.1" })
        const url = `http://${served.host}:${served.hostPort}/`
        const texts = yield* Effect.forEach([1, 2, 3], () =>
          Effect.promise(() => fetch(url).then((response) => response.text()))
        )
        assert.strictEqual(new Set(texts).size, 3)
      })
    ).pipe(Effect.provide(host({ ports: portsOf(page) })))
  )

  it.live("a-guest-that-does-not-answer-is-told-as-what-it-did", () =>
    Effect.gen(function* () {
      const answers: Array<number> = []
      const { all, onServed } = told()
      // Only the one that is silent is to be given up, however slow its host is.
      const guests: ReadonlyArray<readonly [Guest, ServeOptions["idleTimeout"] & string]> = [
        [(client) => client.resetAndDestroy(), "5 minutes"],
        [() => undefined, "50 millis"],
        [(client) => client.end("nonsense\r\n\r\n"), "5 minutes"],
        [(client) => client.end("HTTP/1.1 200 OK\r\n\nno empty line of its own"), "5 minutes"]
      ]
      for (const [guest, idleTimeout] of guests) {
        const asking = Effect.scoped(
          Effect.gen(function* () {
            const served = yield* serving({ per: "request", idleTimeout, onServed })
            answers.push((yield* ask(served)).status)
            yield* until(Effect.map(served.stats, ({ open }) => open === 0))
          })
        )
        yield* asking.pipe(Effect.provide(host({ ports: portsOf(guest) }), { local: true }))
      }
      assert.deepStrictEqual(answers, [502, 504, 502, 502])
      assert.deepStrictEqual(
        all.map(({ how }) => how._tag),
        ["GuestReset", "Idle", "AnswerInvalid", "AnswerInvalid"]
      )
    })
  )

  it.live("a-guest-that-ends-resets-its-client", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { all, onServed } = told()
        const served = yield* serving({ onServed })
        assert.deepStrictEqual(yield* say(served, "hello"), { text: "", isReset: true })
        yield* until(Effect.sync(() => all.length === 1))
        assert.strictEqual(all[0]?.how._tag, "GuestEnded")
        assert.strictEqual((yield* served.stats).failed, 1)
      })
    ).pipe(
      Effect.provide(
        host({
          ports: portsOf(() => undefined),
          script: [
            ...serviceScript.filter(({ atNanos }) => atNanos < 1e9),
            { atNanos: 2e9, event: { _tag: "GuestHalted", reason: 0 }, isWorkload: true }
          ]
        })
      )
    )
  )

  it.live("who-waits-in-vain-is-told-and-who-leaves-meanwhile-takes-nothing", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { all, onServed } = told()
        const served = yield* serving({
          onServed,
          per: "request",
          pool: { ready: 1, maximum: 1, maxWaiting: 1 }
        })
        const held = yield* Effect.forkChild(ask(served), { startImmediately: true })
        yield* until(Effect.map(served.stats, ({ open, waiting }) => open === 1 && waiting === 0))
        const leaving = connect(served.hostPort, served.host, () => leaving.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
        yield* until(Effect.map(served.stats, ({ waiting }) => waiting === 1))
        assert.strictEqual((yield* ask(served)).status, 503)
        leaving.resetAndDestroy()
        yield* until(Effect.map(served.stats, ({ waiting }) => waiting === 0))
        assert.deepStrictEqual(
          all.map(({ how }) => how._tag),
          ["NoClone", "ClientReset"]
        )
        yield* Fiber.interrupt(held)
      })
    ).pipe(Effect.provide(host({ ports: portsOf(() => undefined) })))
  )

  it.live("draining-waits-for-who-is-served-and-closing-does-not", () =>
    Effect.gen(function* () {
      let go = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const run = Effect.runFork
      const ports = portsOf((client) => {
        client.resume()
        client.write("begun")
        run(
          Effect.andThen(
            Deferred.await(go),
            Effect.sync(() => client.end(" ended"))
          )
        )
      })
      yield* Effect.gen(function* () {
        const served = yield* Scope.provide(serving({ pool: { ready: 2 } }), scope)
        const first = yield* Effect.forkChild(say(served, "one"), { startImmediately: true })
        yield* until(Effect.map(served.stats, ({ open, waiting }) => open === 1 && waiting === 0))
        const draining = yield* Effect.forkChild(served.drain, { startImmediately: true })
        yield* Effect.sleep("1 millis")
        assert.isUndefined(draining.pollUnsafe())
        assert.isTrue((yield* say(served, "late")).isReset)
        yield* Deferred.succeed(go, undefined)
        assert.deepStrictEqual(yield* Fiber.join(first), { text: "begun ended", isReset: false })
        yield* Fiber.join(draining)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual([scriptedMachines.open, ports.open], [0, 0])

        // The next one is not let go: it stands open until it is reset.
        go = yield* Deferred.make<void>()
        const again = yield* Scope.make()
        const other = yield* Scope.provide(serve({ pool: { snapshot, ready: 1 }, port: 1 }), again)
        const silent = yield* Effect.forkChild(say(other, ""), { startImmediately: true })
        yield* until(Effect.map(other.stats, ({ open }) => open === 1))
        yield* Scope.close(again, Exit.void)
        yield* Fiber.join(silent)
        assert.deepStrictEqual([scriptedMachines.open, ports.open], [0, 0])
      }).pipe(Effect.provide(host({ ports })))
    })
  )

  it.live("what-cannot-be-served-is-refused-by-name-and-leaves-nothing", () =>
    Effect.gen(function* () {
      const refused = (options: Parameters<typeof serving>[0], ports: GuestPorts = portsOf(echo)) =>
        Effect.scoped(Effect.flip(serving(options))).pipe(Effect.provide(host({ ports }), { local: true }))
      const taken = yield* Effect.acquireRelease(
        Effect.callback<Server>((resume) => {
          const server = createServer().listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const hostPort = (taken.address() as AddressInfo).port
      assert.strictEqual((yield* refused({ hostPort })).reason._tag, "PortInUse")
      assert.strictEqual((yield* refused({ host: "192.0.2.1" })).reason._tag, "AddressUnknown")
      // As ports that are published, of which the core has the same rule.
      for (const [host, said] of [
        ["localhost", "names are not looked up"],
        ["fe80::1", "without its interface"],
        ["fe80::1%eth0", "with a zone"],
        ["::ffff:127.0.0.1", "without ::ffff:"],
        ["::FFFF:7f00:1", "without ::ffff:"],
        ["224.0.0.1", "nobody's own"],
        ["239.255.255.255", "nobody's own"],
        ["255.255.255.255", "nobody's own"],
        ["ff02::1", "nobody's own"]
      ] as const) {
        const { message, reason } = yield* refused({ host })
        assert.strictEqual(reason._tag, "OptionsInvalid", host)
        assert.include(message, said)
      }
      assert.strictEqual((yield* refused({}, noGuestPorts)).reason._tag, "MachineFailed")
      const wrong = {
        port: 0,
        hostPort: 65_536,
        host: "localhost",
        per: "byte",
        servesPerClone: 0,
        maxOpen: 0,
        idleTimeout: "soon",
        onServed: 5
      } as never
      const error = yield* refused(wrong)
      assert.strictEqual(error.reason._tag, "OptionsInvalid")
      for (const name of Object.keys(wrong)) assert.include(error.message, `serve.${name}`)
      assert.strictEqual(scriptedMachines.open, 0)
    }).pipe(Effect.scoped)
  )

  it.live("who-says-nothing-or-half-of-a-header-is-given-up-and-locks-nobody-out", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const served = yield* serving({ per: "request", maxOpen: 2, idleTimeout: "50 millis" })
        const closed = (text: string) =>
          Effect.callback<void>((resume) => {
            const client = connect(served.hostPort, served.host, () => void client.write(text))
            client.on("error", () => undefined)
            // Otherwise it would not hear of the end.
            client.resume()
            client.on("close", () => resume(Effect.void))
            return Effect.sync(() => void client.resetAndDestroy())
          })
        yield* Effect.all([closed(""), closed("GET / HTTP/1.1\r\nHost:")], { concurrency: "unbounded" })
        // On a host of any speed, a place becomes free once in a while.
        yield* until(Effect.map(ask(served), ({ status }) => status === 200))
      })
    ).pipe(Effect.provide(host({ ports: portsOf(page) })))
  )

  it.live("who-waits-for-a-clone-is-not-given-up-for-it", () =>
    Effect.scoped(
      Effect.gen(function* () {
        yield* published
        const go = yield* Deferred.make<void>()
        const pool = yield* makeClonePool({ snapshot, ready: 1, acquireTimeout: "5 minutes" })
        // The first one is there when serving begins.
        let acquired = 0
        const acquire = Effect.suspend(() =>
          acquired++ === 0 ? pool.acquire : Effect.andThen(Deferred.await(go), pool.acquire)
        )
        const slow = { ...pool, acquire }
        const served = yield* serve({ pool: slow, port: 80, per: "request", idleTimeout: "50 millis" })
        // One that comes too slowly is given up before it waits.
        let times = 0
        const askOnce = Effect.suspend(() => {
          times += 1
          return ask(served)
        })
        const answered = Effect.repeat(askOnce, { until: ({ status }) => status !== 0 })
        yield* answered
        const asking = yield* Effect.forkChild(answered)
        yield* until(Effect.map(served.stats, ({ open, waiting }) => open === 1 && waiting === 1))
        const before = times
        yield* Effect.sleep("200 millis")
        assert.strictEqual(times, before)
        yield* Deferred.succeed(go, undefined)
        // Answered by the guest, or, where the host is slow, in its place.
        assert.include([200, 504], (yield* Fiber.join(asking)).status)
      })
    ).pipe(Effect.provide(host({ ports: portsOf(page) })))
  )

  it.live("an-answer-without-a-body-is-passed-on-whatever-its-guest-sends-after-it", () =>
    Effect.gen(function* () {
      const { all, onServed } = told()
      const said: Array<string> = []
      for (const [method, status] of [
        ["HEAD", "200 OK"],
        ["GET", "204 No Content"],
        ["GET", "304 Not Modified"],
        // Nothing of it was sent yet.
        ["GET", "200 OK"]
      ]) {
        const guest: Guest = (client) =>
          void client.once("data", () =>
            client.end(`HTTP/1.1 ${status}\r\nX-Of: guest\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhello`)
          )
        const asking = Effect.gen(function* () {
          const served = yield* serving({ per: "request", onServed })
          const { text } = yield* say(served, `${method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
          yield* until(Effect.map(served.stats, ({ open }) => open === 0))
          said.push(`${text.slice(9, 12)} ${/x-of: guest/i.test(text)} ${text.includes("hello")}`)
        })
        yield* Effect.scoped(asking).pipe(Effect.provide(host({ ports: portsOf(guest) }), { local: true }))
      }
      assert.deepStrictEqual(said, ["200 true false", "204 true false", "304 true false", "502 false false"])
      assert.deepStrictEqual(
        all.map(({ how }) => how._tag),
        ["Ended", "Ended", "Ended", "AnswerInvalid"]
      )
    })
  )

  it.live("a-client-that-sends-many-requests-at-once-has-one-of-them-open", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const served = yield* serving({ per: "request", maxOpen: 2, pool: { ready: 2 } })
        const flood = yield* Effect.acquireRelease(
          Effect.sync(() => connect(served.hostPort, served.host)),
          (client) => Effect.sync(() => void client.resetAndDestroy())
        )
        flood.on("error", () => undefined)
        for (let times = 0; times < 20; times++) flood.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2000))
        yield* until(Effect.map(served.stats, ({ open }) => open > 0))
        for (let times = 0; times < 3; times++) {
          assert.strictEqual((yield* ask(served)).status, 200)
          // One of each, and those that have been answered and are not yet counted as served.
          assert.isAtMost((yield* served.stats).open, 6)
        }
      })
    ).pipe(Effect.provide(host({ ports: portsOf(page) })))
  )

  it.live("more-connections-than-may-be-are-turned-away", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const served = yield* serving({ maxOpen: 1 })
        const held = yield* Effect.forkChild(say(served, ""), { startImmediately: true })
        yield* until(Effect.map(served.stats, ({ open }) => open === 1))
        yield* say(served, "")
        assert.deepInclude(yield* served.stats, { open: 1, turnedAway: 1 })
        yield* Fiber.interrupt(held)
      })
    ).pipe(Effect.provide(host({ ports: portsOf(() => undefined) })))
  )
})
