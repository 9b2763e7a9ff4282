/**
 * File operations over the agent's own program for files.
 *
 * @module
 */
import { describeValue } from "../describeValue.ts"
import { isRecord } from "../optionProblems.ts"
import { Effect, Redacted, Stream } from "effect"
import type { GuestProcess } from "../GuestProcess.ts"
import type { ExecError, MachineError } from "../MachineErrors.ts"
import { execError } from "./commandRequest.ts"
import { revealed } from "./secrets.ts"
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
import { toShared } from "../internal/toShared.ts"
import { changesOf } from "./fileChanges.ts"

/** The name by which the agent's program is the one for files. */
const program = "stillpoint-files"

const defaultLimitBytes = 64 * 1024 * 1024

/** Maximum bytes of a list of entries. */
const listBytes = 256 * 1024 * 1024

/** Maximum bytes of a failure's text. */
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

const optionKinds = {
  mode: {
    expected: "a mode of 0 to 0o7777",
    isOne: (value: unknown) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0o7777
  },
  bytes: {
    expected: "a number of bytes",
    isOne: (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0
  },
  flag: { expected: "true or false", isOne: (value: unknown) => typeof value === "boolean" }
} as const

type FileContent = Parameters<GuestFiles["write"]>[1]

/** The expectation that a path breaks; `null` if it is valid. */
const pathProblem = (path: unknown): string | null => {
  if (path === "") return 'expected a path, found ""; the root is "/"'
  if (typeof path !== "string") return `expected a path, found ${describeValue(path)}`
  if (path.includes("\0")) return `expected a path without zero bytes, found ${JSON.stringify(path)}`
  // Half of a character would reach the guest as another one, and so name another file.
  return path.isWellFormed() ? null : `expected a path of whole characters, found ${JSON.stringify(path)}`
}

/** The files behind commands that are started so. */
export const makeGuestFiles = (start: ReturnType<typeof makeStartCommand>): GuestFiles => {
  const invalid = (problem: string) => execError("InvalidCommand", `files: ${problem}`)
  /** All problems of the arguments; `undefined` if there are none. */
  const problemOf = (
    paths: ReadonlyArray<unknown>,
    options: unknown = {},
    known: Readonly<Record<string, keyof typeof optionKinds>> = {}
  ): ExecError | null => {
    const problems = paths.map(pathProblem).filter((problem) => problem !== null)
    if (!isRecord(options)) problems.push(`expected options, found ${describeValue(options)}`)
    else {
      for (const [name, value] of Object.entries(options)) {
        const kind = Object.hasOwn(known, name) ? known[name] : undefined
        if (kind === undefined)
          problems.push(`${name}: no such option; there are ${Object.keys(known).join(", ") || "none"}`)
        else if (value !== undefined && !optionKinds[kind].isOne(value))
          problems.push(`${name}: expected ${optionKinds[kind].expected}, found ${describeValue(value)}`)
      }
    }
    return problems.length === 0 ? null : invalid(problems.join("; "))
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
      if (errno === "0") {
        const found = text.slice(2).trim()
        return yield* new GuestFileError({ operation, path, reason: { _tag: "ArchiveInvalid", found } })
      }
      return yield* new GuestFileError({ operation, path, reason: reasonOfErrno(Number(errno)) })
    })

  /** An operation that gives nothing back. */
  const act = (operation: string, path: string, args: ReadonlyArray<string>, problem: ExecError | null) =>
    problem !== null
      ? Effect.fail(problem)
      : Effect.scoped(Effect.flatMap(serve(args), (process) => ended(process, operation, path)))

  /** The output of an operation, followed by its result. */
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
      const problem = problemOf([path])
      if (problem !== null) return yield* problem
      const over = new GuestFileError({ operation, path, reason: { _tag: "TooLarge", limitBytes: listBytes } })
      const text = new TextDecoder().decode(yield* gather(output(operation, path, args, null), listBytes, over))
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

  const stream: GuestFiles["stream"] = (path, options) => {
    const problem = problemOf([path], options, { offset: "bytes" })
    return problem === null
      ? output("read", path, ["read", path, String(options?.offset ?? 0)], null)
      : Stream.fail(problem)
  }

  /** An operation that is given content. */
  const give = (operation: string, path: string, args: ReadonlyArray<string>, content: FileContent) =>
    Effect.scoped(
      Effect.gen(function* () {
        const process = yield* serve(args)
        const given = Stream.isStream(content) ? content : Stream.succeed(content)
        // After a refusal no more content is written: the process has ended, and reports the reason. If the content fails,
        // the scope ends, and with it the process, which then has created nothing.
        yield* Stream.run(given as Stream.Stream<Uint8Array | string, GuestFileFailure>, process.stdin).pipe(
          Effect.catchReason("ExecError", "InputClosed", () => Effect.void)
        )
        yield* ended(process, operation, path)
      })
    )

  const write: GuestFiles["write"] = (path, content, options) => {
    const problem = problemOf([path], options, { mode: "mode" })
    if (problem !== null) return Effect.fail(problem)
    const given: unknown = revealed<unknown>(content)
    const isWhole = typeof given === "string" || given instanceof Uint8Array
    if (!isWhole && !Stream.isStream(content)) {
      const found = Redacted.isRedacted(content) ? "a secret that is neither" : describeValue(content)
      return Effect.fail(invalid(`expected a text, bytes or a stream of them, found ${found}`))
    }
    const mode = options?.mode
    return give("write", path, ["write", path, mode === undefined ? "keep" : mode.toString(8)], content)
  }

  const unpack: GuestFiles["unpack"] = (path, archive, options) => {
    const problem = problemOf([path], options, { merge: "flag" })
    if (problem !== null) return Effect.fail(problem)
    if (!(archive instanceof Uint8Array) && !Stream.isStream(archive)) {
      return Effect.fail(
        invalid(`expected the bytes of an archive or a stream of them, found ${describeValue(archive)}`)
      )
    }
    return give("unpack", path, ["unpack", path, options?.merge === true ? "merged" : "new"], archive)
  }

  const watch: GuestFiles["watch"] = (path, options) => {
    const problem = problemOf([path], options, { recursive: "flag" })
    const said = output("watch", path, ["watch", path, options?.recursive === true ? "all" : "one"], problem)
    return changesOf(said, path)
  }

  return {
    stream,
    read: (path, options) => {
      const problem = problemOf([path], options, { limitBytes: "bytes" })
      if (problem !== null) return Effect.fail(problem)
      const limitBytes = options?.limitBytes ?? defaultLimitBytes
      const over = new GuestFileError({ operation: "read", path, reason: { _tag: "TooLarge", limitBytes } })
      return gather(stream(path), limitBytes, over)
    },
    write,
    pack: (path) => output("pack", path, ["pack", path], problemOf([path])),
    unpack,
    watch,
    watch$: (path, options) => toShared(watch(path, options)),
    list: (path) => records("list", path, ["list", path]),
    stat: (path, options) =>
      Effect.gen(function* (): Effect.fn.Return<GuestFileInfo, GuestFileFailure> {
        const problem = problemOf([path], options, { follow: "flag" })
        if (problem !== null) return yield* problem
        const follow = options?.follow ?? true
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
    mkdir: (path, options) => {
      const problem = problemOf([path], options, { mode: "mode", parents: "flag" })
      if (problem !== null) return Effect.fail(problem)
      const mode = (options?.mode ?? 0o755).toString(8)
      return act("mkdir", path, ["mkdir", path, mode, options?.parents === true ? "all" : "one"], null)
    },
    remove: (path, options) => {
      const problem = problemOf([path], options, { recursive: "flag" })
      return act("remove", path, ["remove", path, options?.recursive === true ? "all" : "one"], problem)
    },
    rename: (from, to) => act("rename", from, ["rename", from, to], problemOf([from, to])),
    // A mode that is left out is none.
    chmod: (path, mode: number | null = null) => {
      const problem = problemOf([path], { mode }, { mode: "mode" })
      if (problem !== null || mode === null) return Effect.fail(problem ?? invalid("expected a mode"))
      return act("chmod", path, ["chmod", path, mode.toString(8)], null)
    }
  }
}

/** Files that cannot be reached, for machines without a guest. */
export const noGuestFiles = (failure: Effect.Effect<never, ExecError | MachineError>): GuestFiles => ({
  stream: () => Stream.fromEffect(failure),
  read: () => failure,
  write: () => failure,
  pack: () => Stream.fromEffect(failure),
  unpack: () => failure,
  watch: () => Stream.fromEffect(failure),
  watch$: () => toShared(Stream.fromEffect(failure)),
  list: () => failure,
  stat: () => failure,
  mkdir: () => failure,
  remove: () => failure,
  rename: () => failure,
  chmod: () => failure
})
