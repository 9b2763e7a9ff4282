/**
 * Core's `Vmm` port over a recording: everything above the port runs against it as against a machine.
 *
 * @module
 */
import { createHash } from "node:crypto"
import { Effect, Layer } from "effect"
import { Observable, Subject } from "rxjs"
import { askedOfAgent } from "../agent/askedOfAgent.ts"
import { makeAgent } from "../agent/makeAgent.ts"
import type { TokenAnswer } from "../agent/AgentPort.ts"
import { makeLive } from "../agent/makeLive.ts"
import { makeTurns } from "../agent/turns.ts"
import { activityAfter, type GuestActivity, noActivity } from "../GuestActivity.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import { noGuestFiles } from "../agent/serveFiles.ts"
import {
  AttachError,
  BootError,
  CaptureError,
  ExecError,
  ForkError,
  MachineError,
  RestoreError
} from "../MachineErrors.ts"
import { noGuestPorts } from "../noGuestPorts.ts"
import { type Agent, type Machine, type MachineStop, type MachineUntil, Vmm } from "../Vmm.ts"
import { encodeEventLine } from "./eventLine.ts"
import type { RecordedTimeline } from "./RecordedTimeline.ts"

const cannot = (what: string) => ({
  _tag: "NotInARecording" as const,
  message: `expected something that a recorded timeline holds, found ${what}: run it against a machine`
})

/**
 * Machines that follow a recording: their events come at their recorded guest times, whatever the requests.
 *
 * `boot` ignores its specification. Requests to the agent are accepted, and have the recorded answers, if any; `exec`, `capture`
 * and `restore` fail with the reason `NotInARecording`. A run that passes the end of the recording stops there with reason
 * `budget`, and the next one fails with the reason `RecordingEnded`; after a recorded halt, reset, fault or final rest, runs stop
 * as they did on the machine.
 */
export const ReplayVmm = {
  layer: (timeline: RecordedTimeline): Layer.Layer<Vmm> =>
    Layer.succeed(Vmm, {
      boot: (spec) =>
        (spec.memoryMib ?? 0) < 0
          ? Effect.fail(
              new BootError({ reason: { _tag: "MemorySizeInvalid", message: "expected memory in MiB above 0" } })
            )
          : replayMachine(timeline),
      restore: () => Effect.fail(new RestoreError({ reason: cannot("a snapshot to restore") }))
    })
} as const

/** One machine over a recording, standing before its first event. Closed by its scope. */
export const replayMachine = Effect.fn("replayMachine")(function* (
  timeline: RecordedTimeline,
  from: ReplayPosition = { index: 0, nowNanos: timeline.header.beginning?.atNanos ?? 0 }
) {
  const player = new Player(timeline, from)
  yield* Effect.addFinalizer(() => Effect.sync(() => player.close()))
  return machineOf(player)
})

/** The position of a replay. */
export interface ReplayPosition {
  /** Events before this one have happened. */
  readonly index: number
  readonly nowNanos: number
}

class Player {
  readonly timeline: RecordedTimeline
  readonly live = new Subject<GuestEvent>()
  index: number
  nowNanos: number
  isClosed = false
  isRunning = false
  isPaused = false
  tokens = 0

  constructor(timeline: RecordedTimeline, from: ReplayPosition) {
    this.timeline = timeline
    this.index = from.index
    this.nowNanos = from.nowNanos
  }

  close(): void {
    this.isClosed = true
    this.live.complete()
  }

  get endNanos(): number {
    return Math.max(this.timeline.end?.atNanos ?? 0, this.timeline.events.at(-1)?.atNanos ?? 0)
  }

  /** The end of the recorded guest, if it ended. */
  get finalStop(): "halted" | "reset" | "fault" | "idle" | "horizon" | null {
    const reason = this.timeline.end?.reason
    if (reason === "halted" || reason === "reset" || reason === "fault" || reason === "idle" || reason === "horizon")
      return reason
    const last = this.timeline.events.at(-1)?._tag
    if (last === "GuestHalted") return "halted"
    if (last === "GuestReset") return "reset"
    return last === "EngineFault" ? "fault" : null
  }

  run(until: MachineUntil): MachineStop | null {
    const { events } = this.timeline
    const limit = Math.min(until.atNanos ?? Infinity, this.nowNanos + (until.budgetNanos ?? Infinity))
    const atLimit = limit === until.atNanos ? "time" : "budget"
    const kinds = new Set<string>(until.kinds ?? [])
    if (limit <= this.nowNanos && limit !== Infinity) return { reason: atLimit, seq: null, atNanos: this.nowNanos }
    const isOver = this.index === events.length && this.nowNanos >= this.endNanos
    while (this.index < events.length) {
      const event = events[this.index] as GuestEvent
      // The machine stops before events after that time; events at that time have happened.
      if (event.atNanos > limit) return this.stopAt(limit, atLimit)
      this.index += 1
      this.nowNanos = Math.max(this.nowNanos, event.atNanos)
      this.live.next(event)
      if (kinds.has(event._tag)) return { reason: "event", seq: event.seq, atNanos: this.nowNanos }
    }
    const final = this.finalStop
    if (limit <= this.endNanos || (final === "idle" && limit !== Infinity)) return this.stopAt(limit, atLimit)
    this.nowNanos = Math.max(this.nowNanos, this.endNanos)
    if (final !== null) return { reason: final, seq: null, atNanos: this.nowNanos }
    return isOver ? null : { reason: "budget", seq: null, atNanos: this.nowNanos }
  }

  private stopAt(limit: number, reason: "time" | "budget"): MachineStop {
    this.nowNanos = Math.max(this.nowNanos, limit)
    return { reason, seq: null, atNanos: this.nowNanos }
  }

  get beginning(): GuestActivity {
    return this.timeline.header.beginning ?? noActivity
  }

  get nextSeq(): number {
    return this.timeline.header.firstSeq + this.index
  }

  /** Whether the recorded machine was given a disk of that name from here on. */
  willAttach(name: string): boolean {
    const { events } = this.timeline
    return events.slice(this.index).some((event) => event._tag === "DiskAttached" && event.disk === name)
  }

  soFar(seq: number): ReadonlyArray<GuestEvent> {
    return this.timeline.events.slice(
      Math.min(this.index, Math.max(0, seq - this.timeline.header.firstSeq)),
      this.index
    )
  }
}

const closed = { _tag: "Closed" as const, message: "expected an open machine, found one that was closed" }

const running = {
  _tag: "AlreadyRunning" as const,
  message: "expected a machine that stands, found one that runs: pause it first"
}

const machineOf = (player: Player): Machine => {
  const open = <A>(use: () => A): Effect.Effect<A, MachineError> =>
    Effect.suspend(() => (player.isClosed ? Effect.fail(new MachineError({ reason: closed })) : Effect.succeed(use())))
  const eventsFrom = (seq: number): Observable<GuestEvent> =>
    new Observable((subscriber) => {
      for (const event of player.soFar(seq)) subscriber.next(event)
      if (player.isClosed) subscriber.complete()
      return player.live.subscribe(subscriber)
    })
  /** Of the answer that was recorded, if there is one. */
  const nextToken = (kind: TokenAnswer | null) =>
    Effect.sync(() => {
      player.tokens += 1
      const answer = player.timeline.events.slice(player.index).find((event) => event._tag === kind)
      return answer !== undefined && "token" in answer ? answer.token : player.tokens
    })
  const turn = Effect.fnUntraced(function* (until: MachineUntil) {
    // As on a machine, a run yields to the event loop, so that it can be paused or interrupted.
    yield* Effect.yieldNow
    const stop = yield* open((): MachineStop | null =>
      player.isPaused ? { reason: "paused", seq: null, atNanos: player.nowNanos } : player.run(until)
    )
    if (stop === null) {
      return yield* new MachineError({
        reason: {
          _tag: "RecordingEnded",
          message: `expected more of the recording, found its end at ${player.nowNanos} ns`
        }
      })
    }
    return stop
  })
  const runOnce = (until: MachineUntil) =>
    Effect.suspend(() => {
      if (player.isRunning) return Effect.fail(new MachineError({ reason: running }))
      player.isRunning = true
      player.isPaused = false
      return Effect.ensuring(
        turn(until),
        Effect.sync(() => {
          player.isRunning = false
        })
      )
    })
  const turns = makeTurns(runOnce)
  const nowNanos = Effect.sync(() => player.nowNanos)
  const accepted = open(() => undefined)
  const execute = () => Effect.andThen(accepted, Effect.fail(new ExecError({ reason: cannot("a command to execute") })))
  const client = makeAgent({
    tell: () => accepted,
    type: () => accepted,
    nextToken,
    nowNanos,
    nextSeq: () => player.nextSeq,
    eventsFrom,
    eventsSoFar: Effect.sync(() => player.soFar(0)),
    advance: turns.advance
  })
  const agent: Agent = { ...client, execute, spawn: execute, files: noGuestFiles(execute()) }
  return {
    id: "replay",
    engine: "replay",
    engineChoice: null,
    memoryMib: memoryMibOf(player.timeline),
    isDeterministic: true,
    beginning: player.beginning,
    activity: open(() => ({ ...activityAfter(player.beginning, player.soFar(0)), atNanos: player.nowNanos })),
    nowNanos,
    events$: eventsFrom(0),
    eventsFrom,
    eventsSoFar: (seq = 0, most) => Effect.sync(() => player.soFar(seq).slice(0, most)),
    run: turns.run,
    live: makeLive({ run: () => runOnce({}), state: Effect.succeed(null), nowNanos }, turns),
    pause: Effect.sync(() => {
      player.isPaused = true
    }),
    ...askedOfAgent(agent),
    ports: noGuestPorts,
    renew: () => accepted,
    attachDisk: ({ name }) =>
      Effect.suspend(() =>
        !player.isClosed && player.willAttach(name)
          ? Effect.void
          : Effect.fail(new AttachError({ reason: player.isClosed ? closed : cannot("a machine to put a disk into") }))
      ),
    capture: () =>
      Effect.suspend(() =>
        Effect.fail(new CaptureError({ reason: player.isClosed ? closed : cannot("a machine to capture") }))
      ),
    fork: Effect.suspend(() =>
      player.isClosed
        ? Effect.fail(new ForkError({ reason: closed }))
        : replayMachine(player.timeline, { index: player.index, nowNanos: player.nowNanos })
    ),
    digest: open(() => {
      const hash = createHash("sha256").update(`${player.nowNanos}\n`)
      for (const event of player.soFar(0)) hash.update(encodeEventLine(event)).update("\n")
      return hash.digest("hex")
    }),
    ownBytes: open(() => 0),
    takeTouchedPages: open(() => new Float64Array(0))
  }
}

const memoryMibOf = (timeline: RecordedTimeline): number => {
  const memory = timeline.header.configuration["memoryMib"]
  return typeof memory === "number" ? memory : 128
}
