/**
 * From an image to a captured web server behind a port: bake once, restore three clones, ask each of them from the host, and draw a report.
 *
 * `node --conditions=stillpoint-source main.ts [--json] [--image IMAGE] [--out FILE]`
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { guestTimeInWords } from "@stillpoint/core"
import { Effect } from "effect"
import { bake, report, Sandbox } from "stillpoint"
import { asProgram, inStoreOfItsOwn, say } from "../asProgram.ts"

const { values } = parseArgs({
  options: {
    json: { type: "boolean" },
    image: { type: "string", default: "kit:httpd" },
    out: { type: "string", default: fileURLToPath(new URL("../../.cache/demo/report.html", import.meta.url)) }
  }
})

/** Once the server listens and the guest has then been calm for 20 ms of its own time; after 10 s at the latest. */
const captureAt = "listener:8080 & calm 20ms | after 10s"

/** Reaches a clone through a port of the host's; returns its answer. */
const askAClone = Effect.fn("askAClone")(function* () {
  const begun = performance.now()
  const clone = yield* Sandbox.of("web")
  const { host, hostPort } = yield* clone.ports.publish({ port: 8080 })
  const url = `http://${host}:${hostPort}/`
  const page = yield* Effect.promise(async () => (await fetch(url)).text())
  const millis = performance.now() - begun
  const { stdout } = yield* clone.exec("hostname")
  return { url, title: /<title>(.*)<\/title>/.exec(page)?.[1] ?? "", hostname: stdout.trim(), millis }
})

const program = Effect.gen(function* () {
  say(`Booting ${values.image} in this process, to be captured at:  ${captureAt}`)
  const begun = performance.now()
  const capture = yield* bake({ image: values.image, captureAt, name: "web" })
  const bootMillis = performance.now() - begun
  const [mebibytes, pause] = [(capture.storedBytes / 2 ** 20).toFixed(1), capture.pauseMs.toFixed(2)]
  say(
    `\nCaptured after ${guestTimeInWords(capture.guestNanos)} of guest time: pause ${pause} ms, ${mebibytes} MiB stored, ${bootMillis.toFixed(0)} ms in all`
  )
  for (const line of capture.why.split("\n")) say(`  ${line}`)

  say("\nThree clones, each behind a port of its own, from restore to the answer:\n")
  const clones = yield* Effect.forEach([1, 2, 3], askAClone)
  for (const { hostname, millis, title, url } of clones)
    say(`  ${url}  "${title}"  ${hostname}  ${millis.toFixed(0).padStart(4)} ms`)

  const page = yield* report(["web"])
  yield* Effect.promise(async () => {
    await mkdir(dirname(values.out), { recursive: true })
    await writeFile(values.out, page)
  })
  say("\nSkipped: nothing.")
  say(`The boot, the moment and the restores as one page: ${values.out}`)
  if (values.json === true) say(JSON.stringify({ capture, bootMillis, clones, report: values.out }))
})

await asProgram(inStoreOfItsOwn("demo", program))
