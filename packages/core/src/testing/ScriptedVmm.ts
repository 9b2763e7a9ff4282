/**
 * Machines without an engine: guests that follow a script, with an agent that answers.
 *
 * A scripted guest is deterministic, costs no guest instructions, and can misbehave on request. Everything above the
 * `Vmm` port can be tested on it.
 *
 * @module
 */
import { join } from "node:path"
import { Effect, Layer, type Scope } from "effect"
import { Observable, Subject } from "rxjs"
import { askedOfAgent } from "../agent/askedOfAgent.ts"
import { makeAgent } from "../agent/makeAgent.ts"
import type { AgentRequest } from "../agent/AgentPort.ts"
import { revealed } from "../agent/secrets.ts"
import { makeLive } from "../agent/makeLive.ts"
import { makeTurns } from "../agent/turns.ts"
import { activityAfter, noActivity } from "../GuestActivity.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import { AttachError, BootError, CaptureError, ForkError, MachineError, RestoreError } from "../MachineErrors.ts"
import { noGuestPorts } from "../noGuestPorts.ts"
import { type EventBody, type ScriptLine, serviceScript } from "./guestScript.ts"
import { isSecret, scriptedAgent } from "./scriptedAgent.ts"
import type { PendingAnswer, ScriptedState, ScriptedVmmOptions } from "./ScriptedState.ts"
import { DurableFiles, type DurableFilesShape } from "../files/DurableFiles.ts"
import { keyIdOf } from "../encryption.ts"
import { sha256 } from "../snapshot/Manifest.ts"
import {
  type BootSpec,
  type CaptureKind,
  type Machine,
  type RestoreChain,
  type MachineStop,
  type MachineUntil,
  Vmm
} from "../Vmm.ts"
import { scriptedMemoryAddress, scriptedPages } from "./scriptedMemory.ts"

/** The content of a scripted machine's `machine.bin`. */
interface Saved {
  /** Id of the key that it counts as encrypted with: the files themselves are readable. */
  readonly keyId?: string
  readonly parent: string | null
  readonly state: ScriptedState
}

const stopKinds: Readonly<Record<string, MachineStop["reason"]>> = {
  GuestHalted: "halted",
  GuestReset: "reset",
  EngineFault: "fault",
  GuestPanicked: "halted"
}

const replacer = (_key: string, value: unknown): unknown =>
  typeof value === "bigint"
    ? { $bigint: value.toString() }
    : value instanceof Uint8Array
      ? { $bytes: [...value] }
      : value
const reviver = (_key: string, value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if ("$bigint" in value) return BigInt(String(value.$bigint))
  if ("$bytes" in value) return Uint8Array.from(value.$bytes as ReadonlyArray<number>)
  return value
}

let nextMachineId = 0

/** Number of open scripted machines, for tests that nothing is left behind. */
export const scriptedMachines = { open: 0 }

const makeMachine = (
  options: ScriptedVmmOptions,
  files: DurableFilesShape,
  state: ScriptedState,
  /** Tells the machine that this one was forked from. */
  tellOrigin: (identity: string) => void = () => {}
): Effect.Effect<Machine, never, Scope.Scope> =>
  Effect.gen(function* () {
    const events: Array<GuestEvent> = []
    const live = new Subject<GuestEvent>()
    let isClosed = false
    let isRunning = false
    let isPauseAsked = false
    scriptedMachines.open += 1
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isClosed = true
        isPauseAsked = true
        scriptedMachines.open -= 1
        live.complete()
      })
    )
    const tellLineage = (identity: string): void => {
      state.known = [...state.known, identity]
      tellOrigin(identity)
    }
    const machineError = (_tag: "Closed" | "AlreadyRunning", message: string) =>
      new MachineError({ reason: { _tag, message } })
    const whileOpen = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | MachineError> =>
      Effect.suspend((): Effect.Effect<A, E | MachineError> =>
        isClosed ? Effect.fail(machineError("Closed", "the machine is closed")) : effect
      )

    const emit = (body: EventBody): GuestEvent => {
      const event = { ...body, seq: state.nextSeq, atNanos: state.nowNanos } as GuestEvent
      state.nextSeq += 1
      state.activity = activityAfter(state.activity, [event])
      events.push(event)
      live.next(event)
      return event
    }

    const lineAt = (line: ScriptLine): number => line.atNanos + (line.isWorkload === true ? state.workloadDelay : 0)

    /** The next thing to happen: an answer of the agent or a line that is not frozen. */
    const upcoming = (): { readonly atNanos: number; readonly take: () => GuestEvent } | null => {
      const answer = state.answers
        .filter((each) => state.frozenSince === null || !each.isWorkload)
        .toSorted((a, b) => a.atNanos - b.atNanos)[0]
      const line = state.script
        .filter((each) => state.frozenSince === null || each.isWorkload !== true)
        .toSorted((a, b) => lineAt(a) - lineAt(b))[0]
      if (answer !== undefined && (line === undefined || answer.atNanos <= lineAt(line))) {
        return { atNanos: Math.max(state.nowNanos, answer.atNanos), take: () => takeAnswer(answer) }
      }
      if (line === undefined) return null
      return {
        atNanos: Math.max(state.nowNanos, lineAt(line)),
        take: () => {
          state.script = state.script.filter((each) => each !== line)
          return emit(line.event)
        }
      }
    }

    const takeAnswer = (answer: PendingAnswer): GuestEvent => {
      state.answers = state.answers.filter((each) => each !== answer)
      if (answer.identity !== null) {
        state.entropy = sha256(answer.identity.entropy)
        if (answer.identity.hostname !== null) state.hostname = answer.identity.hostname
        if (answer.identity.machineId !== null) state.machineId = answer.identity.machineId
        for (const [key, value] of Object.entries(answer.identity.env)) {
          state.env = { ...state.env, [key]: revealed(value) }
        }
        if (answer.identity.realtimeNanos !== null) {
          state.realtimeAtZero = answer.identity.realtimeNanos - BigInt(state.nowNanos)
        }
      }
      if (answer.effect === "freeze") state.frozenSince ??= state.nowNanos
      const event = emit(answer.event)
      if (answer.effect === "thaw" && state.frozenSince !== null) {
        const stood = state.nowNanos - state.frozenSince
        state.workloadDelay += stood
        state.answers = state.answers.map((each) =>
          each.isWorkload ? { ...each, atNanos: each.atNanos + stood } : each
        )
        state.frozenSince = null
      }
      return event
    }

    const step = (until: MachineUntil, deadline: number): MachineStop | null => {
      const next = upcoming()
      if (next === null || next.atNanos > deadline) {
        if (deadline === Infinity) return { reason: "idle", seq: null, atNanos: state.nowNanos }
        state.nowNanos = Math.max(state.nowNanos, deadline)
        return { reason: until.atNanos === deadline ? "time" : "budget", seq: null, atNanos: state.nowNanos }
      }
      state.nowNanos = next.atNanos
      const event = next.take()
      const ending = stopKinds[event._tag]
      if (ending !== undefined) {
        state.script = []
        state.answers = []
      }
      if (until.kinds?.includes(event._tag) === true) return { reason: "event", seq: event.seq, atNanos: event.atNanos }
      return ending === undefined ? null : { reason: ending, seq: event.seq, atNanos: event.atNanos }
    }

    const runOnce = (until: MachineUntil) =>
      whileOpen(
        Effect.gen(function* () {
          if (isRunning) return yield* machineError("AlreadyRunning", "the machine is already running")
          isRunning = true
          isPauseAsked = false
          const deadline = Math.min(until.atNanos ?? Infinity, state.nowNanos + (until.budgetNanos ?? Infinity))
          if (options.hostMillisPerRun !== undefined) yield* Effect.sleep(options.hostMillisPerRun)
          while (true) {
            yield* Effect.yieldNow
            if (isClosed) return yield* machineError("Closed", "the machine was closed while it ran")
            if (isPauseAsked) return { reason: "paused" as const, seq: null, atNanos: state.nowNanos }
            const stop = step(until, deadline)
            if (stop !== null) return stop
          }
        }).pipe(
          Effect.ensuring(
            Effect.sync(() => {
              isRunning = false
            })
          )
        )
      )
    const turns = makeTurns(runOnce)
    /** A live machine waits at the end of its script. */
    const runUntilItEnds = Effect.flatMap(runOnce({}), (stop) =>
      stop.reason === "idle" ? Effect.never : Effect.succeed(stop)
    )
    const nowNanos = Effect.sync(() => state.nowNanos)

    const answer = scriptedAgent(options, state)
    const tell = (request: AgentRequest): Effect.Effect<void, MachineError> =>
      whileOpen(
        Effect.sync(() => {
          const kind = isSecret(request) ? "withheld" : "control"
          emit({ _tag: "HostInput", kind, port: 1, data: new Uint8Array(0) })
          answer(request)
        })
      )

    const eventsFrom = (seq: number): Observable<GuestEvent> =>
      new Observable((subscriber) => {
        for (const event of events.slice()) if (event.seq >= seq) subscriber.next(event)
        if (isClosed) {
          subscriber.complete()
          return
        }
        const subscription = live.subscribe(subscriber)
        return () => subscription.unsubscribe()
      })

    const capture = Effect.fnUntraced(
      function* (directory: string, kind: CaptureKind = {}) {
        if (isClosed) return yield* new CaptureError({ reason: { _tag: "Closed", message: "the machine is closed" } })
        const parent = kind.parent ?? null
        if (parent !== null && !state.known.includes(parent)) {
          const message = `delta since ${parent}: this machine knows ${state.known.join(", ") || "none"}`
          return yield* new CaptureError({ reason: { _tag: "ParentUnknown", message } })
        }
        const { encryptionKey } = kind
        const encryption =
          encryptionKey === undefined
            ? null
            : { keyId: keyIdOf(encryptionKey), salt: sha256(`${state.entropy} ${state.nextSeq}`) }
        const saved: Saved = {
          parent,
          state: { ...state, known: [] },
          ...(encryption === null ? {} : { keyId: encryption.keyId })
        }
        const bytes = new TextEncoder().encode(JSON.stringify(saved, replacer))
        const identity = sha256(bytes)
        const contents: ReadonlyArray<readonly [string, Uint8Array]> = [
          ["memory.bin", new Uint8Array(8192).fill(state.nextSeq % 251)],
          ["memory.digests", new TextEncoder().encode(sha256(new Uint8Array(8192).fill(state.nextSeq % 251)))],
          ["machine.bin", bytes]
        ]
        for (const [name, data] of contents) {
          yield* files.write(join(directory, name), data)
          yield* files.flush(join(directory, name))
        }
        tellLineage(identity)
        return {
          identity,
          parent,
          atNanos: state.nowNanos,
          seq: state.nextSeq - 1,
          pauseNanos: 1_000,
          files: contents.map(([name, data]) => ({
            name,
            sizeBytes: data.byteLength,
            storedBytes: data.byteLength,
            chunkTable: name === "memory.bin" ? "memory.digests" : null,
            guestAddress: name === "memory.bin" ? scriptedMemoryAddress : null
          })),
          engine: "scripted",
          memoryMib: state.memoryMib,
          encryption
        }
      },
      Effect.mapError((cause) =>
        cause._tag === "CaptureError"
          ? cause
          : new CaptureError({
              reason: { _tag: cause.code === "ENOSPC" ? "DiskFull" : "WriteFailed", message: cause.message }
            })
      )
    )

    const agent = makeAgent({
      tell,
      type: (port, data) => whileOpen(Effect.sync(() => void emit({ _tag: "HostInput", kind: "serial", port, data }))),
      nextToken: () =>
        Effect.sync(() => {
          const token = state.nextToken
          state.nextToken += 1
          return token
        }),
      nowNanos,
      nextSeq: () => state.nextSeq,
      eventsFrom,
      eventsSoFar: Effect.sync(() => events.slice()),
      advance: turns.advance
    })

    const beginning = { ...state.activity, atNanos: state.nowNanos }
    const machine: Machine = {
      id: `scripted-${nextMachineId++}`,
      engine: "scripted",
      engineChoice: { requested: "auto", reason: "it follows a script" },
      memoryMib: state.memoryMib,
      isDeterministic: options.isDeterministic ?? true,
      beginning,
      activity: whileOpen(Effect.sync(() => ({ ...state.activity, atNanos: state.nowNanos }))),
      nowNanos,
      get events$() {
        return eventsFrom(0)
      },
      eventsFrom,
      eventsSoFar: (seq = 0, most) => Effect.sync(() => events.filter((event) => event.seq >= seq).slice(0, most)),
      run: turns.run,
      live: makeLive({ run: () => runUntilItEnds, state: Effect.succeed(null), nowNanos }, turns),
      pause: Effect.sync(() => {
        isPauseAsked = true
      }),
      ...askedOfAgent(agent),
      ports: options.ports ?? noGuestPorts,
      renew: () =>
        whileOpen(
          Effect.sync(() => void emit({ _tag: "HostInput", kind: "renewal", port: 0, data: new Uint8Array(0) }))
        ),
      attachDisk: ({ access, name, sizeBytes, source }) =>
        Effect.suspend(() => {
          const refuse = (_tag: "Closed" | "DiskNameTaken" | "SlotTaken", message: string) =>
            new AttachError({ reason: { _tag, message } })
          if (isClosed) return refuse("Closed", "the machine is closed")
          if (state.disks.includes(name)) return refuse("DiskNameTaken", `a disk is called ${name}`)
          if (state.diskSlots === 0) return refuse("SlotTaken", `no slot is left for ${name}`)
          state.disks = [...state.disks, name]
          state.diskSlots -= 1
          emit({
            _tag: "DiskAttached",
            disk: name,
            slot: state.slotsFilled,
            access: access === "copy-on-write" ? "copyOnWrite" : access,
            sizeBytes: sizeBytes ?? 0,
            source: source ?? ""
          })
          state.slotsFilled += 1
          return Effect.void
        }),
      capture,
      fork: Effect.suspend(() =>
        isClosed
          ? Effect.fail(new ForkError({ reason: { _tag: "Closed", message: "the machine is closed" } }))
          : makeMachine(options, files, { ...state }, tellLineage)
      ),
      digest: whileOpen(Effect.sync(() => sha256(JSON.stringify({ ...state, known: [] }, replacer)))),
      ownBytes: whileOpen(Effect.succeed(0)),
      takeTouchedPages: whileOpen(Effect.sync(() => Float64Array.from(scriptedPages)))
    }
    return machine
  })

/**
 * A `Vmm` whose guests follow a script. Snapshot files go through {@link DurableFiles}, faults included.
 */
export const ScriptedVmm = {
  layer: (options: ScriptedVmmOptions = {}): Layer.Layer<Vmm, never, DurableFiles> =>
    Layer.effect(
      Vmm,
      Effect.gen(function* () {
        const files = yield* DurableFiles
        const boot = (spec: BootSpec) =>
          !Number.isSafeInteger(spec.memoryMib ?? 1) || (spec.memoryMib ?? 1) < 1
            ? Effect.fail(new BootError({ reason: { _tag: "MemorySizeInvalid", message: "expected MiB above 0" } }))
            : spec.kernelPath.startsWith("/missing")
              ? Effect.fail(
                  new BootError({ reason: { _tag: "KernelUnreadable", message: `no kernel at ${spec.kernelPath}` } })
                )
              : makeMachine(options, files, {
                  nowNanos: 0,
                  nextSeq: 0,
                  activity: noActivity,
                  workloadDelay: 0,
                  frozenSince: null,
                  script: options.script ?? serviceScript,
                  answers: [],
                  commands: [],
                  entropy: sha256(`seed ${spec.seed ?? 0}`),
                  hostname: "guest",
                  machineId: "0".repeat(32),
                  env: {},
                  realtimeAtZero: BigInt(spec.epochMillis ?? 0) * 1_000_000n,
                  nextToken: 1,
                  memoryMib: spec.memoryMib ?? 128,
                  disks: (spec.disks ?? []).map((disk) => disk.name),
                  diskSlots: spec.diskSlots ?? 0,
                  slotsFilled: 0,
                  known: []
                })
        const refuse = (
          _tag: "FileMissing" | "KeyWrong" | "IdMismatch" | "ParentMismatch" | "ParentMissing",
          message: string
        ) => new RestoreError({ reason: { _tag, message } })
        const readSaved = Effect.fnUntraced(function* (directory: string) {
          const bytes = yield* files
            .read(join(directory, "machine.bin"), 1 << 24)
            .pipe(Effect.mapError((fault) => refuse("FileMissing", fault.message)))
          const saved = JSON.parse(new TextDecoder().decode(bytes), reviver) as Saved
          return { ...saved, identity: sha256(bytes) }
        })
        const restore = Effect.fnUntraced(function* (
          directory: string,
          { encryptionKey, identity, parents = [] }: RestoreChain = {}
        ) {
          const newest = yield* readSaved(directory)
          const given = encryptionKey === undefined ? undefined : keyIdOf(encryptionKey)
          if (newest.keyId !== given) {
            return yield* refuse("KeyWrong", `${directory}: expected the key ${newest.keyId}, found ${given}`)
          }
          if (identity !== undefined && newest.identity !== identity) {
            return yield* refuse("IdMismatch", `${directory}: expected ${identity}, found ${newest.identity}`)
          }
          let wanted = newest.parent
          for (const path of parents) {
            const parent = yield* readSaved(path)
            if (parent.identity !== wanted) {
              return yield* refuse(
                "ParentMismatch",
                `${path}: expected ${wanted ?? "no parent"}, found ${parent.identity}`
              )
            }
            wanted = parent.parent
          }
          if (wanted !== null) return yield* refuse("ParentMissing", `${directory} holds changes since ${wanted}`)
          return yield* makeMachine(options, files, { ...newest.state, known: [newest.identity] })
        })
        return { boot, restore }
      })
    )
} as const
