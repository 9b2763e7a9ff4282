import { createHash } from "node:crypto"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import { filter, firstValueFrom, scan, shareReplay, toArray } from "rxjs"
import { layer, linuxAt } from "../guests.ts"

const textOf = (parts: ReadonlyArray<Uint8Array>): string => Buffer.concat(parts).toString()

const pattern = (sizeBytes: number): Uint8Array => {
  const bytes = new Uint8Array(sizeBytes)
  for (let at = 0; at < sizeBytes; at++) bytes[at] = (at * 31 + (at >> 8)) & 0xff
  return bytes
}

describe("a process in a guest", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("takes-and-gives-streams-of-any-length-and-ends-by-name", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* linuxAt("AgentReady", null)
          const cat = yield* machine.spawn({ argv: ["cat"], windowBytes: 65_536 })
          const sent = pattern(200_000)
          const writing = yield* Effect.forkChild(
            Stream.run(Stream.fromIterable([sent.subarray(0, 5), sent.subarray(5)]), cat.stdin)
          )
          const got = yield* Stream.runCollect(cat.stdout)
          yield* Fiber.join(writing)
          const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")
          assert.strictEqual(digest(Buffer.concat(got)), digest(sent))
          assert.deepStrictEqual(yield* cat.exit, { code: 0, signal: null })

          const both = yield* machine.spawn({
            argv: ["sh", "-c", 'echo "$A $(id -u):$(id -g) $(pwd)"; echo wrong >&2; exit 7'],
            env: { A: "a b" },
            user: "nobody:100",
            cwd: "/etc"
          })
          const [out, err] = yield* Effect.all([Stream.runCollect(both.stdout), Stream.runCollect(both.stderr)], {
            concurrency: "unbounded"
          })
          assert.deepStrictEqual([textOf(out), textOf(err)], ["a b 65534:100 /etc\n", "wrong\n"])
          assert.strictEqual((yield* both.exit).code, 7)

          const slow = yield* machine.spawn({ argv: ["sleep", "1000"] })
          yield* slow.kill(10)
          assert.deepStrictEqual(yield* slow.exit, { code: null, signal: 10 })
          const late = yield* Effect.flip(slow.write("too late"))
          assert.strictEqual(late.reason._tag, "InputClosed")
        })
      )
    )

    it.effect("waits-in-its-own-write-while-nobody-reads-and-loses-nothing", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* linuxAt("AgentReady", null)
          const sizeBytes = 2_000_000
          const script = `head -c ${sizeBytes} /dev/zero | tr '\\0' x; echo done > /tmp/done`
          const flood = yield* machine.spawn({ argv: ["sh", "-c", script], windowBytes: 65_536 })
          const told = Effect.map(machine.eventsSoFar(), (events) =>
            events.reduce((sum, event) => sum + (event._tag === "ExecOutput" ? event.data.length : 0), 0)
          )
          // The guest runs for a minute; the command does not.
          yield* machine.run({ budgetNanos: 60e9 })
          assert.strictEqual(yield* told, 65_536)
          assert.strictEqual((yield* machine.exec({ argv: ["test", "-e", "/tmp/done"] })).code, 1)
          const stuck = yield* Effect.flip(flood.exit)
          assert.strictEqual(stuck.reason._tag, "OutputUnread")
          let got = 0
          yield* flood.stdout.pipe(
            Stream.takeUntil((piece) => (got += piece.length) > 300_000),
            Stream.runDrain
          )
          const before = yield* told
          yield* machine.run({ budgetNanos: 60e9 })
          assert.isAtMost((yield* told) - got, 65_536)
          assert.isAtLeast(yield* told, before)
          yield* Stream.runForEach(flood.stdout, (piece) => Effect.sync(() => (got += piece.length)))
          assert.strictEqual(got, sizeBytes)
          assert.strictEqual((yield* flood.exit).code, 0)
          const kinds = (yield* machine.eventsSoFar()).map((event) => event._tag)
          assert.notInclude(kinds, "EventsDropped")
        })
      )
    )

    it.effect("has-a-terminal-whose-size-changes-and-whose-input-ends-by-its-character", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const machine = yield* linuxAt("AgentReady", null)
          const shell = yield* machine.spawn({
            argv: ["sh", "-c", "stty -echo; tty; stty size; read line; echo got $line; stty size; cat; echo end"],
            terminal: { columns: 100, rows: 30 }
          })
          const said = shell.stdout$.pipe(shareReplay())
          const out = yield* Effect.forkChild(Effect.promise(() => firstValueFrom(said.pipe(toArray()))))
          // It has asked for its size before it waits for a line.
          yield* Effect.promise(() =>
            firstValueFrom(
              said.pipe(
                scan((text, bytes) => text + textOf([bytes]), ""),
                filter((text) => text.includes("30 100"))
              )
            )
          )
          yield* shell.resize({ columns: 80, rows: 25 })
          yield* shell.write("hello\n")
          yield* shell.endInput
          const text = textOf(yield* Fiber.join(out)).replaceAll("\r", "")
          assert.deepStrictEqual(text.split("\n").slice(0, -1), ["/dev/pts/0", "30 100", "got hello", "25 80", "end"])
          assert.strictEqual((yield* shell.exit).code, 0)
          const pipes = yield* machine.spawn({ argv: ["cat"] })
          const refused = yield* Effect.flip(pipes.resize({ columns: 1, rows: 1 }))
          assert.strictEqual(refused.reason._tag, "InvalidCommand")
        })
      )
    )

    it.effect("is-killed-with-its-scope-and-fails-by-name-with-its-machine", () =>
      Effect.gen(function* () {
        const machine = yield* linuxAt("AgentReady", null)
        yield* Effect.scoped(machine.spawn({ argv: ["sh", "-c", "sleep 4321 & sleep 4321"] }))
        assert.notInclude(textOf([(yield* machine.exec({ argv: ["ps"] })).stdout]), "4321")
        const longer = yield* Scope.make()
        const closing = yield* Effect.scoped(
          Effect.gen(function* () {
            const other = yield* linuxAt("AgentReady", null)
            const cat = yield* Scope.provide(other.spawn({ argv: ["cat"] }), longer)
            return yield* Effect.forkDetach(
              Effect.all([Effect.flip(Stream.runDrain(cat.stdout)), Effect.flip(cat.exit)]),
              {
                startImmediately: true
              }
            )
          })
        )
        const errors = yield* Fiber.join(closing)
        assert.deepStrictEqual(
          errors.map(({ reason }) => reason._tag),
          ["Closed", "Closed"]
        )
        yield* Scope.close(longer, Exit.void)
        const wrong = yield* Effect.flip(machine.spawn({ argv: [], windowBytes: 1, user: "" }))
        for (const part of ["argv", "windowBytes", "user"]) assert.include(wrong.message, part)
        const missing = yield* Effect.flip(machine.spawn({ argv: ["/no/such"] }))
        assert.strictEqual(missing.reason._tag, "ExecFailed")
      })
    )
  })
})
