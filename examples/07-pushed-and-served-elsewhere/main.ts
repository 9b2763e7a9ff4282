/**
 * One machine captures a server and pushes it to a registry; another one, with a store of its own, pulls it and serves it.
 *
 * `node --conditions=stillpoint-source main.ts HOST:PORT` with any OCI registry; plain HTTP is spoken to this host only.
 *
 * @module
 */
import { serve } from "@stillpoint/core"
import { Effect } from "effect"
import { bake, poolOf, pullSnapshot, pushSnapshot } from "stillpoint"
import { asProgram, inStoreOfItsOwn, say } from "../asProgram.ts"

const [registry] = process.argv.slice(2)
const place = `docker://${registry}/example/web:v1`

const builder = Effect.gen(function* () {
  yield* bake({ image: "kit:httpd", captureAt: "listener:8080 & calm 20ms", name: "web" })
  const first = yield* pushSnapshot("web", place)
  const again = yield* pushSnapshot("web", place)
  say(
    `pushed: ${first.sentBytes === first.sizeBytes ? "all of it" : "a part of it"}, then ${again.sentBytes} bytes more`
  )
  return first.snapshot
})

const server = Effect.fn("server")(function* (pushed: string) {
  const { kept } = yield* pullSnapshot(place, "web")
  say(`pulled: ${kept.digest === pushed ? "the same snapshot" : "another snapshot"}`)
  const served = yield* serve({ port: 8080, per: "request", pool: yield* poolOf("web", 1) })
  const page = yield* Effect.promise(async () => (await fetch(`http://${served.host}:${served.hostPort}/`)).text())
  say(`served: ${/<title>(.*)<\/title>/.exec(page)?.[1]}`)
  yield* served.drain
})

const program = Effect.gen(function* () {
  if (registry === undefined) return yield* Effect.fail("expected HOST:PORT of a registry, for example 127.0.0.1:5000")
  const pushed = yield* inStoreOfItsOwn("builder", builder)
  yield* inStoreOfItsOwn("server", server(pushed))
})

await asProgram(program)
