/**
 * The words of an expression, each with the column at which it begins.
 *
 * @module
 */
import { horizonNanos } from "../guestDuration.ts"

/** A piece of an expression. */
export type Token = {
  /** Its start in the text, from 0. */
  readonly at: number
  /** Its text. */
  readonly text: string
} & (
  | { readonly kind: "word" | "sign" | "end" }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "duration"; readonly nanos: bigint }
  | { readonly kind: "quoted"; readonly value: string }
  | { readonly kind: "pattern"; readonly pattern: RegExp }
  /** A piece that no expression can contain, and the reason. */
  | { readonly kind: "unreadable"; readonly message: string }
)

/** The units of durations, the largest first, with their nanoseconds. */
export const units: ReadonlyArray<readonly [name: string, nanos: bigint]> = [
  ["h", 3_600_000_000_000n],
  ["m", 60_000_000_000n],
  ["s", 1_000_000_000n],
  ["ms", 1_000_000n],
  ["us", 1_000n],
  ["ns", 1n]
]

/** As messages list them. */
export const unitNames = units.map(([name]) => name).join(", ")

/** A duration in the largest unit that divides it. */
export const printDuration = (nanos: number): string => {
  const whole = BigInt(nanos)
  const [name, size] = units.find(([, size]) => whole % size === 0n && whole !== 0n) ?? ["ns", 1n]
  return `${whole / size}${name}`
}

/** Nanoseconds of digits, a fraction and a unit; `undefined` where they are not whole. */
const nanosOf = (whole: string, fraction: string, size: bigint): bigint | undefined => {
  const scale = 10n ** BigInt(fraction.length)
  const scaled = BigInt(`${whole}${fraction}`) * size
  return scaled % scale === 0n ? scaled / scale : undefined
}

const quotedForm = /"(?:[^"\\]|\\.)*"/y
/** As in JavaScript: a slash within brackets does not end it. */
const patternForm = /\/((?:[^/\\[\r\n]|\\[^\r\n]|\[(?:[^\]\\\r\n]|\\[^\r\n])*\])+)\/([A-Za-z]*)/y
const durationForm = /(\d{1,20})(?:\.(\d{1,20}))? ?([A-Za-z]+)(?![\w.-])/y
const numberForm = /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.-])/y
const wordForm = /[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*/y

const matchAt = (form: RegExp, text: string, at: number): RegExpExecArray | null => {
  form.lastIndex = at
  return form.exec(text)
}

/** The token at a place of the text, after white space. */
export const tokenAt = (text: string, from: number): Token => {
  let at = from
  while (at < text.length && /\s/.test(text.charAt(at))) at++
  const first = text.charAt(at)
  if (first === "") return { kind: "end", at, text: "" }
  if ("()|&:".includes(first)) return { kind: "sign", at, text: first }
  if (first === '"') return quotedAt(text, at)
  if (first === "/") return patternAt(text, at)
  if (/\d/.test(first)) return numeralAt(text, at)
  const word = matchAt(wordForm, text, at)
  if (word !== null) return { kind: "word", at, text: word[0] }
  const shown = String.fromCodePoint(text.codePointAt(at) ?? 0)
  return unreadable(
    at,
    shown,
    `expected a trigger, a sign ("|", "&", "(", ")") or a word, found ${JSON.stringify(shown)}`
  )
}

const unreadable = (at: number, text: string, message: string): Token => ({ kind: "unreadable", at, text, message })

const quotedAt = (text: string, at: number): Token => {
  const found = matchAt(quotedForm, text, at)
  // Its end is unknown, so nothing behind it is read.
  if (found === null) return unreadable(at, text.slice(at), "expected a closing quotation mark, found none")
  try {
    return { kind: "quoted", at, text: found[0], value: String(JSON.parse(found[0])) }
  } catch {
    return unreadable(at, found[0], "expected a text with the escapes of JSON, found others, or a line break")
  }
}

const patternAt = (text: string, at: number): Token => {
  const found = matchAt(patternForm, text, at)
  if (found === null) {
    const message = "expected a regular expression between two slashes, found no closing one"
    return unreadable(at, text.slice(at), message)
  }
  try {
    return { kind: "pattern", at, text: found[0], pattern: new RegExp(found[1] ?? "", found[2] ?? "") }
  } catch (cause) {
    const message = `expected a regular expression, found ${cause instanceof Error ? cause.message : "none"}`
    return unreadable(at, found[0], message)
  }
}

const numeralAt = (text: string, at: number): Token => {
  const number = matchAt(numberForm, text, at)
  const found = matchAt(durationForm, text, at)
  const unit = found === null ? undefined : units.find(([name]) => name === found[3])
  if (found !== null && unit !== undefined) {
    const nanos = nanosOf(found[1] ?? "", found[2] ?? "", unit[1])
    if (nanos === undefined || nanos > BigInt(horizonNanos)) {
      return unreadable(at, found[0], `expected a duration of whole nanoseconds up to 2^53 - 1 ns, found ${found[0]}`)
    }
    return { kind: "duration", at, text: found[0], nanos }
  }
  if (number !== null) return { kind: "number", at, text: number[0], value: Number(number[0]) }
  const shown = /^[^\s()|&]{1,40}/.exec(text.slice(at, at + 80))?.[0] ?? text.charAt(at)
  const message = `expected a number, or a duration with one of the units ${unitNames}, found ${JSON.stringify(shown)}`
  return unreadable(at, shown, message)
}
