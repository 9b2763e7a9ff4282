/**
 * Operators that compose guest events. Their only clock is the events' own guest time.
 *
 * @module
 */
import { Observable, type OperatorFunction, scan, takeWhile } from "rxjs"
import type { GuestEvent } from "../GuestEvent.ts"

/** Anything that happened at a guest time. */
export interface Timed {
  readonly atNanos: number
}

/**
 * An operator from a pure step: what it remembers, and what it emits for each value.
 *
 * Errors, completion and unsubscription pass through; `flush` may emit a last value at completion.
 */
export const stateful =
  <A, S, B>(options: {
    readonly initial: () => S
    readonly step: (state: S, value: A) => readonly [state: S, emitted: ReadonlyArray<B>]
    readonly flush?: (state: S) => ReadonlyArray<B>
  }): OperatorFunction<A, B> =>
  (source) =>
    new Observable((subscriber) => {
      let state = options.initial()
      return source.subscribe({
        next: (value) => {
          const [next, emitted] = options.step(state, value)
          state = next
          for (const each of emitted) subscriber.next(each)
        },
        error: (cause) => subscriber.error(cause),
        complete: () => {
          for (const each of options.flush?.(state) ?? []) subscriber.next(each)
          subscriber.complete()
        }
      })
    })

/** Lets events through up to a guest time, and completes at the first one after it. */
export const untilGuestTime = <A extends Timed>(atNanos: number): OperatorFunction<A, A> =>
  takeWhile((event) => event.atNanos <= atNanos)

/** Completes with the event that ends the guest. */
export const untilGuestEnds = (): OperatorFunction<GuestEvent, GuestEvent> =>
  takeWhile((event) => !["GuestHalted", "GuestReset", "EngineFault"].includes(event._tag), true)

/** How long the hart waited for an interrupt, from when to when. */
export interface IdleSpan {
  readonly fromNanos: number
  readonly toNanos: number
}

/** One value for every time that the hart went idle and woke again. A last span that never ended is left out. */
export const idleSpans = (): OperatorFunction<GuestEvent, IdleSpan> =>
  stateful<GuestEvent, number | null, IdleSpan>({
    initial: () => null,
    step: (since, event) => {
      if (event._tag === "GuestIdle") return [since ?? event.atNanos, []]
      if (event._tag === "GuestBusy" && since !== null) return [null, [{ fromNanos: since, toNanos: event.atNanos }]]
      return [since, []]
    }
  })

/** Devices with a request in flight, in the order in which they began; emitted whenever the set changes. */
export const devicesInFlight = (): OperatorFunction<GuestEvent, ReadonlyArray<string>> =>
  stateful<GuestEvent, ReadonlyArray<string>, ReadonlyArray<string>>({
    initial: () => [],
    step: (devices, event) => {
      const isKnown = "device" in event && devices.includes(event.device)
      if (event._tag === "IoStarted" && !isKnown) return [[...devices, event.device], [[...devices, event.device]]]
      if (event._tag === "IoSettled" && isKnown) {
        const left = devices.filter((device) => device !== event.device)
        return [left, [left]]
      }
      return [devices, []]
    }
  })

/** Pages dirtied a second of guest time, over a window that ends with each sample. */
export const dirtyRate = (
  windowNanos: number
): OperatorFunction<GuestEvent, { readonly atNanos: number; readonly pagesPerSecond: number }> =>
  stateful<
    GuestEvent,
    ReadonlyArray<{ readonly atNanos: number; readonly count: number }>,
    { readonly atNanos: number; readonly pagesPerSecond: number }
  >({
    initial: () => [],
    step: (samples, event) => {
      if (event._tag !== "PagesDirtied") return [samples, []]
      const { atNanos, count } = event
      const window = [...samples.filter((sample) => sample.atNanos > atNanos - windowNanos), { atNanos, count }]
      const pages = window.reduce((sum, sample) => sum + sample.count, 0)
      return [window, [{ atNanos, pagesPerSecond: (pages * 1e9) / windowNanos }]]
    }
  })

/** A value with the guest time since the one before; `null` for the first. */
export const withGap = <A extends Timed>(): OperatorFunction<A, readonly [value: A, gapNanos: number | null]> =>
  scan<A, readonly [A, number | null], null>(
    (before, value) => [value, before === null ? null : value.atNanos - before[0].atNanos],
    null
  )

/**
 * The last value of every burst: emitted once guest time has gone on for `calmNanos` without another.
 *
 * Guest time is told by `clock$`, any stream of events of the same guest that has `source` in it. A burst that is still on when the
 * clock ends is not emitted: the guest was never seen to be calm after it.
 */
export const calmAfter = <A extends Timed>(
  calmNanos: number,
  belongs: (event: GuestEvent) => event is GuestEvent & A
): OperatorFunction<GuestEvent, A> =>
  stateful<GuestEvent, A | null, A>({
    initial: () => null,
    step: (last, event) => {
      const isCalm = last !== null && event.atNanos - last.atNanos >= calmNanos
      const emitted = isCalm ? [last] : []
      return [belongs(event) ? event : isCalm ? null : last, emitted]
    }
  })
