/**
 * Long work as one line of a terminal: how far it is, how fast, and how long it takes.
 *
 * @module
 */
import { Effect, Layer, Schedule } from "effect"
import { mebibytes } from "../report/mebibytes.ts"
import { type LongWork, LongWorkListener } from "../sandbox/LongWork.ts"
import { write } from "./Output.ts"

/** Times a second that the line is written at most. */
const rateOfLines = 10

/** The terminal that the line is written to, and the host's clock. */
interface Seen {
  readonly write: (text: string) => void
  /** Width of the terminal; a line that is wider could not be written over. */
  readonly columns: () => number
  readonly millis: () => number
}

/** Writes the line of each step over that of the one before. */
export const makeWorkLine = ({ columns, millis, write }: Seen): ((work: LongWork) => void) => {
  let current: { readonly what: string; readonly begunMillis: number; readonly begunBytes: number } | null = null
  let writtenMillis = -Infinity
  return ({ doneBytes, totalBytes, what }) => {
    const now = millis()
    const isDone = totalBytes > 0 && doneBytes >= totalBytes
    if (current?.what !== what) {
      if (current !== null) write("\n")
      current = { what, begunMillis: now, begunBytes: doneBytes }
    } else if (!isDone && now - writtenMillis < 1000 / rateOfLines) return
    writtenMillis = now
    const seconds = (now - current.begunMillis) / 1000
    const rate = seconds > 0 ? (doneBytes - current.begunBytes) / seconds : 0
    const parts = [
      totalBytes > 0 ? `${mebibytes(doneBytes)} of ${mebibytes(totalBytes)}` : mebibytes(doneBytes),
      ...(rate > 0 ? [`${mebibytes(rate)}/s`] : []),
      ...(rate > 0 && totalBytes > doneBytes ? [`${Math.ceil((totalBytes - doneBytes) / rate)} s left`] : [])
    ]
    const said = `: ${parts.join(", ")}`
    const room = Math.max(1, columns() - 1 - said.length)
    const name = what.length > room ? `${what.slice(0, room - 1)}…` : what
    write(`\r\u001B[K${name}${said}${isDone ? "\n" : ""}`)
    if (isDone) current = null
  }
}

/** Whether long work is shown: on a terminal, and without `--json`. */
export const isWorkShown = (json: boolean): boolean => process.stderr.isTTY && !json

/** The writer of that line, where it is shown; `null` elsewhere. */
export const workTold = (json: boolean): ((work: LongWork) => void) | null =>
  isWorkShown(json)
    ? makeWorkLine({
        write: (text) => void process.stderr.write(text),
        columns: () => process.stderr.columns || 80,
        millis: () => performance.now()
      })
    : null

/** Work that cannot say how far it is: on a terminal, a line says for how long it has been at it, and is gone afterwards. */
export const timed = <A, E, R>(json: boolean, what: string, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  if (!isWorkShown(json)) return work
  const begun = performance.now()
  const line = Effect.suspend(() => {
    const said = `: ${Math.round((performance.now() - begun) / 1000)} s`
    const room = Math.max(1, (process.stderr.columns || 80) - 1 - said.length)
    return write(process.stderr, `\r\u001B[K${what.length > room ? `${what.slice(0, room - 1)}…` : what}${said}`)
  })
  const shown = Effect.repeat(line, Schedule.spaced("1 second"))
  return Effect.scoped(Effect.andThen(Effect.forkScoped(shown, { startImmediately: true }), work)).pipe(
    Effect.ensuring(write(process.stderr, "\r\u001B[K"))
  )
}

/** The line for long operations below this layer. */
export const workLine = (json: boolean): Layer.Layer<never> => {
  const told = workTold(json)
  return told === null ? Layer.empty : Layer.succeed(LongWorkListener, told)
}
