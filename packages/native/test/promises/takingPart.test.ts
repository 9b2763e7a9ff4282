import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, Pipeline } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { GuestKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { folder } from "../guests.ts"
import { layer } from "./witness.ts"

/** A server that reports when it gets a new identity. */
const serve = `#!/bin/sh
trap 'echo "I am $(. /run/stillpoint/identity; echo $STILLPOINT_HOSTNAME)"' USR1
httpd -p 8080 -h /
while true; do sleep 1; done
`

/** A hook that writes down its identity, and fails or dawdles when the image says so. */
const hook = `#!/bin/sh
case "$STILLPOINT_HOSTNAME" in
  fails) exit 3 ;;
  dawdles) sleep 60 ;;
esac
echo "hook for $STILLPOINT_HOSTNAME, \${#STILLPOINT_ENTROPY} digits"
`

const captured = Effect.gen(function* () {
  const kit = yield* GuestKit
  const { kernelPath } = yield* kit.files
  const initramfs = yield* kit.initramfs({
    workload: { argv: ["/bin/sh", "/serve.sh"] },
    identityHook: ["/bin/sh", "/hook.sh"],
    files: { "/serve.sh": { content: serve, mode: 0o755 }, "/hook.sh": { content: hook, mode: 0o755 } }
  })
  const target = join(yield* folder, "snapshot")
  yield* Effect.scoped(Pipeline.run({ kernelPath, initramfs }, { policy: kindTrigger("ListenerBound"), target }))
  return target
})

describe("programs of a guest", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("take-part-in-a-new-identity-and-keep-a-clone-from-passing-that-they-cannot-make-another", () =>
      Effect.gen(function* () {
        const directory = yield* captured
        const { machine } = yield* Gate.restore(directory, { identity: { hostname: "web-7" }, signal: 10 })
        yield* machine.run({ budgetNanos: 2_000_000_000 })
        const lines = (yield* machine.eventsSoFar()).flatMap((event) =>
          event._tag === "SerialLine" ? [event.text] : []
        )
        assert.include(lines, "hook for web-7, 64 digits")
        assert.include(lines, "I am web-7")
        const refusal = (hostname: string) =>
          Effect.map(
            Effect.flip(Effect.scoped(Gate.restore(directory, { identity: { hostname }, hookTimeout: "300 millis" }))),
            ({ reason }) => (reason._tag === "IdentityRejected" ? reason.why : reason._tag)
          )
        assert.strictEqual(yield* refusal("fails"), "HookFailed")
        assert.strictEqual(yield* refusal("dawdles"), "HookTimedOut")
      })
    )
  })
})
