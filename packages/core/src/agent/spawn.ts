/**
 * Commands that are handed out while they run.
 *
 * @module
 */
import { Effect, Redacted, type Scope, Semaphore, Sink, Stream } from "effect"
import { guestEndInWords } from "../GuestEnd.ts"
import { contractLimits } from "../contract/contract.ts"
import { describeValue } from "../describeValue.ts"
import type { GuestEventKind } from "../GuestEvent.ts"
import type { GuestProcess, ProcessExit, SpawnSpec, TerminalSize } from "../GuestProcess.ts"
import { makeHeadSignal } from "../internal/headSignal.ts"
import { toShared } from "../internal/toShared.ts"
import type { ExecError, MachineError } from "../MachineErrors.ts"
import type { Secret } from "../Secret.ts"
import { checkedSpawn, execError } from "./commandRequest.ts"
import { stdinFrameBytes } from "./execute.ts"
import { revealed } from "./secrets.ts"
import { commandKinds, type CommandSpec, type makeStartCommand } from "./startCommand.ts"

const defaultWindowBytes = 1 << 20

/** Guest time within which a place for a command must be free. */
const patienceNanos = 60e9

/** Waits have no limit of guest time. */
const endOfTime = Number.MAX_SAFE_INTEGER

type Failure = ExecError | MachineError
type Name = "stdout" | "stderr"

/** Options of a process besides those of its caller. */
export type ProcessStart = Pick<CommandSpec, "isFileService">

/** Starts a process in the scope. */
export const startProcess = (
  start: ReturnType<typeof makeStartCommand>,
  checked: Effect.Success<ReturnType<typeof checkedSpawn>>,
  { isFileService }: ProcessStart
): Effect.Effect<GuestProcess, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const windowBytes = checked.windowBytes ?? defaultWindowBytes
    const stir = makeHeadSignal()
    const unread: Record<Name, Array<Uint8Array>> = { stdout: [], stderr: [] }
    const readers: Record<Name, number> = { stdout: 0, stderr: 0 }
    /** Bytes that were read and whose window has not been opened again. */
    let readBytes = 0
    const command = yield* start(
      {
        ...checked,
        stdin: new Uint8Array(),
        closeStdin: false,
        isStdinSecret: false,
        outputBytes: windowBytes,
        isFileService,
        patienceNanos
      },
      { output: ({ data, stream }) => void unread[stream].push(data), changed: stir.raise }
    )
    const { conversation, id, name } = command
    const pid = command.pid()
    if (pid === null) {
      const end = command.end()
      if (end !== undefined && "_tag" in end) return yield* end
      return yield* execError("TimedOut", `${name}: expected a command that starts, found none`)
    }

    const isReadOf = (stream: Name): boolean => unread[stream].length === 0 || readers[stream] > 0
    /** Runs the guest, or waits while another caller runs it, until there is an answer. */
    const wait = <A>(settled: () => A | undefined, more: ReadonlyArray<GuestEventKind>): Effect.Effect<A, Failure> =>
      Effect.gen(function* () {
        while (true) {
          const generation = stir.generation()
          const value = settled()
          if (value !== undefined) return value
          if (command.isHeld()) {
            if (!isReadOf("stdout") || !isReadOf("stderr")) {
              return yield* execError(
                "OutputUnread",
                `${name}: expected its output to be read, found ${windowBytes} unread bytes; pull from stdout and stderr`
              )
            }
            yield* stir.raisedSince(generation)
            continue
          }
          const turn = yield* conversation.until({
            settled: () => (settled() !== undefined || command.isHeld() ? true : undefined),
            kinds: [...commandKinds, ...more],
            dueNanos: endOfTime,
            ...(checked.pace === undefined ? {} : { pace: checked.pace })
          })
          if (turn._tag === "Idle" || (turn._tag === "Ended" && turn.how === "paused")) {
            yield* stir.raisedSince(generation)
          } else if (turn._tag === "Ended") {
            command.abandon()
            return yield* execError(
              "GuestEnded",
              `${name}: expected its exit status, found the run ended: ${guestEndInWords(turn)}`
            )
          }
        }
      })

    /** The next piece; `null` at the end. */
    const take = (stream: Name): Effect.Effect<Uint8Array | null, Failure> =>
      Effect.gen(function* () {
        yield* wait(() => (unread[stream].length > 0 ? true : command.end()), ["ExecOutput"])
        const piece = unread[stream].shift()
        if (piece === undefined) {
          const end = command.end()
          return end !== undefined && "_tag" in end ? yield* end : null
        }
        readBytes += piece.length
        if (!command.hasEnded() && (command.isHeld() || readBytes >= windowBytes / 4)) {
          const bytes = readBytes
          readBytes = 0
          yield* command.widen(bytes)
        }
        stir.raise()
        return piece
      })
    const streamOf = (stream: Name): Stream.Stream<Uint8Array, Failure> =>
      Stream.unwrap(
        Effect.acquireRelease(
          Effect.sync(() => {
            readers[stream] += 1
          }),
          () =>
            Effect.sync(() => {
              readers[stream] -= 1
              stir.raise()
            })
        ).pipe(
          Effect.as(
            Stream.unfold(undefined, () =>
              Effect.map(take(stream), (piece) => (piece === null ? undefined : ([piece, undefined] as const)))
            )
          )
        )
      )

    let sentBytes = 0
    let isEnded = false
    let isMuch = false
    const writing = Semaphore.makeUnsafe(1)
    const closed = execError("InputClosed", `${name}: expected a command that takes input, found its input closed`)
    const send = (data: Uint8Array, isSecret: boolean) =>
      Effect.gen(function* () {
        for (let at = 0; at < data.length;) {
          // The first part tells the agent that the input is large; the rest then goes over its
          // channel.
          const untilMuch = contractLimits.commandMuchBytes - sentBytes
          if (untilMuch <= 0 && !isMuch) {
            isMuch = true
            yield* command.firstTaken(endOfTime)
          }
          const part = data.subarray(at, at + (untilMuch > 0 ? untilMuch : stdinFrameBytes))
          at += part.length
          yield* wait(
            () =>
              command.isInputClosed() ||
              command.end() !== undefined ||
              sentBytes - command.takenBytes() + part.length <= contractLimits.commandInputBytes ||
              undefined,
            ["ExecInputTaken"]
          )
          if (isEnded || command.isInputClosed() || command.end() !== undefined) return yield* closed
          sentBytes += part.length
          yield* conversation.send({ _tag: "ExecStdin", id, data: part, close: false, isSecret })
          stir.raise()
        }
      })
    const write = (given: Secret<Uint8Array | string>): Effect.Effect<void, Failure> => {
      const data = revealed(given)
      const isSecret = Redacted.isRedacted(given)
      return typeof data === "string" || data instanceof Uint8Array
        ? Semaphore.withPermit(
            writing,
            send(typeof data === "string" ? new TextEncoder().encode(data) : data, isSecret)
          )
        : Effect.fail(
            execError("InvalidCommand", `${name}: expected a text or bytes to write, found ${describeValue(given)}`)
          )
    }
    const endInput = Semaphore.withPermit(
      writing,
      Effect.suspend(() => {
        if (isEnded || command.isInputClosed() || command.end() !== undefined) return Effect.void
        isEnded = true
        stir.raise()
        return conversation.send({ _tag: "ExecStdin", id, data: new Uint8Array(), close: true, isSecret: false })
      })
    )

    const stdout = streamOf("stdout")
    const stderr = streamOf("stderr")
    return {
      pid,
      stdout,
      stderr,
      stdout$: toShared(stdout),
      stderr$: toShared(stderr),
      stdin: Sink.mapEffect(Sink.forEach(write), () => endInput),
      write,
      endInput,
      kill: (signal = 15) =>
        Effect.suspend((): Effect.Effect<void, Failure> => {
          if (!Number.isInteger(signal) || signal < 1 || signal > 64) {
            return Effect.fail(
              execError(
                "InvalidCommand",
                `${name}: expected a signal's number, 1 to 64, found ${describeValue(signal)}`
              )
            )
          }
          stir.raise()
          return command.hasEnded() ? Effect.void : command.signal(signal)
        }),
      resize: (size: TerminalSize) =>
        Effect.suspend((): Effect.Effect<void, Failure> => {
          const { columns, rows }: Partial<TerminalSize> = size ?? {}
          const isCells = (cells: unknown): cells is number =>
            typeof cells === "number" && Number.isInteger(cells) && cells >= 1 && cells <= 65_535
          if (checked.terminal === undefined || !isCells(columns) || !isCells(rows)) {
            return Effect.fail(
              execError(
                "InvalidCommand",
                `${name}: expected a terminal and a size of 1 to 65535 columns and rows, found ${describeValue(columns)} by ${describeValue(rows)} for ` +
                  (checked.terminal === undefined ? "pipes" : "it")
              )
            )
          }
          stir.raise()
          return command.hasEnded() ? Effect.void : conversation.send({ _tag: "ExecResize", id, columns, rows })
        }),
      exit: wait(command.end, []).pipe(
        Effect.flatMap((end): Effect.Effect<ProcessExit, ExecError> =>
          "_tag" in end ? Effect.fail(end) : Effect.succeed(end)
        )
      )
    }
  })

/** Starts a process for a caller. */
export const makeSpawn = (start: ReturnType<typeof makeStartCommand>) =>
  Effect.fn("Agent.spawn")(function* (spec: SpawnSpec): Effect.fn.Return<GuestProcess, Failure, Scope.Scope> {
    return yield* startProcess(start, yield* checkedSpawn(spec), { isFileService: false })
  })
