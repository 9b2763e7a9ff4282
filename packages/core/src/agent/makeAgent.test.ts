import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted, Stream } from "effect"
import * as fc from "fast-check"
import { Observable } from "rxjs"
import { contractLimits } from "../contract/contract.ts"
import { MachineError } from "../MachineErrors.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import type { ScriptedVmmOptions } from "../testing/ScriptedState.ts"
import { ScriptedVmm } from "../testing/ScriptedVmm.ts"
import type { GuestEvent, GuestEventOf } from "../GuestEvent.ts"
import { type Machine, Vmm } from "../Vmm.ts"
import type { AgentPort, AgentRequest } from "./AgentPort.ts"
import { makeAgent } from "./makeAgent.ts"
import { makeTurns } from "./turns.ts"

const booted = (options: ScriptedVmmOptions = {}) =>
  Effect.flatMap(Vmm, (vmm) => vmm.boot({ kernelPath: "/kernel" })).pipe(
    Effect.provide(Layer.provide(ScriptedVmm.layer(options), new MemoryFiles().layer))
  )

const atListener = (options: ScriptedVmmOptions = {}) =>
  Effect.tap(booted(options), (machine) => machine.run({ kinds: ["ListenerBound"] }))

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const kindsOf = (machine: Machine) => Effect.map(machine.eventsSoFar(), (events) => events.map((event) => event._tag))

describe("the agent's client", () => {
  it.effect("waits-for-the-agent-of-a-guest-that-boots", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* booted()
        const { stdout } = yield* machine.exec({ argv: ["echo", "early"] })
        assert.strictEqual(textOf(stdout), "early\n")
        const kinds = yield* kindsOf(machine)
        assert.isBelow(kinds.indexOf("AgentReady"), kinds.indexOf("ExecStarted"))
      })
    )
  )

  it.effect("says-that-there-is-no-agent-where-none-comes", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* booted({ script: [{ atNanos: 1, event: { _tag: "GuestIdle" } }] })
        const error = yield* Effect.flip(machine.exec({ argv: ["true"] }))
        assert.strictEqual(error.reason._tag, "AgentAbsent")
        assert.include(error.message, "true")
      })
    )
  )

  it.effect("says-what-to-do-where-a-root-did-not-fit-and-the-kernel-panicked-for-want-of-it", () =>
    Effect.scoped(
      Effect.gen(function* () {
        for (const isRunning of [false, true]) {
          const text = "[    0.410729] Initramfs unpacking failed: write error"
          const message = "VFS: Unable to mount root fs on unknown-block(0,0)"
          const machine = yield* booted({
            script: [
              { atNanos: 1, event: { _tag: "SerialLine", port: 0, text } },
              { atNanos: 2, event: { _tag: "GuestPanicked", message } }
            ]
          })
          if (!isRunning) yield* machine.run({ budgetNanos: 1e6 })
          const error = yield* Effect.flip(machine.exec({ argv: ["true"] }))
          assert.strictEqual(error.reason._tag, "GuestEnded")
          for (const part of [message, "unpacking failed: write error", "give the machine more memory"]) {
            assert.include(error.message, part)
          }
        }
      })
    )
  )

  it.effect("does-not-wait-for-the-agent-of-a-kernel-that-has-panicked", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const message = "Failed to allocate 33554432 bytes"
        const machine = yield* booted({ script: [{ atNanos: 1, event: { _tag: "GuestPanicked", message } }] })
        yield* machine.run({ budgetNanos: 1e6 })
        const before = yield* machine.nowNanos
        const attempts = [
          Effect.asVoid(machine.exec({ argv: ["true"] })),
          Effect.asVoid(machine.files.read("/etc/passwd"))
        ]
        for (const attempt of attempts) {
          const error = yield* Effect.flip(attempt)
          assert.strictEqual(error.reason._tag, "GuestEnded")
          assert.include(error.message, `${message}; the guest had too little memory: give the machine more`)
        }
        assert.strictEqual(yield* machine.nowNanos, before)
      })
    )
  )

  it.effect("hands-out-a-command-while-it-runs", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* atListener()
        const echo = yield* machine.spawn({ argv: ["echo", "handed", "out"] })
        yield* echo.endInput
        assert.strictEqual(textOf((yield* Stream.runCollect(echo.stdout))[0] ?? new Uint8Array()), "handed out\n")
        assert.deepStrictEqual(yield* echo.exit, { code: 0, signal: null })
        const late = yield* Effect.flip(echo.write("late"))
        assert.strictEqual(late.reason._tag, "InputClosed")
      })
    )
  )

  it.effect("a-frozen-workload-answers-nobody-before-the-thaw", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* atListener()
        yield* machine.agent.freeze()
        const stuck = yield* Effect.flip(machine.exec({ argv: ["wget"], timeoutNanos: 1e9 }))
        assert.strictEqual(stuck.reason._tag, "TimedOut")
        yield* machine.agent.thaw()
        assert.strictEqual(textOf((yield* machine.exec({ argv: ["wget"] })).stdout), "served\n")
      })
    )
  )

  it.effect("an-answer-that-does-not-come-is-no-answer-and-a-silent-freeze-says-so", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* atListener({ freezeNanos: null })
        const before = yield* machine.nowNanos
        const error = yield* Effect.flip(machine.agent.freeze({ within: "20 millis" }))
        assert.deepStrictEqual(error._tag === "AgentError" && error.reason, {
          _tag: "NoAnswer",
          waitingFor: "AgentFrozen",
          withinNanos: 20e6
        })
        assert.strictEqual((yield* machine.nowNanos) - before, 20e6)
      })
    )
  )

  it.effect("a-refusal-is-the-reason-and-not-its-words", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* atListener({ identity: "reject" })
        const identity = {
          entropy: new Uint8Array(32),
          realtimeNanos: null,
          hostname: null,
          machineId: null,
          env: {},
          thaw: false
        }
        const error = yield* Effect.flip(machine.agent.identify(identity))
        assert.strictEqual(
          error._tag === "AgentError" && error.reason._tag === "Refused" && error.reason.why,
          "IdentityInvalid"
        )
      })
    )
  )

  it.effect("switches-the-guest-off", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* atListener()
        assert.strictEqual((yield* machine.agent.powerOff()).reason, "halted")
      })
    )
  )

  it.effect("output-over-the-limit-ends-the-command-at-once", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* atListener()
        const before = yield* machine.nowNanos
        const error = yield* Effect.flip(machine.exec({ argv: ["echo", "too", "much"], outputLimitBytes: 3 }))
        assert.strictEqual(error.reason._tag, "TooMuchOutput")
        assert.isBelow((yield* machine.nowNanos) - before, 100e6)
        assert.strictEqual((yield* machine.exec({ argv: ["echo"] })).code, 0)
      })
    )
  )

  it.effect("a-command-that-is-given-up-is-killed", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* atListener()
        const slow = yield* Effect.flip(machine.exec({ argv: ["sleep", "1000"], timeoutNanos: 1e9 }))
        assert.strictEqual(slow.reason._tag, "TimedOut")
        const events = yield* machine.eventsSoFar()
        const last = events.findLast((event) => event._tag === "ExecExited")
        assert.strictEqual(last?._tag === "ExecExited" && last.signal, 9)
      })
    )
  )

  it.effect("a-secret-is-recorded-as-having-been-given-and-not-with-what-it-was", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* atListener()
        const given = { argv: ["cat"], stdin: Redacted.make("hunter2"), env: { TOKEN: Redacted.make("hunter3") } }
        assert.strictEqual(textOf((yield* machine.exec(given)).stdout), "hunter2")
        yield* machine.exec({ argv: ["cat"], stdin: "plain" })
        const inputs = (yield* machine.eventsSoFar()).filter((event) => event._tag === "HostInput")
        assert.deepStrictEqual(
          inputs.map(({ kind }) => kind),
          ["withheld", "control"]
        )
      })
    )
  )

  it.effect("commands-beyond-the-slots-wait-for-their-turn", () =>
    Effect.scoped(
      Effect.gen(function* () {
        let running = 0
        let most = 0
        const machine = yield* atListener()
        machine.events$.subscribe((event) => {
          if (event._tag === "ExecStarted") most = Math.max(most, ++running)
          if (event._tag === "ExecExited") running -= 1
        })
        const all = Array.from({ length: contractLimits.commands + 40 }, (_, index) => index)
        const results = yield* Effect.forEach(all, (index) => machine.exec({ argv: ["echo", `${index}`] }), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          results.map(({ stdout }) => textOf(stdout)),
          all.map((index) => `${index}\n`)
        )
        assert.isAtMost(most, contractLimits.commands)
      })
    )
  )
})

/** Bytes that a command takes before the agent confirms them. */
const stepBytes = contractLimits.commandInputBytes / 4

/** The n-th byte of an input. */
const byteAt = (at: number): number => (at * 31) & 0xff

/** A command that takes its input in its own time, behind a port with little room. `firstStepBytes`: taken before that is first told. */
const slowReader = (takes: ReadonlyArray<number>, roomFrames: number, firstStepBytes: number) => {
  const listeners = new Set<(event: GuestEvent) => void>()
  let seq = 1
  let nowNanos = 0
  let waiting: Array<Extract<AgentRequest, { readonly _tag: "Exec" | "ExecStdin" }>> = []
  let arrived = 0
  let taken = 0
  let told = 0
  let most = 0
  let isWhole = true
  let isClosed = false
  let hasExited = false
  const emit = (
    body:
      | Omit<GuestEventOf<"ExecStarted">, "seq" | "atNanos">
      | Omit<GuestEventOf<"ExecInputTaken">, "seq" | "atNanos">
      | Omit<GuestEventOf<"ExecExited">, "seq" | "atNanos">
  ): void => {
    const event: GuestEvent = { ...body, seq: seq++, atNanos: nowNanos }
    for (const listener of listeners) listener(event)
  }
  const full = new MachineError({ reason: { _tag: "InputFull", message: "full" } })
  let turn = 0
  const step = (): void => {
    nowNanos += 1e6
    for (const request of waiting) {
      if (request._tag === "Exec") emit({ _tag: "ExecStarted", id: 7, pid: 1 })
      const bytes = request._tag === "Exec" ? request.stdin : request.data
      for (const byte of bytes) isWhole &&= byte === byteAt(arrived++)
      isClosed ||= request._tag === "Exec" ? request.closeStdin : request.close
    }
    waiting = []
    most = Math.max(most, arrived - told)
    taken = Math.min(arrived, taken + (takes[turn++ % takes.length] ?? 1))
    if (taken - told >= (told === 0 ? firstStepBytes : stepBytes)) {
      emit({ _tag: "ExecInputTaken", id: 7, bytes: taken - told })
      told = taken
    }
    if (isClosed && taken === arrived && !hasExited) {
      hasExited = true
      emit({ _tag: "ExecExited", id: 7, code: 0, signal: null })
    }
  }
  const turns = makeTurns(() =>
    Effect.sync(() => {
      step()
      return { reason: "event" as const, seq, atNanos: nowNanos }
    })
  )
  const port: AgentPort = {
    tell: (request) =>
      Effect.suspend(() => {
        if (request._tag !== "Exec" && request._tag !== "ExecStdin") return Effect.void
        if (waiting.length >= roomFrames) return full
        waiting.push(request)
        return Effect.void
      }),
    type: () => Effect.void,
    nextToken: () => Effect.succeed(7),
    nowNanos: Effect.sync(() => nowNanos),
    nextSeq: () => seq,
    eventsFrom: () =>
      new Observable((subscriber) => {
        const listener = (event: GuestEvent): void => subscriber.next(event)
        listeners.add(listener)
        return () => void listeners.delete(listener)
      }),
    eventsSoFar: Effect.succeed([]),
    advance: turns.advance
  }
  return { port, found: () => ({ taken, most, isWhole }) }
}

describe("standard input", () => {
  it.effect("of-any-size-arrives-whole-and-never-fills-the-window-however-slowly-it-is-read", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.nat({ max: 3_000_000 }),
          fc.array(fc.integer({ min: 1, max: 400_000 }), { minLength: 1, maxLength: 4 }),
          fc.integer({ min: 1, max: 40 }),
          // An agent without a channel confirms as much later.
          fc.constantFrom(contractLimits.commandMuchBytes, stepBytes),
          async (sizeBytes, takes, roomFrames, firstStepBytes) => {
            const pace = takes.map((bytes) => Math.max(bytes, Math.ceil(sizeBytes / 2_000)))
            const reader = slowReader(pace, roomFrames, firstStepBytes)
            const stdin = new Uint8Array(sizeBytes)
            for (let at = 0; at < sizeBytes; at++) stdin[at] = byteAt(at)
            const { code } = await Effect.runPromise(makeAgent(reader.port).execute({ argv: ["cat"], stdin }))
            assert.strictEqual(code, 0)
            const { isWhole, most, taken } = reader.found()
            assert.deepStrictEqual({ isWhole, taken }, { isWhole: true, taken: sizeBytes })
            assert.isAtMost(most, contractLimits.commandInputBytes)
          }
        ),
        { numRuns: 30 }
      )
    )
  )

  it.effect("a-machine-that-somebody-else-runs-serves-commands-all-the-same", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* atListener({ hostMillisPerRun: 0 })
        const running = yield* Effect.forkChild(machine.run({ budgetNanos: 60e9 }), { startImmediately: true })
        const { stdout } = yield* machine.exec({ argv: ["echo", "beside"] })
        assert.strictEqual(textOf(stdout), "beside\n")
        yield* Fiber.interrupt(running)
      })
    )
  )
})
