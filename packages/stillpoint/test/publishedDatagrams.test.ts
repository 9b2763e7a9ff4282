/** A port of datagrams, as the command line publishes it. */
import { createSocket } from "node:dgram"
import { once } from "node:events"
import { connect } from "node:net"
import { assert, it } from "vitest"
import { makeFolder, runStillpoint } from "./runStillpoint.ts"

const { folder } = makeFolder()

it("a-port-of-datagrams-is-one-and-not-one-of-connections", async () => {
  const found: Array<Promise<ReadonlyArray<unknown>>> = []
  const args = ["up", "kit:httpd", "--publish", "127.0.0.1:0:5353/udp", "--json"]
  const { status, stderr } = await runStillpoint(folder, args, (child) => {
    child.stdout?.once("data", (line: string) => {
      const { hostPort, protocol } = JSON.parse(line) as { readonly hostPort: number; readonly protocol: string }
      const bound = createSocket("udp4")
      const connected = connect(hostPort, "127.0.0.1")
      const codes = [bound, connected].map((socket) =>
        once(socket, "error").then(([error]: Array<NodeJS.ErrnoException>) => error?.code)
      )
      bound.bind(hostPort, "127.0.0.1")
      found.push(Promise.all([protocol, ...codes]).finally(() => child.kill("SIGTERM")))
    })
  })
  assert.strictEqual(status, 143, stderr)
  assert.deepStrictEqual(await Promise.all(found), [["udp", "EADDRINUSE", "ECONNREFUSED"]])
})

it("who-sends-datagrams-gets-no-clone-of-its-own", async () => {
  const args = ["serve", "web", "--publish", "0:53/udp", "--clone-per-request"]
  const { status, stderr } = await runStillpoint(folder, args)
  assert.strictEqual(status, 2)
  assert.match(stderr, /--clone-per-request: expected a TCP port; .*, found --publish …\/udp/)
})
