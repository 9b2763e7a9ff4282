/**
 * A process whose guest writes to a volume until it is killed, and which reports the data that the guest
 * knows to be durable.
 *
 * `node volumeWriter.ts KIT VOLUME`
 *
 * @module
 */
import { writeSync } from "node:fs"
import { BootedKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { bootedKitAt, layer, smallImage } from "./guests.ts"

const [kit = "", source = ""] = process.argv.slice(2)

const write = `touch /data/log; i=$(wc -l < /data/log); echo found $i
while :; do i=$((i+1)); echo $i | dd of=/data/log oflag=append conv=notrunc,fsync 2>/dev/null; echo durable $i; done`

const program = Effect.gen(function* () {
  const image = yield* smallImage([], { Cmd: ["sh", "-c", write] })
  const { create } = yield* BootedKit
  const { machine } = yield* create({
    image,
    disks: [{ name: "data", path: "/data", access: "volume", source, sizeBytes: 64 << 20 }]
  })
  machine.events$.subscribe((event) => {
    if (event._tag === "SerialLine" && /^(found|durable) \d+$/.test(event.text)) writeSync(1, `${event.text}\n`)
  })
  yield* machine.run({})
})

await Effect.runPromise(
  Effect.scoped(program).pipe(Effect.provide(bootedKitAt(kit), { local: true }), Effect.provide(layer))
)
