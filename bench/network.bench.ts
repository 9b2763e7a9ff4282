/** Bytes and requests through a published port, to a guest that serves them. */
import { get } from "node:http"
import { type Machine, type PublishedPort, Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Fiber } from "effect"
import { measured, memoryMib } from "./guests.ts"
import { measure, milliseconds } from "./measure.ts"
import { finish, row } from "./row.ts"

const mebibytes = 16
const requests = 20

const serve = `#!/bin/sh
mkdir -p /www
echo here > /www/index.html
dd if=/dev/zero of=/www/big bs=1048576 count=${mebibytes} 2>/dev/null
exec httpd -f -p 8080 -h /www
`

const serving = Effect.gen(function* () {
  const kit = yield* GuestKit
  const spec = yield* kit.guest({
    workload: { argv: ["/bin/sh", "/serve.sh"] },
    network: true,
    files: { "/serve.sh": { content: serve, mode: 0o755 } }
  })
  const machine = yield* (yield* Vmm).boot({ ...spec, memoryMib, network: {} })
  yield* machine.run({ kinds: ["ListenerBound"] })
  return machine
})

/** Bytes of an answer. */
const fetched = ({ host, hostPort }: PublishedPort, path: string): Promise<number> =>
  new Promise((resolve, reject) => {
    get(`http://${host}:${hostPort}${path}`, { agent: false }, (response) => {
      let bytes = 0
      response.on("data", (part: Buffer) => (bytes += part.length))
      response.on("end", () => resolve(bytes))
    }).on("error", reject)
  })

const inOrder = async (port: PublishedPort): Promise<void> => {
  for (let request = 0; request < requests; request++) await fetched(port, "/")
}

const taken = (machine: Machine) =>
  Effect.gen(function* () {
    const port = yield* machine.ports.publish({ guestPort: 8080 })
    const running = yield* Effect.forkChild(machine.run({ pace: "realTime" }))
    const values = yield* Effect.promise(() =>
      measure([() => milliseconds(() => fetched(port, "/big")), () => milliseconds(() => inOrder(port))], {
        warmUps: 1
      })
    )
    yield* Fiber.interrupt(running)
    return values
  })

const [bulk, small] = await measured(Effect.flatMap(serving, taken))
finish([
  row("tcp-throughput/from-guest", "MiB/s", (mebibytes * 1000) / bulk),
  row("http-request/through-port", "ms", small / requests)
])
