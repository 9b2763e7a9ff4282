/**
 * The `Machine` of core's port over the native addon.
 *
 * @module
 */
import { randomUUID } from "node:crypto"
import {
  type AgentRequest,
  askedOfAgent,
  AttachError,
  type AttachReason,
  CaptureError,
  type CapturedFiles,
  type CaptureReason,
  describeValue,
  diskSpecSchema,
  ForkError,
  type GuestActivity,
  guestEventKinds,
  type ForkReason,
  type IdentitySpec,
  type LiveState,
  type Machine,
  makeAgent,
  MachineError,
  type MachineFailureReason,
  type MachineStop,
  type MachineUntil,
  makeLive,
  makeTurns,
  revealedEnvironment
} from "@stillpoint/core"
import { Effect, Schema, type Scope } from "effect"
import type * as Addon from "../binding/Addon.ts"
import { kindMask } from "../binding/decodeEvents.ts"
import { checkedCapture, checkedRenewal, keyBytes } from "./checkedRequests.ts"
import { guestPorts } from "./guestPorts.ts"
import { MachineEvents } from "./MachineEvents.ts"
import { checkDiskFiles, nativeDisk } from "./diskFiles.ts"
import { reasonOf } from "./reasonOf.ts"

const isFailure = (value: unknown): value is Addon.Failure =>
  typeof value === "object" && value !== null && "failed" in value

/** Calls the core; its failure becomes the operation's error. */
export const call = <A, E, R extends { readonly _tag: string; readonly message: string }>(
  operation: () => Promise<Addon.Failure | A>,
  onFailure: (reason: R) => E
): Effect.Effect<A, E> =>
  Effect.flatMap(Effect.promise(operation), (outcome) =>
    isFailure(outcome) ? Effect.fail(onFailure(reasonOf<R>(outcome))) : Effect.succeed(outcome as A)
  )

const machineError = (reason: MachineFailureReason) => new MachineError({ reason })

const kindNames: ReadonlySet<string> = new Set(guestEventKinds)

const eventKind = Schema.String.check(
  Schema.makeFilter((name: string) => kindNames.has(name) || `expected a kind of guest event, found ${name}`)
)

const runUntilSchema = Schema.Struct({
  kinds: Schema.optionalKey(Schema.Array(eventKind)),
  atNanos: Schema.optionalKey(Schema.Natural),
  budgetNanos: Schema.optionalKey(Schema.Natural),
  pace: Schema.optionalKey(Schema.Literals(["asFastAsPossible", "realTime"]))
})

const decodeUntil = Schema.decodeUnknownEffect(runUntilSchema, { errors: "all", onExcessProperty: "error" })

const decodeDisk = Schema.decodeUnknownEffect(diskSpecSchema, { errors: "all", onExcessProperty: "error" })
const attachError = (reason: AttachReason) => new AttachError({ reason })

/** Wraps a native machine; closes it with the scope. */
export const fromNative = Effect.fn("NativeMachine.make")(function* (native: Addon.NativeMachine) {
  const machine = make(native)
  yield* Effect.addFinalizer(() => Effect.promise(() => native.close()))
  return machine
})

const activityOf = ({
  atNanos,
  connectionsOpen,
  devicesInFlight,
  isFrozen,
  isIdle,
  openListeners,
  seq
}: Addon.GuestActivity): GuestActivity => ({
  nextSeq: seq,
  atNanos,
  isIdle,
  isFrozen,
  devicesInFlight,
  openListeners: openListeners.map((listener) => ({ _tag: "ListenerBound" as const, ...listener })),
  connectionsOpen
})

const make = (native: Addon.NativeMachine): Machine => {
  const events = new MachineEvents(native)
  // Earlier events of a restored or forked machine belong to its lineage, and do not count as lost.
  const firstSeq = native.nextSeq()
  // The guest sees identifiers and tokens, so they must depend only on its history; and a restored or forked
  // machine must not use one twice. Each use adds at least one event, so counting from the number of events so far
  // ensures both.
  let lastToken = Math.max(0, native.nextSeq() - 1)
  const nextToken = (): number => {
    lastToken = Math.max(lastToken + 1, native.nextSeq())
    return lastToken >>> 0
  }
  /** A run of the core's; interruption pauses it. */
  const running = (start: () => Promise<Addon.Failure | Addon.MachineStop>): Effect.Effect<MachineStop, MachineError> =>
    Effect.callback<MachineStop, MachineError>((resume) => {
      const run = start().then(async (outcome) => {
        await events.settled()
        return outcome
      })
      void run.then((outcome) => {
        resume(
          isFailure(outcome)
            ? Effect.fail(machineError(reasonOf(outcome)))
            : Effect.succeed({
                reason: outcome.reason as MachineStop["reason"],
                seq: outcome.seq,
                atNanos: outcome.atNanos
              })
        )
      })
      // After an interruption, the guest is stopped before the caller continues.
      return Effect.promise(async () => {
        native.pause()
        await run
      })
    })

  const runChecked = (until: MachineUntil): Effect.Effect<MachineStop, MachineError> =>
    running(() =>
      native.run({
        kinds: kindMask(until.kinds ?? []),
        atNanos: until.atNanos ?? null,
        budgetNanos: until.budgetNanos ?? null,
        realTime: until.pace === "realTime"
      })
    )

  const turns = makeTurns(
    Effect.fn("NativeMachine.run")(function* (until: MachineUntil) {
      const problem = (message: string) => machineError({ _tag: "InvalidRun", message: `run: ${message}` })
      yield* decodeUntil(until).pipe(Effect.mapError((error) => problem(error.message)))
      return yield* runChecked(until)
    })
  )

  const live = makeLive(
    {
      run: (options) => running(() => native.live({ ...options })),
      state: Effect.sync(() => native.liveState() as LiveState | null),
      nowNanos: Effect.sync(() => native.nowNanos())
    },
    turns
  )

  const eventsSoFar = (seq?: number, most?: number) =>
    Effect.suspend(() => {
      const isWhole = (value: unknown) => value === undefined || Number.isSafeInteger(value)
      if (!isWhole(seq) || !(isWhole(most) || most === Infinity)) {
        const found = `${describeValue(seq)} and ${describeValue(most)}`
        const message = `eventsSoFar: expected the number of an event and how many at most, found ${found}`
        return Effect.fail(machineError({ _tag: "InvalidRun", message }))
      }
      return events.soFar(seq === undefined ? native.oldestSeq() : Math.max(seq, firstSeq), most)
    })

  const send = (operation: () => Promise<Addon.Failure | null>): Effect.Effect<void, MachineError> =>
    Effect.asVoid(call(operation, machineError))

  /** The agent's client has checked these values. */
  const applyIdentity = (token: number, { env, hookTimeoutNanos, signal, ...identity }: IdentitySpec) =>
    // In a frame, 0 leaves the clock.
    identity.realtimeNanos === 0n
      ? Effect.fail(
          machineError({
            _tag: "InvalidIdentity",
            message: "new identity: expected realtimeNanos above 0n, or null to leave the clock; found 0n"
          })
        )
      : send(() =>
          native.applyIdentity({
            ...identity,
            ...revealedEnvironment(env),
            token,
            hookTimeoutNanos: hookTimeoutNanos ?? null,
            signal: signal ?? null
          })
        )

  const tell = (request: AgentRequest): Effect.Effect<void, MachineError> => {
    switch (request._tag) {
      case "Go":
        return send(() => native.go())
      case "Exec": {
        const { _tag, ...command } = request
        return send(() => native.exec({ ...command, argv: [...command.argv], env: [...command.env] }))
      }
      case "ExecStdin":
        return send(() => native.execStdin(request.id, request.data, request.close, request.isSecret))
      case "ExecWindow":
        return send(() => native.execWindow(request.id, request.bytes))
      case "ExecResize":
        return send(() => native.execResize(request.id, request.columns, request.rows))
      case "ExecKill":
        return send(() => native.execKill(request.id, request.signal))
      case "Freeze":
        return send(() => native.freeze(request.token))
      case "Thaw":
        return send(() => native.thaw(request.token))
      case "ApplyIdentity":
        return applyIdentity(request.token, request.identity)
      case "SetClock":
        return send(() => native.setClock(request.realtimeNanos))
      case "StartWorkload":
        return send(() => native.startWorkload(request.token, [...request.settings], request.isSecret))
      case "PowerOff":
        return send(() => native.powerOff())
    }
  }

  const agent = makeAgent({
    tell,
    type: (port, data, isSecret) => send(() => native.sendSerial(port, data, isSecret)),
    nextToken: () => Effect.sync(nextToken),
    nowNanos: Effect.sync(() => native.nowNanos()),
    nextSeq: () => native.nextSeq(),
    eventsFrom: (seq) => events.from(Math.max(seq, firstSeq)),
    eventsSoFar: eventsSoFar(),
    advance: turns.advance
  })

  const isOpen = Effect.asVoid(call(() => native.ownBytes(), machineError))

  const self: Machine = {
    id: randomUUID(),
    engine: native.engine,
    engineChoice: native.engineChoice,
    memoryMib: native.memoryMib,
    isDeterministic: native.isDeterministic,
    beginning: activityOf(native.beginning),
    activity: Effect.map(
      call(() => native.activity(), machineError),
      activityOf
    ),
    nowNanos: Effect.sync(() => native.nowNanos()),
    events$: events.all$,
    eventsFrom: (seq) => events.from(Math.max(seq, firstSeq)),
    eventsSoFar,
    run: turns.run,
    pause: Effect.sync(() => native.pause()),
    live: (options) => Effect.andThen(isOpen, live(options)),
    ...askedOfAgent(agent),
    ports: guestPorts(native),
    renew: (renewal) => Effect.flatMap(checkedRenewal(renewal), (checked) => send(() => native.renew(checked))),
    attachDisk: Effect.fn("NativeMachine.attachDisk")(function* (disk, slot) {
      const checked = yield* decodeDisk(disk).pipe(
        Effect.mapError(({ message }) => attachError({ _tag: "DiskInvalid", message: `disk: ${message}` }))
      )
      if (slot !== undefined && !(Number.isInteger(slot) && slot >= 0 && slot <= 0xffff_ffff)) {
        const message = `disk: expected the number of a slot, found ${describeValue(slot)}`
        return yield* attachError({ _tag: "SlotUnknown", message })
      }
      yield* checkDiskFiles([checked], () => "disk.source", attachError)
      yield* call(() => native.attachDisk(slot ?? null, nativeDisk(checked)), attachError)
    }),
    capture: (...given) =>
      checkedCapture(...given).pipe(
        Effect.flatMap(([directory, { encryptionKey, parent, shared }]) =>
          call(
            () => native.capture(directory, parent ?? null, shared ?? null, keyBytes(encryptionKey)),
            (reason: CaptureReason) => new CaptureError({ reason })
          )
        ),
        Effect.map((captured): CapturedFiles => ({
          ...captured,
          parent: captured.parent ?? null,
          seq: captured.seq - 1
        }))
      ),
    fork: Effect.suspend((): Effect.Effect<Machine, ForkError, Scope.Scope> =>
      call(
        () => native.fork(),
        (reason: ForkReason) => new ForkError({ reason })
      ).pipe(Effect.flatMap(fromNative))
    ),
    digest: call(() => native.digest(), machineError),
    ownBytes: call(() => native.ownBytes(), machineError),
    takeTouchedPages: call(() => native.takeTouchedPages(), machineError)
  }
  return self
}
