/** Clones of a snapshot that is still in a registry. */
import { type ChildProcess } from "node:child_process"
import { readdirSync } from "node:fs"
import type { ServerResponse } from "node:http"
import { cpus } from "node:os"
import { join } from "node:path"
import { type Machine, restoreSnapshot, type Snapshot, Snapshots } from "@stillpoint/core"
import { Effect, Exit, Fiber, type Layer, Scope } from "effect"
import { bake, pullLazily, pullSnapshot, pushSnapshot, Sandbox, Stillpoint } from "stillpoint"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { hasRegistry, type Registry, standBefore, startRegistry } from "../../../scripts/testing/registryOf.ts"
import { namesInStore } from "./namesInStore.ts"
import { makeFolder, runStillpoint } from "./runStillpoint.ts"

const why = hasRegistry ? "" : " (skipped: no docker-registry)"
const nobody = "/nowhere/docker-configuration.json"
const asked = "wget -q -O - http://127.0.0.1:8080/ | head -n 1"

type Services = Layer.Success<ReturnType<typeof Stillpoint.layer>>

const inStore = <A, E>(home: string, work: Effect.Effect<A, E, Services | Scope.Scope>) =>
  Effect.runPromise(
    Effect.provide(Effect.scoped(work), Stillpoint.layer({ home, images: { dockerConfig: nobody } }), { local: true })
  )

const digestOf = (snapshot: Snapshot) => Effect.flatMap(restoreSnapshot(snapshot), ({ digest }: Machine) => digest)

describe(`a clone of a snapshot that is still in a registry${why}`, () => {
  const { home } = makeFolder()
  let registry: Registry
  let before: Awaited<ReturnType<typeof standBefore>>
  let place = ""
  let digest = ""
  let wholeBytes = 0
  let memory = ""
  beforeAll(async () => {
    if (why !== "") return
    registry = await startRegistry()
    before = await standBefore(registry.host)
    place = `docker://${before.host}/lazy/web:v1`
    const options = { image: "kit:httpd", captureAt: "listener:8080 & calm 20ms", name: "web", validate: asked }
    await inStore(home, bake(options))
    await inStore(home, pushSnapshot("web", place))
    const { home: whole } = makeFolder()
    const pulled = await inStore(whole, pullSnapshot(place, "web"))
    digest = pulled.kept.digest
    wholeBytes = pulled.fetchedBytes
    memory = await inStore(
      whole,
      Effect.flatMap(
        Snapshots.use(({ get }) => get("web")),
        digestOf
      )
    )
  })
  afterAll(async () => {
    await before?.stop()
    await registry?.stop()
  })

  const pass: typeof before.fault = () => "pass"
  const isBlob = (url = ""): boolean => url.includes("/blobs/")

  it.skipIf(why !== "")("takes-what-it-touches-and-is-the-same-guest-as-of-a-whole-pull", async () => {
    before.fault = pass
    const { home: there } = makeFolder()
    await inStore(
      there,
      Effect.gen(function* () {
        const arriving = yield* pullLazily(place, "web", { rest: false })
        const sandbox = yield* Sandbox.of(arriving.snapshot)
        const { code, stdout } = yield* sandbox.exec(asked)
        assert.deepStrictEqual([code, stdout.trim()], [0, "<!doctype html>"])
        const fetched = yield* arriving.fetchedBytes
        assert.isAbove(fetched, 0)
        assert.isBelow(fetched, wholeBytes / 2)
        // Nothing half there is in the store.
        assert.deepStrictEqual(namesInStore(there), [])
        assert.strictEqual(yield* digestOf(arriving.snapshot), memory)
        const { artifact, fetchedBytes, kept } = yield* arriving.whole
        assert.deepInclude(kept, { digest, names: ["web"], problem: null })
        assert.deepStrictEqual(readdirSync(join(there, "pulls")).length, 2, artifact)
        assert.isAtMost(fetchedBytes, wholeBytes * 1.01)
        // Its directory is still there for pools, and the kept one is of its own.
        const again = yield* Sandbox.of(arriving.snapshot)
        assert.strictEqual((yield* again.exec("echo on")).stdout, "on\n")
        assert.strictEqual((yield* sandbox.exec("echo on")).stdout, "on\n")
      })
    )
    assert.deepStrictEqual(readdirSync(join(there, "pulls")), [])
    await registryIsSilent(there)
  })

  /** The kept snapshot needs no registry, and is whole. */
  const registryIsSilent = async (there: string): Promise<void> => {
    before.fault = (_asked, answer) => {
      answer.destroy()
      return "done"
    }
    await inStore(
      there,
      Snapshots.use(({ verify }) => verify(`sha256:${digest}`))
    )
    before.fault = pass
  }

  it.skipIf(why !== "")("stops-by-name-wherever-the-registry-fails-and-the-next-pull-goes-on", async () => {
    let stopped = 0
    let refused = 0
    let saved = 0
    for (const at of [0, 1, 2, 5, 7, 9, 20, 40]) {
      const { home: there } = makeFolder()
      let requests = 0
      before.fault = (_asked, answer) => {
        if (requests++ < at) return "pass"
        answer.writeHead(403).end()
        return "done"
      }
      const outcome = await inStore(
        there,
        Effect.result(
          Effect.gen(function* () {
            const arriving = yield* pullLazily(place)
            const machine = yield* restoreSnapshot(arriving.snapshot)
            const digests = yield* Effect.result(machine.digest)
            assert.strictEqual(digests._tag, "Failure")
            if (digests._tag === "Failure") assert.include(String(digests.failure.message), "403")
            // A clone that runs into it ends by name.
            const sandbox = yield* Effect.result(Sandbox.of(arriving.snapshot))
            if (sandbox._tag === "Success") {
              const ran = yield* Effect.result(sandbox.success.exec("cat /bin/busybox | md5sum; sh -c 'ls -lR / | wc'"))
              if (ran._tag === "Failure") stopped += 1
            } else stopped += 1
            return yield* arriving.whole
          })
        )
      )
      assert.strictEqual(outcome._tag, "Failure")
      if (outcome._tag === "Failure") assert.match(String(outcome.failure), /403|has no snapshot/)
      refused += 1
      assert.deepStrictEqual(namesInStore(there), [])
      before.fault = pass
      const { fetchedBytes, kept } = await inStore(
        there,
        Effect.flatMap(pullLazily(place), ({ whole }) => whole)
      )
      assert.deepInclude(kept, { digest, problem: null })
      saved += wholeBytes - fetchedBytes
      await registryIsSilent(there)
    }
    assert.strictEqual(refused, 8)
    assert.isAbove(stopped, 2)
    assert.isAbove(saved, 0)
  })

  it.skipIf(why !== "")("never-sees-what-a-registry-lies", async () => {
    const { home: there } = makeFolder()
    let lies = 0
    before.fault = (asking, answer) => {
      const range = asking.headers.range
      if (range === undefined || asking.method !== "GET") return "pass"
      void fetch(`http://${registry.host}${asking.url}`, { headers: { range } }).then(async (came) => {
        const bytes = Buffer.from(await came.arrayBuffer())
        const at = bytes.byteLength >> 1
        bytes[at] = (bytes[at] ?? 0) ^ 1
        lies += 1
        const header = came.headers.get("content-range") ?? ""
        answer.writeHead(came.status, { "content-length": bytes.byteLength, "content-range": header }).end(bytes)
      })
      return "done"
    }
    const found = await inStore(
      there,
      Effect.flatMap(pullLazily(place), ({ snapshot, whole }) =>
        Effect.all([Effect.flip(digestOf(snapshot)), Effect.flip(whole)])
      )
    )
    assert.isAbove(lies, 0)
    for (const error of found) assert.match(String(error), /expected the digest blake3:[0-9a-f]+, found blake3:/)
    assert.deepStrictEqual(namesInStore(there), [])
    before.fault = pass
    const digests = await inStore(
      there,
      Effect.flatMap(pullLazily(place), ({ snapshot, whole }) => Effect.all([digestOf(snapshot), whole]))
    )
    assert.strictEqual(digests[0], memory)
  })

  it.skipIf(why !== "")("that-waits-is-closed-at-once-and-others-go-on", async () => {
    const { home: there } = makeFolder()
    const held: Array<ServerResponse> = []
    let isHeld = (): void => {}
    const holding = new Promise<void>((done) => (isHeld = done))
    before.fault = (asking, answer) => {
      if (asking.headers.range === undefined) return "pass"
      held.push(answer)
      isHeld()
      return "done"
    }
    await inStore(
      there,
      Effect.gen(function* () {
        const arriving = yield* pullLazily(place, undefined, { rest: false })
        const scope = yield* Scope.make()
        // More than there are processors.
        const waiting = yield* Effect.forEach(Array.from({ length: cpus().length + 1 }), () =>
          Effect.forkChild(Effect.result(Scope.provide(Sandbox.of(arriving.snapshot), scope)), {
            startImmediately: true
          })
        )
        yield* Effect.promise(() => holding)
        // Another machine is made and runs meanwhile.
        const made = yield* Sandbox.create({ image: "kit:httpd", captureAt: "listener:8080 & calm 20ms" })
        assert.strictEqual((yield* made.exec("echo on")).stdout, "on\n")
        // None of them had to give up before.
        assert.isTrue(waiting.every((fiber) => fiber.pollUnsafe() === undefined))
        // Nothing of the registry comes: they end all the same.
        yield* Scope.close(scope, Exit.void)
        const ended = yield* Effect.forEach(waiting, Fiber.join)
        assert.isTrue(ended.every(({ _tag }) => _tag === "Failure"))
      })
    )
    for (const answer of held) answer.destroy()
    before.fault = pass
  })

  it.skipIf(why !== "")("that-waits-is-paused-and-interrupted-at-once-and-goes-on-later", async () => {
    const { home: there } = makeFolder()
    const held: Array<ServerResponse> = []
    let isHeld = (): void => {}
    before.fault = (asking, answer) => {
      if (asking.headers.range === undefined) return "pass"
      held.push(answer)
      isHeld()
      return "done"
    }
    /** What `work` does once another request is held, with the registry as silent as before. */
    const whileHeld = <A, E>(work: Effect.Effect<A, E>) =>
      Effect.gen(function* () {
        const begun = held.length
        const result = yield* work
        assert.isAbove(begun, 0)
        // A client that has given up has closed its connection.
        assert.isTrue(held.every((answer) => !answer.destroyed))
        return result
      })
    await inStore(
      there,
      Effect.gen(function* () {
        const arriving = yield* pullLazily(place, undefined, { rest: false })
        const holding = new Promise<void>((done) => (isHeld = done))
        const machine = yield* restoreSnapshot(arriving.snapshot)
        const waiting = yield* Effect.forkChild(machine.run({}), { startImmediately: true })
        yield* Effect.promise(() => holding)
        // The working set is on its way, so the guest's first instruction may wait for it.
        yield* whileHeld(Fiber.interrupt(waiting))
        const from = yield* machine.nowNanos
        // It is still in its instruction, and a run that is asked for now waits behind it.
        const next = yield* Effect.forkChild(machine.run({}), { startImmediately: true })
        yield* whileHeld(machine.pause)
        assert.strictEqual((yield* whileHeld(Fiber.join(next))).reason, "paused")
        const aborted = new AbortController()
        const last = Effect.runPromiseExit(machine.run({}), { signal: aborted.signal })
        aborted.abort()
        assert.isTrue(Exit.isFailure(yield* whileHeld(Effect.promise(() => last))))
        assert.strictEqual(yield* machine.nowNanos, from)
        // The registry is back: it goes on where it stood.
        before.fault = pass
        for (const answer of held) answer.destroy()
        assert.strictEqual((yield* machine.run({ budgetNanos: 1_000_000 })).reason, "budget")
        assert.isAtLeast(yield* machine.nowNanos, from + 1_000_000)
      })
    )
  })

  it.skipIf(why !== "")("that-is-killed-leaves-nothing-that-is-taken-for-whole", async () => {
    const { folder, home: there } = makeFolder()
    let ranges = 0
    let child: ChildProcess | undefined
    before.fault = (asking) => {
      if (asking.headers.range === undefined || ++ranges < 40) return "pass"
      child?.kill("SIGKILL")
      return "done"
    }
    const killed = await runStillpoint(folder, ["exec", place, "--", "true"], (began) => (child = began))
    assert.strictEqual(killed.status, null, killed.stderr)
    before.fault = pass
    assert.deepStrictEqual(namesInStore(there), [])
    assert.deepStrictEqual(JSON.parse((await runStillpoint(folder, ["ls", "--json"])).stdout), { snapshots: [] })
    const again = await inStore(
      there,
      Effect.flatMap(pullLazily(place, "web"), ({ whole }) => whole)
    )
    assert.deepInclude(again.kept, { digest, names: ["web"], problem: null })
    // What had come was verified and not fetched again.
    assert.isBelow(again.fetchedBytes, wholeBytes)
    await registryIsSilent(there)
  })

  it.skipIf(why !== "")("is-a-command-away", async () => {
    const { folder, home: there } = makeFolder()
    let blobs = 0
    before.fault = ({ method, url }) => {
      if (method === "GET" && isBlob(url)) blobs += 1
      return "pass"
    }
    const ran = await runStillpoint(folder, ["exec", place, "--", "sh", "-c", asked])
    assert.deepStrictEqual([ran.status, ran.stdout], [0, "<!doctype html>\n"], ran.stderr)
    assert.isAbove(blobs, 0)
    assert.deepStrictEqual(namesInStore(there), [])
    before.fault = pass
  })
})
