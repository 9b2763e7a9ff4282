/**
 * Policies as short expressions, for command lines and configuration.
 *
 * ```text
 * policy   = ordered { "|" ordered }                                  precedence: the highest first
 * ordered  = joint { "then" joint }                                   andThen
 * joint    = timed { "&" timed | "&" calm }                           allOf; calm: quiesce of all that stands before it
 * timed    = primary { "within" D | "at-latest" D | "debounce" D }
 * primary  = "(" policy ")" | trigger
 *
 * calm     = "calm" D [ "deadline" ( D | "none" ) ] [ "else" ( "capture" | "abandon" | "fail" ) ] [ "agent" ( "ask" | "none" ) ]
 *
 * trigger  = "pre-exec"                                               onPreExec
 *          | "listener" [ ":" N ] [ "tcp" | "udp" ] [ "on" TEXT ] [ "open" ]    onListener; open: one that is open already counts
 *          | "after" D                                                afterGuestTime
 *          | "idle" [ D ]                                             onIdle; 10ms if absent
 *          | "serial" [ ":" N ] PATTERN                               onSerialMatch: a whole line
 *          | "prompt" [ ":" N ] PATTERN                               onSerialText: what is written, line or not
 *          | "heartbeat" N [ "console" ]                              atHeartbeat
 *          | "custom" TEXT                                            onCustom
 *          | "event" KIND                                             onEvent
 *          | "dirty-below" NUMBER "over" D                            onDirtyRateBelow: pages a second
 *          | "connection" [ ":" N ] [ "outward" ]                     onConnection: into the guest, or out of it
 *          | "served" [ ":" N ] N                                     onRequestServed: at a port, so many requests
 *          | "parked" | "never"
 *
 * D        = digits [ "." digits ] ( "ns" | "us" | "ms" | "s" | "m" | "h" )     guest time
 * PATTERN  = "/" regular expression "/" flags | TEXT
 * TEXT     = a text in quotation marks, with the escapes of JSON
 * ```
 *
 * What is left out is as in the functions: `calm` has a deadline of 5 s and then fails. An expression has at most 16,384 characters
 * and 90 levels.
 *
 * @module
 */
import { Result } from "effect"
import { requireText } from "../argument.ts"
import { afterGuestTime } from "../builtin/afterGuestTime.ts"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { never } from "../builtin/never.ts"
import { onConnection } from "../builtin/onConnection.ts"
import { onCustom } from "../builtin/onCustom.ts"
import { onDirtyRateBelow } from "../builtin/onDirtyRateBelow.ts"
import { onEvent } from "../builtin/onEvent.ts"
import { onIdle } from "../builtin/onIdle.ts"
import { onListener } from "../builtin/onListener.ts"
import { onParked } from "../builtin/onParked.ts"
import { onPreExec } from "../builtin/onPreExec.ts"
import { onRequestServed } from "../builtin/onRequestServed.ts"
import { onSerialMatch } from "../builtin/onSerialMatch.ts"
import { onSerialText } from "../builtin/onSerialText.ts"
import { allOf } from "../combinators/allOf.ts"
import { andThen } from "../combinators/andThen.ts"
import { atLatest } from "../combinators/atLatest.ts"
import { debounce } from "../combinators/debounce.ts"
import { precedence } from "../combinators/precedence.ts"
import { quiesce } from "../combinators/quiesce.ts"
import { within } from "../combinators/within.ts"
import type { Policy } from "../Policy.ts"
import { PolicyError, unknownName } from "../PolicyError.ts"
import { PolicySyntaxError, type SyntaxProblem } from "./PolicySyntaxError.ts"
import { Misread, type Token, tokenAt } from "./tokens.ts"

const longestExpression = 16_384
/** As many as a policy may have in one another, its triggers counted. */
const mostLevels = 90

/**
 * The policy that an expression says; the module's head has the grammar.
 *
 * Reading stops at the first word that does not fit; values that no trigger takes are told all at once. Each problem has a column.
 *
 * @example
 * ```ts
 * import { parsePolicy } from "@stillpoint/triggers"
 * import { Result } from "effect"
 *
 * const policy = Result.getOrThrow(parsePolicy("listener:8080 & calm 20ms | after 10s"))
 * console.log(policy.name)
 * // precedence(quiesce(onListener(port 8080), 20 ms), afterGuestTime(10 s))
 *
 * const mistyped = parsePolicy("pre-exec | listner:80")
 * console.log(Result.isFailure(mistyped) ? mistyped.failure.message : "")
 * // policy, column 12: unknown trigger listner; did you mean listener
 * //   pre-exec | listner:80
 * //              ^
 * ```
 */
export const parsePolicy = (expression: string): Result.Result<Policy, PolicySyntaxError> => {
  const text = requireText("parsePolicy", expression)
  const refused = (problems: readonly [SyntaxProblem, ...Array<SyntaxProblem>]) =>
    Result.fail(new PolicySyntaxError({ text, problems }))
  if (text.length > longestExpression) {
    const message = `expected at most ${longestExpression} characters, found ${text.length}`
    return refused([{ column: longestExpression + 1, message }])
  }
  const reader = new Reader(text)
  let policy = never
  try {
    policy = reader.policy()
    if (reader.next.kind !== "end") throw reader.misread(`"|", "&", "then" or the end`)
  } catch (cause) {
    if (!(cause instanceof Misread)) throw cause
    reader.problems.push({ column: cause.at + 1, message: cause.message })
  }
  const [first, ...others] = reader.problems
  return first === undefined ? Result.succeed(policy) : refused([first, ...others])
}

/** What is read, and how many levels of combinators and brackets it has. */
interface Term {
  readonly policy: Policy
  readonly levels: number
}

class Reader {
  /** What values were refused so far. */
  readonly problems: Array<SyntaxProblem> = []
  next: Token
  private readonly text: string
  /** Where the token before ends. */
  private behind = 0
  private openBrackets = 0

  constructor(text: string) {
    this.text = text
    // White space and an unreadable first token are told by the first read.
    this.next = { kind: "end", at: 0, text: "" }
  }

  policy(): Policy {
    this.next = tokenAt(this.text, 0)
    return this.ranked().policy
  }

  misread(expected: string): Misread {
    const { at, kind, text } = this.next
    const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text
    return new Misread(at, `expected ${expected}, found ${kind === "end" ? "the end" : shown}`)
  }

  private take(): Token {
    const taken = this.next
    this.behind = taken.at + taken.text.length
    this.next = tokenAt(this.text, this.behind)
    return taken
  }

  private is(word: string): boolean {
    return (this.next.kind === "word" || this.next.kind === "sign") && this.next.text === word
  }

  private takeIf(word: string): boolean {
    if (!this.is(word)) return false
    this.take()
    return true
  }

  /** Makes a policy of parts; what it refuses is a problem at the place where its words begin. */
  private made(at: number, make: () => Policy, ...parts: ReadonlyArray<Term>): Term {
    const levels = 1 + Math.max(0, ...parts.map((part) => part.levels))
    if (levels > mostLevels) throw new Misread(at, `expected at most ${mostLevels} levels, found more`)
    try {
      return { policy: make(), levels }
    } catch (cause) {
      if (!(cause instanceof PolicyError)) throw cause
      for (const { message, path } of cause.problems) {
        const option = String(path.at(-1) ?? "")
        this.problems.push({ column: at + 1, message: option === "" ? message : `${option}: ${message}` })
      }
      return { policy: never, levels }
    }
  }

  private separated(sign: string, read: () => Term): readonly [Term, ...Array<Term>] {
    const terms: [Term, ...Array<Term>] = [read()]
    while (this.takeIf(sign)) terms.push(read())
    return terms
  }

  private ranked(): Term {
    const { at } = this.next
    const terms = this.separated("|", () => this.ordered())
    return terms.length === 1 ? terms[0] : this.made(at, () => precedence(terms.map(({ policy }) => policy)), ...terms)
  }

  private ordered(): Term {
    const { at } = this.next
    const [first, ...others] = this.separated("then", () => this.joint())
    return others.reduce((all, one) => this.made(at, () => andThen(all.policy, one.policy), all, one), first)
  }

  private joint(): Term {
    const { at } = this.next
    let terms: ReadonlyArray<Term> = [this.timed()]
    const joined = (): Term => {
      const [first] = terms
      if (terms.length === 1 && first !== undefined) return first
      return this.made(at, () => allOf(terms.map(({ policy }) => policy)), ...terms)
    }
    while (this.takeIf("&")) terms = this.is("calm") ? [this.calm(joined())] : [...terms, this.timed()]
    return joined()
  }

  private timed(): Term {
    const { at } = this.next
    let term = this.primary()
    for (;;) {
      const inner = term
      if (this.takeIf("within")) term = this.lasting(at, inner, within)
      else if (this.takeIf("at-latest")) term = this.lasting(at, inner, atLatest)
      else if (this.takeIf("debounce")) term = this.lasting(at, inner, debounce)
      else return term
    }
  }

  private lasting(at: number, inner: Term, make: (policy: Policy, duration: bigint) => Policy): Term {
    const nanos = this.duration()
    return this.made(at, () => make(inner.policy, nanos), inner)
  }

  private primary(): Term {
    const { at } = this.next
    if (!this.is("(")) return this.trigger()
    if (++this.openBrackets > mostLevels) throw new Misread(at, `expected at most ${mostLevels} levels, found more`)
    this.take()
    const term = this.ranked()
    if (!this.is(")")) throw this.misread(`")" for the "(" of column ${at + 1}`)
    this.take()
    this.openBrackets--
    return term
  }

  private calm(inner: Term): Term {
    const { at } = this.take()
    const calmFor = this.duration()
    const deadline = !this.takeIf("deadline") ? undefined : this.takeIf("none") ? ("none" as const) : this.duration()
    const onDeadline = this.takeIf("else") ? this.oneOf("capture", "abandon", "fail") : undefined
    const agent = this.takeIf("agent") ? this.oneOf("auto", "ask", "none") : undefined
    const options = {
      calmFor,
      ...(deadline === undefined ? {} : { deadline }),
      ...(onDeadline === undefined ? {} : { onDeadline }),
      ...(agent === undefined ? {} : { agent })
    }
    return this.made(at, () => quiesce(inner.policy, options), inner)
  }

  private trigger(): Term {
    const { at, kind, text } = this.next
    const read = kind === "word" ? triggers.get(text) : undefined
    if (read === undefined) {
      if (kind !== "word") throw this.misread(`a trigger or "("`)
      throw new Misread(at, unknownName("trigger", text, [...triggers.keys()]))
    }
    this.take()
    const make = read(this)
    return this.made(at, make)
  }

  duration(): bigint {
    const { next } = this
    if (next.kind !== "duration") throw this.misread("a duration such as 20ms")
    this.take()
    return next.nanos
  }

  durationIfAny(): bigint | undefined {
    return this.next.kind === "duration" ? this.duration() : undefined
  }

  number(what: string): number {
    const { next } = this
    if (next.kind !== "number") throw this.misread(what)
    this.take()
    return next.value
  }

  quoted(what: string): string {
    const { next } = this
    if (next.kind !== "quoted") throw this.misread(what)
    this.take()
    return next.value
  }

  pattern(): string | RegExp {
    const { next } = this
    if (next.kind !== "pattern" && next.kind !== "quoted") throw this.misread(`/a regular expression/ or "a text"`)
    this.take()
    return next.kind === "pattern" ? next.pattern : next.value
  }

  word(what: string): string {
    if (this.next.kind !== "word") throw this.misread(what)
    return this.take().text
  }

  oneOf<const W extends string>(...words: ReadonlyArray<W>): W {
    const found = words.find((word) => this.is(word))
    if (found === undefined) throw this.misread(`${words.slice(0, -1).join(", ")} or ${words.at(-1)}`)
    this.take()
    return found
  }

  exactly(word: string): void {
    if (!this.takeIf(word)) throw this.misread(`"${word}"`)
  }

  /** The first of some words that stands here, if one does. */
  maybe<const W extends string>(...words: ReadonlyArray<W>): W | undefined {
    return words.find((word) => this.takeIf(word))
  }

  numberAfterColon(what: string): number | undefined {
    return this.maybe(":") === undefined ? undefined : this.number(what)
  }
}

const listener = (reader: Reader) => {
  const port = reader.numberAfterColon("the number of a port")
  const protocol = reader.maybe("tcp", "udp")
  const address = reader.maybe("on") === undefined ? undefined : reader.quoted(`an address such as "0.0.0.0"`)
  const open = reader.maybe("open")
  return () =>
    onListener({
      ...(protocol === undefined ? {} : { protocol }),
      ...(address === undefined ? {} : { address }),
      ...(port === undefined ? {} : { port }),
      ...(open === undefined ? {} : { counts: "listening" })
    })
}

const connection = (reader: Reader) => {
  const port = reader.numberAfterColon("the number of a port")
  const direction = reader.maybe("outward")
  return () =>
    onConnection({ ...(port === undefined ? {} : { port }), ...(direction === undefined ? {} : { direction }) })
}

const served = (reader: Reader) => {
  const port = reader.numberAfterColon("the number of a port")
  const count = reader.number("a number of requests")
  return () => onRequestServed(count, port === undefined ? {} : { port })
}

const serial = (make: (pattern: string | RegExp, options: { readonly port: number }) => Policy) => (reader: Reader) => {
  const port = reader.numberAfterColon("the number of a serial port") ?? 0
  const pattern = reader.pattern()
  return () => make(pattern, { port })
}

/** How the words after a trigger's name are read. */
const triggers: ReadonlyMap<string, (reader: Reader) => () => Policy> = new Map([
  ["pre-exec", () => () => onPreExec()],
  ["listener", listener],
  ["after", lasting(afterGuestTime)],
  [
    "idle",
    (reader: Reader) => {
      const nanos = reader.durationIfAny() ?? 10_000_000n
      return () => onIdle(nanos)
    }
  ],
  ["serial", serial(onSerialMatch)],
  ["prompt", serial(onSerialText)],
  [
    "heartbeat",
    (reader: Reader) => {
      const count = reader.number("the number of a heartbeat")
      const console = reader.maybe("console") !== undefined
      return () => atHeartbeat(count, { console })
    }
  ],
  [
    "custom",
    (reader: Reader) => {
      const name = reader.quoted(`the name of an event such as "caches-warm"`)
      return () => onCustom(name)
    }
  ],
  [
    "event",
    (reader: Reader) => {
      const kind = reader.word("the kind of an event such as GuestIdle")
      return () => onEvent(kind as Parameters<typeof onEvent>[0])
    }
  ],
  [
    "dirty-below",
    (reader: Reader) => {
      const rate = reader.number("a number of pages a second")
      reader.exactly("over")
      const nanos = reader.duration()
      return () => onDirtyRateBelow(rate, nanos)
    }
  ],
  ["connection", connection],
  ["served", served],
  ["parked", () => () => onParked()],
  ["never", () => () => never]
])

function lasting(make: (duration: bigint) => Policy) {
  return (reader: Reader) => {
    const nanos = reader.duration()
    return () => make(nanos)
  }
}
