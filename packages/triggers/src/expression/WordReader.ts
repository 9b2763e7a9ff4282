/**
 * Reads an expression word by word.
 *
 * @module
 */
import { didYouMean, guestTimeInWords } from "@stillpoint/core"
import { type Token, tokenAt, unitNames } from "./tokens.ts"

/** Words that people know from elsewhere for the signs of an expression. */
const signsByWord: ReadonlyMap<string, string> = new Map([
  ["and", "&"],
  ["or", "|"]
])

/** A word that does not fit, and where it is, from 0. */
export class Misread {
  readonly at: number
  readonly message: string
  constructor(at: number, message: string) {
    this.at = at
    this.message = message
  }
}

/** Reads an expression word by word. */
export class WordReader {
  next: Token
  private readonly text: string
  /** The numbers, durations and texts that were read, as a refusal shows them, and where they stand, from 0. */
  private readonly values: Array<{ readonly at: number; readonly shown: string }> = []
  /** The end of the previous token. */
  private behind = 0
  /** The words and signs that the next token was compared with. */
  private readonly compared = new Set<string>()

  constructor(text: string) {
    this.text = text
    this.next = tokenAt(text, 0)
  }

  misread(expected: string): Misread {
    const { next } = this
    if (next.kind === "unreadable") return new Misread(next.at, next.message)
    const shown = next.text.length > 40 ? `${next.text.slice(0, 40)}…` : next.text
    return new Misread(next.at, `expected ${expected}, found ${next.kind === "end" ? "the end" : shown}${this.meant()}`)
  }

  /** The words that the next token was compared with. */
  protected wordsHere(): ReadonlyArray<string> {
    return [...this.compared].filter((word) => /^[a-z]/.test(word))
  }

  /** What was probably meant by the next token, as the end of a message. */
  private meant(): string {
    const { next } = this
    if (next.kind === "number" && this.compared.has(":")) return `; did you mean :${next.text}`
    if (next.kind !== "word") return ""
    const sign = signsByWord.get(next.text.toLowerCase()) ?? (next.text === "calm" ? "& calm" : undefined)
    return sign !== undefined && this.compared.has("&")
      ? `; did you mean ${sign}`
      : didYouMean(next.text, this.wordsHere())
  }

  take(): Token {
    const taken = this.next
    this.behind = taken.at + taken.text.length
    this.compared.clear()
    this.next = tokenAt(this.text, this.behind)
    return taken
  }

  private takeValue(shown: string): void {
    this.values.push({ at: this.next.at, shown })
    this.take()
  }

  /** Where the refused value stands, of those from a place on: the one that the message shows, or the only one; else `at`. */
  protected placeOf(message: string, at: number, valuesFrom: number): number {
    const own = this.values.filter((value) => value.at >= valuesFrom)
    const shown = own.findLast((value) => message.endsWith(`, found ${value.shown}`))
    // Of two equal ones, each is refused once.
    if (shown !== undefined) this.values.splice(this.values.indexOf(shown), 1)
    return (shown ?? (own.length === 1 ? own[0] : undefined))?.at ?? at
  }

  is(word: string): boolean {
    this.compared.add(word)
    return (this.next.kind === "word" || this.next.kind === "sign") && this.next.text === word
  }

  takeIf(word: string): boolean {
    if (!this.is(word)) return false
    this.take()
    return true
  }

  isAtEnd(): boolean {
    return this.next.kind === "end"
  }

  duration(): bigint {
    const { next } = this
    if (next.kind !== "duration") throw this.misread(`a duration such as 20ms (units: ${unitNames})`)
    this.takeValue(guestTimeInWords(Number(next.nanos)))
    return next.nanos
  }

  durationIfAny(): bigint | undefined {
    return this.next.kind === "duration" ? this.duration() : undefined
  }

  number(what: string): number {
    const { next } = this
    if (next.kind !== "number") throw this.misread(what)
    this.takeValue(next.text)
    return next.value
  }

  quoted(what: string): string {
    const { next } = this
    if (next.kind !== "quoted") throw this.misread(what)
    this.takeValue(next.value)
    return next.value
  }

  pattern(): string | RegExp {
    const { next } = this
    if (next.kind !== "pattern" && next.kind !== "quoted") throw this.misread(`/a regular expression/ or "a text"`)
    this.take()
    return next.kind === "pattern" ? next.pattern : next.value
  }

  word(what: string): string {
    const { next } = this
    if (next.kind !== "word") throw this.misread(what)
    this.takeValue(next.text)
    return next.text
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

  /** The first of some words that comes next, if any does. */
  maybe<const W extends string>(...words: ReadonlyArray<W>): W | undefined {
    return words.find((word) => this.takeIf(word))
  }

  numberAfterColon(what: string): number | undefined {
    return this.maybe(":") === undefined ? undefined : this.number(what)
  }
}
