/**
 * The guest of this example: a web server whose page carries an id that is drawn when the workload starts.
 *
 * @module
 */
import { GuestKit } from "@stillpoint/kit"
import type { BootSpec } from "@stillpoint/core"
import { Effect } from "effect"

const serve = `#!/bin/sh
mkdir -p /www
cat /proc/sys/kernel/random/uuid > /www/index.html
exec httpd -f -p 8080 -h /www
`

/** Command that asks the server in the guest for its page. */
export const request = { argv: ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"] }

/** The guest to boot: Debian's kernel, and busybox's web server as the workload. */
export const guest: Effect.Effect<BootSpec, unknown, GuestKit> = Effect.gen(function* () {
  const kit = yield* GuestKit
  const booted = yield* kit.guest({
    workload: { argv: ["/bin/sh", "/serve.sh"] },
    files: { "/serve.sh": { content: serve, mode: 0o755 } }
  })
  return { ...booted, memoryMib: 128, seed: 1 }
})
