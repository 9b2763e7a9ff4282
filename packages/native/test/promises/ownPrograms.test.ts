import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { enough, layer } from "../guests.ts"

describe("own programs", { timeout: 300_000 }, () => {
  withLayer(layer)((it) => {
    it.effect("a-program-called-su-or-ip-costs-busybox-no-other", () =>
      Effect.gen(function* () {
        const kit = yield* GuestKit
        const own = { content: "#!/bin/sh\necho mine\n", mode: 0o755 }
        const guest = yield* kit.guest({ files: { "/srv/su": own, "/srv/ip": own } })
        const machine = yield* (yield* Vmm).boot(guest)
        const stop = yield* machine.run({ kinds: ["AgentReady"], budgetNanos: enough })
        assert.strictEqual(stop.reason, "event")
        const script =
          "PATH=/srv:$PATH; su; ip; id -u; type sync stty sulogin ifconfig install insmod init > /dev/null; echo $?"
        const { stderr, stdout } = yield* machine.exec({ argv: ["sh", "-c", script] })
        assert.strictEqual(Buffer.from(stderr).toString(), "")
        assert.strictEqual(Buffer.from(stdout).toString(), "mine\nmine\n0\n0\n")
      })
    )
  })
})
