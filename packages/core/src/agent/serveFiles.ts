/**
 * File operations over the agent's own program for files.
 *
 * @module
 */
import { Effect, Stream } from "effect"
import type { GuestProcess } from "../GuestProcess.ts"
import type { ExecError, MachineError } from "../MachineErrors.ts"
import { execError } from "./commandRequest.ts"
import { startProcess } from "./spawn.ts"
import type { makeStartCommand } from "./startCommand.ts"
import { GuestFileError, reasonOfErrno } from "../guestFiles/GuestFileError.ts"
import type {
  GuestFileEntry,
  GuestFileFailure,
  GuestFileInfo,
  GuestFileKind,
  GuestFiles
} from "../guestFiles/GuestFiles.ts"

/** The name by which the agent's program is the one for files. */
const program = "stillpoint-files"

const defaultLimitBytes = 64 * 1024 * 1024

/** Most bytes of a list of entries. */
const listBytes = 256 * 1024 * 1024

/** Most bytes of what a failure says. */
const failureBytes = 4096

const kinds: Readonly<Record<string, GuestFileKind>> = {
  f: "file",
  d: "directory",
  l: "link",
  c: "characterDevice",
  b: "blockDevice",
  p: "pipe",
  s: "socket"
}

const record = /^([fdlcbps]) ([0-7]{1,4}) (\d{1,10}) (\d{1,10}) (\d{1,16}) (-?\d{1,12})\.(\d{9}) ([^]*)$/

const entryOf = (line: string): GuestFileEntry | null => {
  const found = record.exec(line)
  if (found === null) return null
  const [, kind = "", mode = "", uid, gid, size, seconds, nanos, name = ""] = found
  return {
    name,
    kind: kinds[kind] ?? "file",
    mode: Number.parseInt(mode, 8),
    uid: Number(uid),
    gid: Number(gid),
    sizeBytes: Number(size),
    modifiedMillis: Number(seconds) * 1000 + Number(nanos) / 1e6
  }
}

const gather = (stream: Stream.Stream<Uint8Array, GuestFileFailure>, limitBytes: number, over: GuestFileFailure) =>
  Effect.suspend(() => {
    const parts: Array<Uint8Array> = []
    let sizeBytes = 0
    return Stream.runForEach(stream, (part) => {
      sizeBytes += part.length
      if (sizeBytes > limitBytes) return Effect.fail(over)
      parts.push(part)
      return Effect.void
    }).pipe(
      Effect.map(() => {
        const whole = new Uint8Array(sizeBytes)
        let at = 0
        for (const part of parts) {
          whole.set(part, at)
          at += part.length
        }
        return whole
      })
    )
  })

/** The files behind commands that are started so. */
export const makeGuestFiles = (start: ReturnType<typeof makeStartCommand>): GuestFiles => {
  const invalid = (problem: string) => execError("InvalidCommand", `files: ${problem}`)
  /** What is wrong with the arguments, if anything. */
  const problemOf = (paths: ReadonlyArray<string>, mode?: number): ExecError | null => {
    for (const path of paths) {
      if (typeof path !== "string" || path === "" || path.includes("\0")) {
        return invalid(`expected a path without zero bytes, found ${JSON.stringify(path)}`)
      }
    }
    if (mode !== undefined && !(Number.isInteger(mode) && mode >= 0 && mode <= 0o7777)) {
      return invalid(`expected a mode of 0 to 0o7777, found ${mode}`)
    }
    return null
  }

  const serve = (args: ReadonlyArray<string>) =>
    startProcess(start, { argv: [program, ...args] }, { isFileService: true })

  /** Fails unless the process has ended well. */
  const ended = (process: GuestProcess, operation: string, path: string): Effect.Effect<void, GuestFileFailure> =>
    Effect.gen(function* () {
      const failure = (found: string) =>
        new GuestFileError({ operation, path, reason: { _tag: "AnswerInvalid", found } })
      const [said, exit] = yield* Effect.all(
        [gather(process.stderr, failureBytes, failure("more than an answer")), process.exit],
        { concurrency: "unbounded" }
      )
      if (exit.code === 0) return
      const text = new TextDecoder().decode(said)
      const errno = /^(\d{1,5}) /.exec(text)?.[1]
      if (exit.code !== 1 || errno === undefined) {
        return yield* failure(exit.signal === null ? JSON.stringify(text) : `the end by signal ${exit.signal}`)
      }
      return yield* new GuestFileError({ operation, path, reason: reasonOfErrno(Number(errno)) })
    })

  /** An operation that gives nothing back. */
  const act = (operation: string, path: string, args: ReadonlyArray<string>, problem: ExecError | null) =>
    problem !== null
      ? Effect.fail(problem)
      : Effect.scoped(Effect.flatMap(serve(args), (process) => ended(process, operation, path)))

  /** What an operation writes, and then whether it ended well. */
  const output = (
    operation: string,
    path: string,
    args: ReadonlyArray<string>,
    problem: ExecError | null
  ): Stream.Stream<Uint8Array, GuestFileFailure> =>
    problem !== null
      ? Stream.fail(problem)
      : Stream.unwrap(
          Effect.map(serve(args), (process) =>
            Stream.concat(process.stdout, Stream.drain(Stream.fromEffect(ended(process, operation, path))))
          )
        )

  const records = (operation: string, path: string, args: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const over = new GuestFileError({ operation, path, reason: { _tag: "TooLarge", limitBytes: listBytes } })
      const text = new TextDecoder().decode(
        yield* gather(output(operation, path, args, problemOf([path])), listBytes, over)
      )
      const entries: Array<GuestFileEntry> = []
      for (const line of text.split("\0").slice(0, -1)) {
        const entry = entryOf(line)
        if (entry === null || entry.name.includes("/")) {
          const found = JSON.stringify(line.slice(0, 200))
          return yield* new GuestFileError({ operation, path, reason: { _tag: "AnswerInvalid", found } })
        }
        entries.push(entry)
      }
      return entries
    })

  const stream: GuestFiles["stream"] = (path, { offset = 0 } = {}) => {
    const problem =
      Number.isSafeInteger(offset) && offset >= 0 ? problemOf([path]) : invalid(`expected an offset, found ${offset}`)
    return output("read", path, ["read", path, String(offset)], problem)
  }

  const write = (
    path: string,
    content: Parameters<GuestFiles["write"]>[1],
    mode: number | undefined
  ): Effect.Effect<void, GuestFileFailure> =>
    Effect.scoped(
      Effect.gen(function* () {
        const problem = problemOf([path], mode)
        if (problem !== null) return yield* problem
        const process = yield* serve(["write", path, mode === undefined ? "keep" : mode.toString(8)])
        const given = typeof content === "string" || content instanceof Uint8Array ? Stream.succeed(content) : content
        // A file that is refused is not written further: its process has ended, and says why. Content that fails ends the
        // scope, and with it the process, which has then made nothing.
        yield* Stream.run(given as Stream.Stream<Uint8Array | string, GuestFileFailure>, process.stdin).pipe(
          Effect.catchReason("ExecError", "InputClosed", () => Effect.void)
        )
        yield* ended(process, "write", path)
      })
    )

  return {
    stream,
    read: (path, { limitBytes = defaultLimitBytes } = {}) =>
      gather(
        stream(path),
        limitBytes,
        new GuestFileError({ operation: "read", path: String(path), reason: { _tag: "TooLarge", limitBytes } })
      ),
    write: (path, content, { mode } = {}) => write(path, content, mode),
    list: (path) => records("list", path, ["list", path]),
    stat: (path, { follow = true } = {}) =>
      Effect.gen(function* (): Effect.fn.Return<GuestFileInfo, GuestFileFailure> {
        const [found] = yield* records("stat", path, [follow ? "stat" : "lstat", path])
        if (found === undefined) {
          return yield* new GuestFileError({
            operation: "stat",
            path,
            reason: { _tag: "AnswerInvalid", found: "none" }
          })
        }
        const { name: _name, ...info } = found
        return info
      }),
    mkdir: (path, { mode = 0o755, parents = false } = {}) =>
      act("mkdir", path, ["mkdir", path, mode.toString(8), parents ? "all" : "one"], problemOf([path], mode)),
    remove: (path, { recursive = false } = {}) =>
      act("remove", path, ["remove", path, recursive ? "all" : "one"], problemOf([path])),
    rename: (from, to) => act("rename", from, ["rename", from, to], problemOf([from, to])),
    chmod: (path, mode) => act("chmod", path, ["chmod", path, String(mode.toString(8))], problemOf([path], mode))
  }
}

/** Files that cannot be reached, for machines without a guest. */
export const noGuestFiles = (failure: Effect.Effect<never, ExecError | MachineError>): GuestFiles => ({
  stream: () => Stream.fromEffect(failure),
  read: () => failure,
  write: () => failure,
  list: () => failure,
  stat: () => failure,
  mkdir: () => failure,
  remove: () => failure,
  rename: () => failure,
  chmod: () => failure
})
