import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Result, Scope } from "effect"
import * as fc from "fast-check"
import { Journal, type JournalShape } from "../journal/Journal.ts"
import { makeMemoryJournal } from "../journal/memoryJournal.ts"
import { makeSqliteJournal } from "../journal/sqliteJournal.ts"
import { commandArbitraries, nextCommandArbitrary } from "../testing/runArbitraries.ts"
import { decide } from "./decide.ts"
import type { RunCommand } from "./RunCommand.ts"
import { makeRunContext, type RunContextShape } from "./RunContext.ts"
import type { RunEvent } from "./RunEvent.ts"
import { foldRun, isEnded, type RunPhase } from "./RunState.ts"
import { readRun } from "./runStream.ts"

/** The events that must have happened. */
interface Model {
  events: ReadonlyArray<RunEvent>
}

/** A run that is written to a journal, by a process that may die at any moment, and by ones that are only thought dead. */
class System {
  readonly journal: JournalShape
  context: RunContextShape
  readonly earlier: Array<RunContextShape> = []

  private constructor(journal: JournalShape, context: RunContextShape) {
    this.journal = journal
    this.context = context
  }

  static async begin(journal: JournalShape): Promise<System> {
    return new System(journal, await contextOn(journal))
  }

  async restart(): Promise<void> {
    this.earlier.push(this.context)
    this.context = await contextOn(this.journal)
  }

  async check(model: Model): Promise<void> {
    const stored = await Effect.runPromise(readRun("r").pipe(Effect.provideService(Journal, this.journal)))
    assert.deepStrictEqual(
      stored.map(({ event }) => event),
      model.events
    )
    assert.deepStrictEqual(await Effect.runPromise(this.context.state), foldRun(model.events))
    checkPromises(model.events)
  }
}

const contextOn = (journal: JournalShape) =>
  Effect.runPromise(makeRunContext("r").pipe(Effect.provideService(Journal, journal)))

type NextCommand = (phase: RunPhase) => RunCommand

/** The invariants of every run at every moment. */
const checkPromises = (events: ReadonlyArray<RunEvent>): void => {
  const placesOf = (tag: RunEvent["_tag"]) => events.flatMap((event, index) => (event._tag === tag ? [index] : []))
  const [captured, ...moreCaptures] = placesOf("CaptureCompleted")
  const [published, ...morePublishes] = placesOf("SnapshotPublished")
  const ends = [...placesOf("RunReady"), ...placesOf("RunAbandoned"), ...placesOf("RunFailed")]
  assert.deepStrictEqual([...moreCaptures, ...morePublishes, ...ends.slice(1)], [])
  if (published !== undefined) assert.isTrue(captured !== undefined && captured < published)
  if (captured !== undefined) {
    const fired = placesOf("TriggerFired").at(-1) ?? Infinity
    assert.isBelow(fired, captured)
    const [trigger, capture] = [events[fired], events[captured]]
    if (trigger?._tag === "TriggerFired" && capture?._tag === "CaptureCompleted")
      assert.isAtLeast(capture.atNanos, trigger.firing.atNanos)
  }
  if (ends[0] !== undefined) assert.strictEqual(ends[0], events.length - 1)
}

class Tell implements fc.AsyncCommand<Model, System> {
  readonly next: NextCommand
  constructor(next: NextCommand) {
    this.next = next
  }
  check = () => true
  async run(model: Model, system: System): Promise<void> {
    const state = foldRun(model.events)
    const command = this.next(state.phase)
    const expected = decide(state, command)
    const outcome = await Effect.runPromise(Effect.result(system.context.tell(command)))
    assert.strictEqual(outcome._tag, expected._tag)
    if (Result.isSuccess(expected)) model.events = [...model.events, ...expected.success]
    await system.check(model)
  }
  toString = () => `tell ${this.next.toString()}`
}

/** The process dies between two commands: what is known is what the journal holds. */
class Crash implements fc.AsyncCommand<Model, System> {
  check = () => true
  async run(model: Model, system: System): Promise<void> {
    await system.restart()
    await system.check(model)
  }
  toString = () => "crash"
}

/** The process dies while it appends: right before that is durable, or right after and before it knows. */
class CrashWhileTelling implements fc.AsyncCommand<Model, System> {
  readonly next: NextCommand
  readonly isDurable: boolean
  constructor(next: NextCommand, isDurable: boolean) {
    this.next = next
    this.isDurable = isDurable
  }
  check = () => true
  async run(model: Model, system: System): Promise<void> {
    const { journal } = system
    const dying: JournalShape = {
      ...journal,
      append: (...append) =>
        Effect.andThen(this.isDurable ? journal.append(...append) : Effect.void, Effect.die("the process died"))
    }
    const state = foldRun(model.events)
    const command = this.next(state.phase)
    const expected = decide(state, command)
    const exit = await Effect.runPromiseExit((await contextOn(dying)).tell(command))
    assert.isTrue(Exit.isFailure(exit))
    if (Result.isSuccess(expected) && this.isDurable) model.events = [...model.events, ...expected.success]
    await system.restart()
    await system.check(model)
  }
  toString = () => `crash ${this.isDurable ? "after" : "before"} ${this.next.toString()}`
}

/** A process that was thought dead still writes: what it does not know of makes the journal refuse it. */
class TellAsEarlier implements fc.AsyncCommand<Model, System> {
  readonly next: NextCommand
  constructor(next: NextCommand) {
    this.next = next
  }
  check = () => true
  async run(model: Model, system: System): Promise<void> {
    const earlier = system.earlier.at(-1)
    if (earlier === undefined) return
    const known = await Effect.runPromise(earlier.state)
    const isBehind = JSON.stringify(known) !== JSON.stringify(foldRun(model.events))
    const command = this.next(known.phase)
    const outcome = await Effect.runPromise(Effect.result(earlier.tell(command)))
    if (isBehind) {
      assert.strictEqual(outcome._tag, "Failure")
      await system.check(model)
      return
    }
    // It may be behind by events that leave the state as it is; then it is refused, too. Else it was in time, and the other is behind.
    if (Result.isSuccess(outcome)) {
      const decision = decide(known, command)
      if (Result.isSuccess(decision)) model.events = [...model.events, ...decision.success]
      await system.restart()
    }
    await system.check(model)
  }
  toString = () => `earlier process: ${this.next.toString()}`
}

const commands = fc.commands(
  [
    nextCommandArbitrary.map((next) => new Tell(next)),
    nextCommandArbitrary.map((next) => new Tell(next)),
    fc.constant(new Crash()),
    fc.tuple(nextCommandArbitrary, fc.boolean()).map(([next, isDurable]) => new CrashWhileTelling(next, isDurable)),
    nextCommandArbitrary.map((next) => new TellAsEarlier(next))
  ],
  { maxCommands: 60, size: "max" }
)

const sqliteInFile = Effect.flatMap(
  Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-runs-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  ),
  (directory) => makeSqliteJournal({ path: join(directory, "journal") })
)

describe("any sequence of commands, with crashes between and within, and writers that come too late", () => {
  for (const [name, make, numRuns] of [
    ["memory", Effect.sync(makeMemoryJournal), 400],
    ["sqlite", sqliteInFile, 100]
  ] as const) {
    it.live(`the-fold-of-the-journal-is-the-live-state-every-promise-holds-and-every-run-ends (${name})`, () =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(commands, commandArbitraries.Recover, async (commands, recover) => {
            const scope = await Effect.runPromise(Scope.make())
            try {
              const journal = await Effect.runPromise(Scope.provide(make, scope))
              const model: Model = { events: [] }
              const system = await System.begin(journal)
              await fc.asyncModelRun(() => ({ model, real: system }), commands)
              // Whatever came before: a recovery in another process brings it to an end.
              await system.restart()
              if (model.events.length > 0 && !isEnded(foldRun(model.events)))
                await new Tell(() => recover).run(model, system)
              assert.strictEqual(isEnded(await Effect.runPromise(system.context.state)), model.events.length > 0)
            } finally {
              await Effect.runPromise(Scope.close(scope, Exit.void))
            }
          }),
          { numRuns }
        )
      )
    )
  }
})
