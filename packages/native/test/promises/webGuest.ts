/** A Linux guest that serves pages over its network. */
import { createHash } from "node:crypto"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { type BootSpec, type Machine, type PublishedPort, Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Fiber } from "effect"
import { fetched as partsFetched } from "../fetched.ts"
import { enough } from "../guests.ts"

const serving = `#!/bin/sh
mkdir -p /www
tr -d - < /proc/sys/kernel/random/uuid > /www/index.html
dd if=/dev/urandom of=/www/big bs=65536 count=32 2>/dev/null
exec httpd -f -p 8080 -h /www
`

/** A guest with a network, whose workload serves a page and 2 MiB of noise, from where it listens. */
export const listeningWith = Effect.fn("listeningWith")(function* ({
  privileged = false,
  ...options
}: Pick<BootSpec, "dirtySampleNanos"> & { readonly privileged?: boolean }) {
  const kit = yield* GuestKit
  const spec = yield* kit.guest({
    workload: { argv: ["/bin/sh", "/serve.sh"] },
    network: true,
    privileged,
    files: { "/serve.sh": { content: serving, mode: 0o755 } }
  })
  const machine = yield* (yield* Vmm).boot({ ...spec, network: {}, ...options } satisfies BootSpec)
  const stop = yield* machine.run({ kinds: ["ListenerBound"], budgetNanos: enough })
  if (stop.reason !== "event") yield* Effect.die(new Error(`expected ListenerBound, the run ended: ${stop.reason}`))
  return machine
})

/** The same, with nothing else said of its machine. */
export const listening = listeningWith({})

/** A server of the host's loopback, at an address of either version, until the scope ends: its port. */
export const hostServer = (address: "127.0.0.1" | "::1") =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(
        () =>
          new Promise<ReturnType<typeof createServer>>((resolve) => {
            const server = createServer((_request, response) => response.end("from the host"))
            server.listen(0, address, () => resolve(server))
          })
      ),
      (server) => Effect.sync(() => server.close())
    ),
    (server) => (server.address() as AddressInfo).port
  )

/** Where a published port is asked. */
export const url = ({ host, hostPort }: PublishedPort, path = "/") =>
  `http://${host.includes(":") ? `[${host}]` : host}:${hostPort}${path}`

/** The answer there. */
export const fetched = (from: string) =>
  Effect.map(
    Effect.promise(() => partsFetched(from)),
    Buffer.concat
  )

/** The output of a command in the guest. */
export const inGuest = (machine: Machine, ...argv: [string, ...Array<string>]) =>
  Effect.map(machine.exec({ argv }), ({ stdout }) => Buffer.from(stdout).toString().trim())

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

/** Uses a machine while it runs in real time. */
export const whileRunning = <A, E, R>(machine: Machine, use: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const running = yield* Effect.forkChild(machine.run({ pace: "realTime" }))
    const result = yield* use
    yield* Fiber.interrupt(running)
    return result
  })
