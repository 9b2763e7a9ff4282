import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { readPublish } from "./publishing.ts"

it.effect("an address of either version is read with its ports", () =>
  Effect.gen(function* () {
    const at = { port: 80, hostPort: 0, protocol: "tcp" } as const
    assert.deepStrictEqual(yield* readPublish("0:80"), at)
    assert.deepStrictEqual(yield* readPublish("127.0.0.1:0:80"), { ...at, host: "127.0.0.1" })
    assert.deepStrictEqual(yield* readPublish("[::1]:0:80/udp"), { ...at, host: "::1", protocol: "udp" })
    for (const wrong of ["::1:0:80", "[127.0.0.1]:0:80", "[]:0:80", "[::1]0:80", "[fe80::1%eth0]:0:80", "[::g]:0:80"]) {
      const { argument, found } = yield* Effect.flip(readPublish(wrong))
      assert.deepStrictEqual([argument, found], ["--publish", wrong])
    }
  })
)
