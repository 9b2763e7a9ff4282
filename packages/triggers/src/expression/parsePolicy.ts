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
 *          | "after" D                                                afterGuestTime; after 0s: before the first instruction
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
 * Optional parts have the same defaults as in the functions: `calm` has a deadline of 5 s and then fails. An expression has at most
 * 16,384 characters and 90 levels.
 *
 * @module
 */
import { Result } from "effect"
import { requireText } from "../argument.ts"
import { never } from "../builtin/never.ts"
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
import { triggerWords } from "./triggerWords.ts"
import { Misread, WordReader } from "./WordReader.ts"

const longestExpression = 16_384
/** Maximum nesting of a policy, its triggers counted. */
const mostLevels = 90

/**
 * Parses a policy expression; the grammar is at the top of this module.
 *
 * All problems are reported at once, each with its column: invalid values, and the first unexpected word of each part (the text between
 * `|`, `&`, `then` and brackets).
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
  const reader = new PolicyReader(text)
  let policy = never
  try {
    policy = reader.policy()
  } catch (cause) {
    if (!(cause instanceof Misread)) throw cause
    reader.problems.push(problemOf(cause))
  }
  const [first, ...others] = reader.problems.toSorted((one, other) => one.column - other.column)
  return first === undefined ? Result.succeed(policy) : refused([first, ...others])
}

/** An expression that is too deep: nothing more is read. */
class TooDeep extends Misread {
  constructor(at: number) {
    super(at, `expected at most ${mostLevels} levels, found more`)
  }
}

const problemOf = ({ at, message }: Misread): SyntaxProblem => ({ column: at + 1, message })

/** A parsed part, and its number of levels of combinators and brackets. */
interface Term {
  readonly policy: Policy
  readonly levels: number
}

/** The placeholder for a part that could not be read. */
const unread: Term = { policy: never, levels: 1 }

class PolicyReader extends WordReader {
  /** The problems found so far. */
  readonly problems: Array<SyntaxProblem> = []
  /** The positions of the open brackets, from 0. */
  private readonly brackets: Array<number> = []
  /** Whether the rest of the text is in an unterminated quotation or pattern, which may contain closing brackets. */
  private isCutOff = false

  policy(): Policy {
    let read = this.ranked()
    while (!this.isAtEnd()) {
      this.problems.push(problemOf(this.misread(`"|", "&", "then" or the end`)))
      // A closing bracket without an opening one: the text after it is read too.
      while (this.takeIf(")"));
      if (this.endsPart()) this.take()
      if (!this.isAtEnd()) read = this.ranked()
    }
    return read.policy
  }

  /** Whether a part ends before the next token. */
  private endsPart(): boolean {
    return this.isAtEnd() || ["|", "&", "then", ")"].some((word) => this.is(word))
  }

  /** A part, or the placeholder for an invalid one: reading continues at its end. */
  private part(read: () => Term): Term {
    const open = this.brackets.length
    let term = unread
    try {
      term = read()
      if (this.endsPart()) return term
      const last = this.brackets.at(-1)
      const end = last === undefined ? "the end" : `")" for the "(" of column ${last + 1}`
      throw this.misread(`"|", "&", "then" or ${end}`)
    } catch (cause) {
      if (!(cause instanceof Misread) || cause instanceof TooDeep) throw cause
      this.problems.push(problemOf(cause))
    }
    this.brackets.length = open
    let depth = 0
    while (!this.isAtEnd() && (depth > 0 || !this.endsPart())) {
      if (this.is("(")) depth += 1
      else if (this.is(")")) depth -= 1
      this.isCutOff = this.take().kind === "unreadable" && this.isAtEnd()
    }
    return term
  }

  /**
   * Makes a policy of parts; a refusal is a problem of the refused value, of those from `valuesFrom` on, or else at the beginning of
   * its words.
   */
  private made(at: number, make: () => Policy, parts: ReadonlyArray<Term> = [], valuesFrom = at): Term {
    const levels = 1 + parts.reduce((most, part) => Math.max(most, part.levels), 0)
    if (levels > mostLevels) throw new TooDeep(at)
    try {
      return { policy: make(), levels }
    } catch (cause) {
      if (!(cause instanceof PolicyError)) throw cause
      for (const { message, path } of cause.problems) {
        const option = String(path.at(-1) ?? "")
        this.problems.push({
          column: this.placeOf(message, at, valuesFrom) + 1,
          message: option === "" ? message : `${option}: ${message}`
        })
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
    return terms.length === 1 ? terms[0] : this.made(at, () => precedence(terms.map(({ policy }) => policy)), terms)
  }

  private ordered(): Term {
    const { at } = this.next
    const [first, ...others] = this.separated("then", () => this.joint())
    return others.reduce((all, one) => this.made(at, () => andThen(all.policy, one.policy), [all, one]), first)
  }

  private joint(): Term {
    const { at } = this.next
    let terms: ReadonlyArray<Term> = [this.part(() => this.timed())]
    const joined = (): Term => {
      const [first] = terms
      if (terms.length === 1 && first !== undefined) return first
      return this.made(at, () => allOf(terms.map(({ policy }) => policy)), terms)
    }
    while (this.takeIf("&")) {
      terms = this.is("calm") ? [this.part(() => this.calm(joined()))] : [...terms, this.part(() => this.timed())]
    }
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
    const durationAt = this.next.at
    const nanos = this.duration()
    return this.made(at, () => make(inner.policy, nanos), [inner], durationAt)
  }

  private primary(): Term {
    const { at } = this.next
    if (!this.is("(")) return this.trigger()
    if (this.brackets.push(at) > mostLevels) throw new TooDeep(at)
    this.take()
    const term = this.ranked()
    if (!this.takeIf(")") && !this.isCutOff) throw this.misread(`")" for the "(" of column ${at + 1}`)
    this.brackets.pop()
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
    return this.made(at, () => quiesce(inner.policy, options), [inner])
  }

  private trigger(): Term {
    const { at, kind, text } = this.next
    const read = kind === "word" ? triggerWords.get(text) : undefined
    if (read === undefined) {
      if (kind !== "word") throw this.misread(`a trigger or "("`)
      if (text === "calm") throw this.misread(`a trigger before it, as in "listener & calm 20ms"`)
      throw new Misread(at, unknownName("trigger", text, [...triggerWords.keys(), ...this.wordsHere()]))
    }
    this.take()
    const make = read(this)
    return this.made(at, make)
  }
}
