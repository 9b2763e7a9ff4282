/**
 * A server that forgets: an unused clone answers each HTTP request, from a pool that keeps two ready.
 *
 * `node --conditions=stillpoint-source main.ts`
 *
 * @module
 */
import { serve } from "@stillpoint/core"
import { Effect } from "effect"
import { bake, poolOf } from "stillpoint"
import { asProgram, inStoreOfItsOwn, say } from "../asProgram.ts"

/** A counter that a server keeps in a file of its guest: the second request to one guest would read 2. */
const counter = `#!/bin/sh
echo x >> /tmp/visits
printf 'Content-Type: text/plain\\r\\n\\r\\n'
wc -l < /tmp/visits
`
const counting = `
mkdir -p /www/cgi-bin
echo "$COUNTER" > /www/cgi-bin/count
chmod 755 /www/cgi-bin/count
exec httpd -f -p 8080 -h /www`

const program = Effect.gen(function* () {
  yield* bake({
    image: "kit:httpd",
    workload: { argv: ["/bin/sh", "-c", counting], env: { COUNTER: counter } },
    captureAt: "listener:8080 & calm 20ms",
    name: "counter"
  })
  const served = yield* serve({ port: 8080, per: "request", pool: yield* poolOf("counter", 2) })
  const url = `http://${served.host}:${served.hostPort}/cgi-bin/count`
  for (let request = 1; request <= 4; request++) {
    const visits = yield* Effect.promise(async () => (await fetch(url)).text())
    say(`request ${request}: visit ${visits.trim()} of its clone`)
  }
  yield* served.drain
  const { failed, served: answered } = yield* served.stats
  say(`${answered} requests answered, ${failed} failed`)
})

await asProgram(inStoreOfItsOwn("counter", program))
