/**
 * Bytes, connections and requests between a guest and host programs: through a published port, and from the guest to a server of the
 * host's loopback. The peer is QEMU with its network in user space and the same guest.
 */
import { writeFileSync } from "node:fs"
import { createServer as createHttpServer } from "node:http"
import { type AddressInfo, connect, createServer } from "node:net"
import { join } from "node:path"
import { DurableFiles, Gate, Journal, Pipeline, serve, SnapshotStore, Vmm } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Fiber, Layer } from "effect"
import { fetched } from "../packages/native/test/fetched.ts"
import { commandLine, directory, measured, memoryMib } from "./guests.ts"
import { measure, milliseconds, stopwatch } from "./measure.ts"
import { Qemu } from "./peers/Qemu.ts"
import { finish, row } from "./row.ts"

const mebibytes = 16
const requests = 20
const connections = 200
const callers = 8
/** Bytes that go to the guest and come back, one after the other. */
const roundTrips = 200
/** Requests that each get a clone of their own. */
const clonesAsked = 64

/** Port 7 sends back what comes: what a program reads from its pipe is what it has written there. */
const serving = `#!/bin/sh
mkdir -p /www
echo here > /www/index.html
dd if=/dev/zero of=/www/big bs=1048576 count=${mebibytes} 2>/dev/null
httpd -p 8080 -h /www
mkfifo /echo
while :; do nc -l -p 7 0<>/echo 1>/echo; done
`

const guest = await measured(
  Effect.gen(function* () {
    const kit = yield* GuestKit
    return yield* kit.guest({
      workload: { argv: ["/bin/sh", "/serve.sh"] },
      network: true,
      files: { "/serve.sh": { content: serving, mode: 0o755 } }
    })
  })
)
const initramfsPath = join(directory, "network")
writeFileSync(initramfsPath, guest.initramfs)

/** A server of the host's that answers with as many bytes as the guest's does. */
const big = Buffer.alloc(mebibytes * 2 ** 20)
const server = createHttpServer((_, response) => response.end(big))
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
const serverPort = (server.address() as AddressInfo).port
const download = ["wget", "-q", "-O", "/dev/null", `http://10.0.2.2:${serverPort}/`] as const

const web = (port: number, path = "/") => `http://127.0.0.1:${port}${path}`

/** A connection whose other end sends back each byte: milliseconds that one takes there and back. */
const echoed = (port: number) =>
  new Promise<() => Promise<number>>((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true })
    const once = () => new Promise((came) => socket.once("data", came).write("x"))
    socket.on("error", reject)
    socket.once("connect", () =>
      resolve(async () => {
        const passed = stopwatch()
        for (let trip = 0; trip < roundTrips; trip++) await once()
        return passed() / roundTrips
      })
    )
    socket.unref()
  })

const inOrder = async (port: number): Promise<void> => {
  for (let request = 0; request < requests; request++) await fetched(web(port))
}

/** Connections of their own for all requests, from some callers at once. */
const atOnce = async (port: number, count = connections): Promise<void> => {
  let left = count
  const caller = async () => {
    while (left-- > 0) await fetched(web(port))
  }
  await Promise.all(Array.from({ length: callers }, caller))
}

/** The duration of each request to a guest through a port. */
const asked = (port: number, trip: () => Promise<number>) =>
  [
    () => milliseconds(() => fetched(web(port, "/big"))),
    () => milliseconds(() => inOrder(port)),
    () => milliseconds(() => atOnce(port)),
    trip
  ] as const

const ours = await measured(
  Effect.gen(function* () {
    const machine = yield* (yield* Vmm).boot({ ...guest, memoryMib, network: {} })
    // Of pages, and then of bytes.
    yield* machine.run({ kinds: ["ListenerBound"] })
    yield* machine.run({ kinds: ["ListenerBound"] })
    yield* machine.ports.allow({ allow: [{ addresses: "127.0.0.1", ports: [serverPort] }] })
    const port = yield* machine.ports.publish({ port: 8080 })
    const echo = yield* machine.ports.publish({ port: 7 })
    const running = yield* Effect.forkChild(machine.run({ pace: "realTime" }))
    const [bulk, small, rate, trip] = yield* Effect.promise(async () =>
      measure(asked(port.hostPort, await echoed(echo.hostPort)), { warmUps: 1 })
    )
    yield* Fiber.interrupt(running)
    const context = yield* Effect.context<never>()
    const down = async () => {
      const { code } = await Effect.runPromiseWith(context)(machine.exec({ argv: [...download] }))
      if (code !== 0) throw new Error(`expected the guest to fetch, wget ended with ${code}`)
    }
    const [toGuest] = yield* Effect.promise(() => measure([() => milliseconds(down)], { warmUps: 1 }))
    return { bulk, small, rate, toGuest, trip }
  })
)

const freePort = () =>
  new Promise<number>((resolve) => {
    const free = createServer().listen(0, "127.0.0.1", () => {
      const { port } = free.address() as AddressInfo
      free.close(() => resolve(port))
    })
  })
const [pagePort, echoPort] = [await freePort(), await freePort()]
const { kernelPath } = guest
const forward = [
  { hostPort: pagePort, port: 8080 },
  { hostPort: echoPort, port: 7 }
]
const qemu = await Qemu.start({ kernelPath, initramfsPath, commandLine, memoryMib, directory, forward })
await qemu.next("ListenerBound")
await qemu.next("ListenerBound")
const [bulk, small, rate, trip] = await measure(asked(pagePort, await echoed(echoPort)), { warmUps: 1 })
let id = 100
const [toGuest] = await measure(
  [
    () =>
      milliseconds(async () => {
        qemu.exec(id++, download)
        await qemu.next("ExecExited")
      })
  ],
  { warmUps: 1 }
)
await qemu.close()

/** From the call of restore to the first answer by a published port, and to the end of the first command. */
const snapshot = join(directory, "served")
const host = Layer.provide(Layer.mergeAll(SnapshotStore.layer, Journal.layerMemory), DurableFiles.layer)
const bootSpec = { ...guest, memoryMib, network: {} }
await measured(Effect.provide(Pipeline.run(bootSpec, { policy: kindTrigger("ListenerBound"), target: snapshot }), host))
const restored = <E>(use: (clone: Effect.Success<ReturnType<typeof Gate.restore>>) => Effect.Effect<unknown, E>) =>
  measured(
    Effect.gen(function* () {
      const passed = stopwatch()
      yield* use(yield* Gate.restore(snapshot))
      return passed()
    }).pipe(Effect.provide(host))
  )
const answered = () =>
  restored(({ machine }) =>
    Effect.scoped(
      Effect.gen(function* () {
        const port = yield* machine.ports.publish({ port: 8080 })
        yield* machine.live({})
        yield* Effect.promise(() => fetched(web(port.hostPort)))
      })
    )
  )
const executed = () => restored(({ machine }) => machine.exec({ argv: ["/bin/busybox", "true"] }))
const [firstAnswer, firstExec] = await measure([answered, executed], { rounds: 11, warmUps: 2 })
server.close()

/** A clone for each request, beside one guest that answers all of them. */
const clonePool = { snapshot, ready: callers, maximum: 2 * callers }
const [perClone, byOne] = await measured(
  Effect.gen(function* () {
    const clones = yield* serve({ pool: clonePool, port: 8080, per: "request" })
    const { machine } = yield* Gate.restore(snapshot)
    const port = yield* machine.ports.publish({ port: 8080 })
    yield* machine.live({})
    const from = ({ hostPort }: { readonly hostPort: number }) => milliseconds(() => atOnce(hostPort, clonesAsked))
    return yield* Effect.promise(() => measure([() => from(clones), () => from(port)], { warmUps: 1 }))
  }).pipe(Effect.provide(host))
)

const peer = "qemu-system-riscv64, user network"
const perSecond = (millis: number) => (mebibytes * 1000) / millis
finish([
  row("tcp-throughput/from-guest", "MiB/s", perSecond(ours.bulk), { peer, peerValue: perSecond(bulk), better: "more" }),
  row("tcp-throughput/to-guest", "MiB/s", perSecond(ours.toGuest), {
    peer,
    peerValue: perSecond(toGuest),
    better: "more"
  }),
  row("http-request/through-port", "ms", ours.small / requests, { peer, peerValue: small / requests }),
  row(`connections-per-second/${callers}-callers`, "1/s", (connections * 1000) / ours.rate, {
    peer,
    peerValue: (connections * 1000) / rate,
    better: "more"
  }),
  row("round-trip-time/byte-through-port", "ms", ours.trip, { peer, peerValue: trip }),
  row(`clone-per-request/${callers}-callers`, "1/s", (clonesAsked * 1000) / perClone, {
    peer: "one guest that answers all",
    peerValue: (clonesAsked * 1000) / byOne,
    better: "more"
  }),
  row("restore-to-first-answer", "ms", firstAnswer, { peer: "restore to first exec", peerValue: firstExec })
])
