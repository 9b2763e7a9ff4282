/** Commands whose callers are in another machine than they. */
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { bundled } from "../../../../scripts/testing/bundled.ts"
import { Gate, type Machine, Pipeline, type Snapshot, SnapshotStore } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Effect, Fiber, Scope, Stream } from "effect"
import { archiveOf } from "../../agent/test/testing/hostileArchive.ts"
import { enough, eventsOf, folder, linux, linuxAt } from "../guests.ts"
import { hostProgram } from "../hostProgram.ts"
import { layer } from "./witness.ts"

const part = new Uint8Array(256 * 1024).fill(7)
const pieces = 6

/** After a while in which whatever goes on goes on: the file, what has a hidden name, which programs for files run. */
const look =
  "sleep 0.2; head -c 9 /tmp/t | tr '\\007' .; ls -A /tmp | grep stillpoint; ps | grep '[s]tillpoint-files'; true"

const said = (machine: Machine, command: string) =>
  Effect.map(machine.exec({ argv: ["sh", "-c", command] }), ({ stdout }) => Buffer.from(stdout).toString())

const kinds = (machine: Machine) => Effect.map(eventsOf(machine), (events) => events.map(({ _tag }) => _tag))

const callersLeft = 0x8e

/** How often the agent was told that callers are elsewhere. */
const told = (machine: Machine) =>
  Effect.map(
    eventsOf(machine),
    (events) =>
      events.filter((event) => event._tag === "HostInput" && event.kind === "control" && event.data[4] === callersLeft)
        .length
  )

/** Publishes the machine as it stands, as a snapshot beside that one. */
const publish = Effect.fn("publish")(function* (machine: Machine, below: Snapshot, target: string) {
  const store = yield* SnapshotStore
  const staging = yield* store.stage(target)
  const captured = yield* machine.capture(staging.directory, { parent: below.manifest.identity })
  const { capture, ...rest } = below.manifest
  return yield* store.publish(staging, {
    draft: { ...rest, capture: { ...capture, atNanos: captured.atNanos, isWorkloadFrozen: false } },
    captured,
    timeline: yield* store.timeline(below),
    parent: below
  })
})

describe("commands whose callers are in another machine", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("a-fork-in-the-midst-of-a-write-does-not-go-on-with-it", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* linuxAt("AgentReady", null)
          const forks: Array<Machine> = []
          const scope = yield* Effect.scope
          const forked = Effect.map(Effect.orDie(Scope.provide(machine.fork, scope)), (fork) => void forks.push(fork))
          // Between pieces the guest stands; at the end everything has been said, and it is at work on it at any moment.
          const content = Stream.mapEffect(Stream.range(1, pieces), (index) =>
            Effect.as(index === 2 || index === 5 || index === pieces ? forked : Effect.void, part)
          )
          const writing = yield* Effect.forkChild(machine.files.write("/tmp/t", content), { startImmediately: true })
          while (writing.pollUnsafe() === undefined) {
            if (forks.length >= 3 && forks.length < 9) yield* forked
            yield* Effect.yieldNow
          }
          yield* Fiber.join(writing)
          assert.isAbove(forks.length, 3)
          for (const fork of forks) {
            yield* fork.files.write("/tmp/t", "new")
            assert.strictEqual(yield* said(fork, look), "new")
          }
          // The machine itself goes on, and knows of nothing.
          assert.strictEqual((yield* machine.files.stat("/tmp/t")).sizeBytes, part.length * pieces)
          assert.strictEqual(yield* told(machine), 0)
        })
      )
    )

    it.effect("one-that-is-only-run-does-not-either-and-unpacks-watches-and-streams-end-as-well", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* linuxAt("AgentReady", null)
          const { files } = machine
          yield* files.write("/tmp/t", "as it was")
          const forks: Array<Machine> = []
          const scope = yield* Effect.scope
          const forked = Effect.map(Effect.orDie(Scope.provide(machine.fork, scope)), (fork) => void forks.push(fork))
          const archive = archiveOf([{ path: "f", bytes: part }], "")
          const halves = [archive.subarray(0, part.length), archive.subarray(part.length)]
          const inTwo = (of: ReadonlyArray<Uint8Array>) =>
            Stream.mapEffect(Stream.fromIterable(of), (each, index) =>
              Effect.as(index === 1 ? forked : Effect.void, each)
            )
          yield* files.unpack("/tmp/u", inTwo(halves))
          yield* files.write("/tmp/t", inTwo([part, part]))
          yield* Stream.runForEach(Stream.take(files.watch("/tmp"), 1), () => forked)
          yield* Stream.runForEach(Stream.take(files.stream("/tmp/t"), 1), () => forked)
          const [unpacked, written] = forks
          assert.lengthOf(forks, 4)
          for (const fork of forks) {
            yield* fork.run({ budgetNanos: 1e9 })
            const before = yield* kinds(fork)
            assert.include(before, "ExecExited")
            const found = yield* said(fork, look)
            assert.strictEqual(found, fork === unpacked || fork === written ? "as it was" : ".........")
            assert.strictEqual(yield* said(fork, "ls -A /tmp"), fork === unpacked ? "t\n" : "t\nu\n")
            assert.strictEqual(yield* told(fork), 1)
          }
        })
      )
    )

    it.effect("what-an-unpack-had-made-is-gone-before-the-first-command-of-its-clone", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* linuxAt("AgentReady", null)
          const scope = yield* Effect.scope
          const forks: Array<Machine> = []
          // So many that their removal takes longer than the beginning of a command.
          const all = Array.from({ length: 3000 }, (_, index) => ({ path: `f${index}`, bytes: new Uint8Array([7]) }))
          const archive = archiveOf(all, "")
          const cut = archive.length - 16 * 1024
          const pieces = Stream.mapEffect(Stream.fromIterable([0, cut]), (from) =>
            from === 0
              ? Effect.succeed(archive.subarray(0, cut))
              : Effect.map(Effect.orDie(Scope.provide(machine.fork, scope)), (fork) => {
                  forks.push(fork)
                  return archive.subarray(cut)
                })
          )
          yield* machine.files.unpack("/tmp/u", pieces)
          const [fork] = forks
          if (fork === undefined) return assert.fail("nothing was forked")
          assert.strictEqual(yield* said(fork, "ls -A /tmp"), "")
          assert.strictEqual(yield* said(machine, "ls /tmp/u | wc -l"), "3000\n")
        })
      )
    )

    it.effect("other-commands-go-on-as-what-was-captured-does-and-wait-for-no-reader", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* linuxAt("AgentReady", null)
          // It says far more than its pipe and window hold, and then what it has come to.
          const script = "head -c 400000 /dev/zero; echo done > /tmp/came; cat > /tmp/input; echo over > /tmp/came"
          const command = yield* machine.spawn({ argv: ["sh", "-c", script], windowBytes: 4096 })
          yield* machine.run({ kinds: ["ExecOutputHeld"], budgetNanos: enough })
          const clone = yield* machine.fork
          assert.strictEqual(yield* said(clone, "sleep 0.2; cat /tmp/came; ps | grep -c '[c]at$'"), "done\n1\n")
          assert.strictEqual(yield* told(clone), 1)
          // A clone of the clone has the command as well.
          const further = yield* clone.fork
          assert.strictEqual(yield* said(further, "sleep 0.2; cat /tmp/came"), "done\n")
          // Its caller is told everything, and has it go on.
          const out = yield* Effect.forkChild(Stream.runCollect(command.stdout))
          yield* command.endInput
          const bytes = (yield* Fiber.join(out)).reduce((sum, each) => sum + each.length, 0)
          assert.deepStrictEqual([bytes, (yield* command.exit).code], [400_000, 0])
          assert.strictEqual(yield* said(machine, "cat /tmp/came"), "over\n")
          // Where no command runs, nobody is told anything.
          const idle = yield* machine.fork
          yield* said(idle, "true")
          assert.strictEqual(yield* told(idle), 0)
        })
      )
    )

    it.effect("a-snapshot-of-the-midst-of-a-write-is-without-it-behind-the-gate-and-in-another-process", () =>
      Effect.gen(function* () {
        const root = yield* folder
        const { value } = yield* Effect.scoped(
          Pipeline.run(yield* linux(), { policy: kindTrigger("ListenerBound"), target: join(root, "base") })
        )
        const { machine } = yield* Gate.restore(value.snapshot.directory)
        let taken: Snapshot | undefined
        const content = Stream.mapEffect(Stream.range(1, 3), (index) =>
          index < 3
            ? Effect.succeed(part)
            : Effect.map(
                Effect.orDie(Effect.scoped(publish(machine, value.snapshot, join(root, "midst")))),
                (snapshot) => {
                  taken = snapshot
                  return part
                }
              )
        )
        const context = yield* Effect.context<SnapshotStore>()
        yield* machine.files.write("/tmp/t", Stream.provideContext(content, context))
        if (taken === undefined) return assert.fail("nothing was taken")
        const clone = yield* Gate.restore(taken.directory)
        yield* clone.machine.files.write("/tmp/t", "new")
        assert.strictEqual(yield* said(clone.machine, look), "new")
        const tags = yield* kinds(clone.machine)
        // The write had ended before the gate opened.
        const ended = tags.indexOf("ExecExited")
        assert.isTrue(ended >= 0 && ended < tags.indexOf("IdentityApplied"), tags.join(" "))
        const program = yield* Effect.promise(() => bundled(fileURLToPath(new URL("./askClone.ts", import.meta.url))))
        const other = yield* hostProgram(process.execPath, program, taken.directory, `ls -A /tmp; ${look}`)
        assert.deepStrictEqual(other, { code: 0, stdout: "" })
      })
    )
  })
})
