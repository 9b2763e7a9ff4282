import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, type Machine, Pipeline } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { GuestKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { confineGuests } from "../src/confineGuests.ts"
import { folder } from "./guests.ts"
import { layer } from "./promises/witness.ts"

const filters = (status: string): number =>
  Number(/^Seccomp_filters:\s+(\d+)$/m.exec(readFileSync(status, "utf8"))?.[1] ?? Number.NaN)

/** Threads of this process with more filters than the one that JavaScript runs on. */
const confinedThreads = (): number =>
  readdirSync("/proc/self/task").filter(
    (thread) => filters(`/proc/self/task/${thread}/status`) > filters("/proc/self/status")
  ).length

const works = Effect.fn("works")(function* (machine: Machine) {
  assert.strictEqual((yield* machine.exec({ argv: ["true"] })).code, 0)
})

describe.skipIf(process.platform !== "linux")("confined guests", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("boot-are-captured-restored-and-forked-on-threads-with-a-filter", () =>
      Effect.gen(function* () {
        const snapshots = yield* folder
        const captured = Effect.fn("captured")(function* (target: string) {
          const kit = yield* GuestKit
          const spec = yield* kit.guest({
            workload: { argv: ["httpd", "-f", "-p", "8080", "-h", "/etc"] },
            network: true
          })
          yield* Effect.scoped(Pipeline.run({ ...spec, network: {} }, { policy: kindTrigger("ListenerBound"), target }))
          return (yield* Gate.restore(target)).machine
        })
        const earlier = yield* captured(join(snapshots, "earlier"))
        yield* works(earlier)
        assert.strictEqual(confinedThreads(), 0)

        yield* confineGuests
        yield* confineGuests
        const machine = yield* captured(join(snapshots, "confined"))
        yield* works(machine)
        assert.isAbove(confinedThreads(), 0)
        yield* works((yield* Gate.fork(machine)).machine)
        yield* works(earlier)
        const { host, hostPort } = yield* machine.ports.publish({ port: 8080 })
        yield* machine.live()
        const answer = yield* Effect.promise(() => fetch(`http://${host}:${hostPort}/nothing`))
        assert.strictEqual(answer.status, 404)
        yield* machine.pause
        // A capture is written, and a snapshot opened, by threads that may open files.
        yield* works((yield* Gate.restore(join(snapshots, "earlier"))).machine)
        const delta = yield* folder
        yield* machine.capture(delta)
      })
    )
  })
})
