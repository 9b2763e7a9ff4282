/** Clones of a Linux guest behind a port of the host's, asked by programs that know nothing of them. */
import { readdirSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import {
  type ClonePoolOptions,
  type Machine,
  makeClonePool,
  Pipeline,
  serve,
  type Served,
  type ServedClones
} from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { GuestKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { loadAddon } from "../../src/binding/loadAddon.ts"
import { folder } from "../guests.ts"
import { hostProgram, missingProgram } from "../hostProgram.ts"
import { settle } from "../settle.ts"
import { layer } from "./witness.ts"

const addon = await Effect.runPromise(loadAddon)

/** Tells its machine's name, and how often it was asked. */
const script = `#!/bin/sh
mkdir -p /www/cgi-bin
cat > /www/cgi-bin/who <<'END'
#!/bin/sh
echo x >> /tmp/asked
printf 'Content-Type: text/plain\\r\\n\\r\\n%s %s\\n' "$(cat /etc/machine-id)" "$(wc -l < /tmp/asked)"
END
chmod +x /www/cgi-bin/who
echo here > /www/index.html
exec httpd -f -p 8080 -h /www
`

const captured = Effect.gen(function* () {
  const kit = yield* GuestKit
  const target = join(yield* folder, "snapshot")
  const guest = yield* kit.guest({
    workload: { argv: ["/bin/sh", "/serve.sh"] },
    network: true,
    files: { "/serve.sh": { content: script, mode: 0o755 } }
  })
  yield* Effect.scoped(Pipeline.run({ ...guest, network: {} }, { policy: kindTrigger("ListenerBound"), target }))
  return target
})

const pool = (snapshot: string, options: Partial<ClonePoolOptions> = {}): ClonePoolOptions => ({
  snapshot,
  ready: 2,
  acquireTimeout: "5 minutes",
  gate: { guestTimeout: "1 minute", hostTimeout: "5 minutes" },
  ...options
})

const url = ({ host, hostPort }: ServedClones, path = "/cgi-bin/who") => `http://${host}:${hostPort}${path}`

const told = () => {
  const all: Array<Served> = []
  return { all, onServed: (served: Served) => Effect.sync(() => void all.push(served)) }
}

/** By Node's own `fetch`, which keeps connections for its next requests. */
const byFetch = (from: string) => Effect.promise(() => fetch(from).then((response) => response.text()))

const noCurl = missingProgram("curl")
const noAb = missingProgram("ab", "-V")

const descriptors = (): number => readdirSync("/proc/self/fd").length

describe("serving clones of Linux", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("every-request-of-nodes-fetch-is-answered-by-a-machine-of-its-own-and-nothing-is-left", () =>
      Effect.gen(function* () {
        const snapshot = yield* captured
        // The image of what was written this very moment is not kept, for it may change unseen: later ones are, and stay open.
        yield* Effect.sleep("200 millis")
        const once = (rounds: number) =>
          Effect.scoped(
            Effect.gen(function* () {
              const { all, onServed } = told()
              const served = yield* serve({ pool: pool(snapshot), port: 8080, per: "request", onServed })
              const answers = []
              for (let round = 0; round < rounds; round++) answers.push((yield* byFetch(url(served))).trim())
              // A client has its answer a moment before that is known here.
              yield* settle(() => all.length === rounds)
              assert.strictEqual(new Set(answers.map((answer) => answer.split(" ")[0])).size, rounds)
              for (const answer of answers) assert.match(answer, /^[0-9a-f]{32} 1$/)
              assert.strictEqual(new Set(all.map(({ machineId }) => machineId)).size, rounds)
              assert.deepInclude(yield* served.stats, { served: rounds, failed: 0 })
            })
          )
        // Threads and descriptors that the first one leaves are the process's own.
        yield* once(1)
        const before = { memory: addon.guestMemoryBytes(), descriptors: descriptors() }
        yield* once(5)
        yield* settle(() => addon.guestMemoryBytes() <= before.memory && descriptors() <= before.descriptors)
        assert.isAtMost(addon.guestMemoryBytes(), before.memory)
        assert.isAtMost(descriptors(), before.descriptors)
      })
    )

    it.effect.skipIf(noCurl)(`a-connection-of-curl-has-one-machine-and-another-has-another${noCurl ?? ""}`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const served = yield* serve({ pool: pool(yield* captured), port: 8080 })
          const curl = hostProgram("curl", "-sS", "--noproxy", "*", url(served))
          const first = yield* curl
          const second = yield* curl
          assert.deepStrictEqual([first.code, second.code], [0, 0])
          for (const { stdout } of [first, second]) assert.match(stdout, /^[0-9a-f]{32} 1\n$/)
          assert.notStrictEqual(first.stdout, second.stdout)
        })
      )
    )

    it.effect.skipIf(noAb)(`ab-finds-no-request-that-failed${noAb ?? ""}`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const served = yield* serve({
            pool: pool(yield* captured, { maximum: 4 }),
            port: 8080,
            servesPerClone: 5
          })
          const { code, stdout } = yield* hostProgram("ab", "-q", "-s", "300", "-n", "24", "-c", "3", url(served, "/"))
          assert.strictEqual(code, 0)
          assert.match(stdout, /Complete requests:\s+24\n/)
          assert.match(stdout, /Failed requests:\s+0\n/)
          const stats = yield* served.stats
          assert.deepInclude(stats, { failed: 0, lastFailure: null })
        })
      )
    )

    it.effect("a-port-at-which-nobody-listens-and-a-guest-that-ends-cost-their-client-its-connection", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const snapshot = yield* captured
          const { all, onServed } = told()
          const nobody = yield* serve({ pool: pool(snapshot), port: 81, per: "request", onServed })
          assert.strictEqual((yield* Effect.promise(() => fetch(url(nobody)))).status, 502)
          yield* settle(() => all.length === 1)
          assert.strictEqual(all[0]?.how._tag, "GuestReset")
          const clones = yield* makeClonePool(pool(snapshot))
          const given: Array<Machine> = []
          const acquire = Effect.tap(clones.acquire, ({ machine }) => Effect.sync(() => void given.push(machine)))
          const served = yield* serve({ pool: { ...clones, acquire }, port: 8080, onServed })
          // A client that says nothing, whose guest is switched off.
          const client = connect(served.hostPort, served.host)
          const closed = new Promise<void>((resolve) =>
            client.on("error", () => undefined).on("close", () => resolve())
          )
          while ((yield* served.stats).waiting > 0 || (yield* served.stats).open === 0) yield* Effect.yieldNow
          // The server closes a machine as soon as it has ended, perhaps before the agent's client sees its end.
          yield* Effect.catchTag(
            given[0]?.agent.powerOff({ within: "1 minute" }) ?? Effect.void,
            "MachineError",
            (error) => (error.reason._tag === "Closed" ? Effect.void : Effect.fail(error))
          )
          yield* Effect.promise(() => closed)
          yield* settle(() => all.length === 2)
          assert.strictEqual(all[1]?.how._tag, "GuestEnded")
          // The next one has another machine.
          assert.strictEqual((yield* byFetch(url(served, "/index.html"))).trim(), "here")
        })
      )
    )
  })
})
