/**
 * The guest's events, as typed observables.
 *
 * All of them are views of one `events$`: they carry its order and its times, and end with it.
 *
 * @module
 */
import { Result, Schema } from "effect"
import { filter, map, mergeMap, type Observable, of, type OperatorFunction } from "rxjs"
import type { GuestEvent, GuestEventKind, GuestEventOf } from "../GuestEvent.ts"

/** The events of some kinds. */
export const ofKind = <K extends GuestEventKind>(
  ...kinds: ReadonlyArray<K>
): OperatorFunction<GuestEvent, GuestEventOf<K>> => {
  const wanted: ReadonlySet<string> = new Set(kinds)
  return filter((event): event is GuestEventOf<K> => wanted.has(event._tag))
}

/** A custom event whose payload has its own schema's type. */
export interface CustomOf<A> {
  readonly seq: number
  readonly atNanos: number
  readonly name: string
  readonly payload: A
}

/** Custom events of a name whose payload decodes; others of that name, which the schema refuses, go to `onRefused`. */
export const customOf = <A>(
  name: string,
  schema: Schema.Decoder<A>,
  onRefused: (event: GuestEventOf<"Custom">, why: string) => void = () => {}
): OperatorFunction<GuestEvent, CustomOf<A>> => {
  const decode = Schema.decodeUnknownResult(schema)
  return (events$) =>
    events$.pipe(
      ofKind("Custom"),
      filter((event) => event.name === name),
      mergeMap((event) => {
        const decoded = decode(event.payload)
        if (Result.isSuccess(decoded))
          return of({ seq: event.seq, atNanos: event.atNanos, name, payload: decoded.success })
        onRefused(event, decoded.failure.message)
        return []
      })
    )
}

/** The typed views of one guest's events. */
export interface GuestObservables {
  readonly events$: Observable<GuestEvent>
  readonly serial$: Observable<GuestEventOf<"SerialLine">>
  readonly heartbeat$: Observable<GuestEventOf<"HeartbeatTick">>
  readonly preExec$: Observable<GuestEventOf<"WorkloadPreExec">>
  readonly listener$: Observable<GuestEventOf<"ListenerBound">>
  readonly parked$: Observable<GuestEventOf<"WorkloadParked">>
  /** The workload's end, or why it could not begin. */
  readonly workloadEnd$: Observable<GuestEventOf<"WorkloadExited" | "WorkloadFailed">>
  /** Whether the hart waits for an interrupt. */
  readonly idle$: Observable<boolean>
  readonly io$: Observable<GuestEventOf<"IoStarted" | "IoSettled">>
  readonly pagesDirtied$: Observable<GuestEventOf<"PagesDirtied">>
  readonly agentReady$: Observable<GuestEventOf<"AgentReady">>
  readonly custom$: Observable<GuestEventOf<"Custom">>
  /** The guest's end: halted, reset, panicked, or given up by the engine. */
  readonly end$: Observable<GuestEventOf<"GuestHalted" | "GuestReset" | "GuestPanicked" | "EngineFault">>
}

/**
 * The typed views of a machine's events.
 *
 * @example
 * ```ts
 * import { type GuestEvent, guestObservables } from "@stillpoint/core"
 * import { from } from "rxjs"
 *
 * const events$ = from<Array<GuestEvent>>([
 *   { _tag: "SerialLine", seq: 0, atNanos: 10, port: 0, text: "Linux version 6.12" },
 *   { _tag: "HeartbeatTick", seq: 1, atNanos: 20, count: 1 }
 * ])
 * guestObservables(events$).heartbeat$.subscribe(({ count }) => console.log(count)) // 1
 * ```
 */
export const guestObservables = (events$: Observable<GuestEvent>): GuestObservables => ({
  events$,
  serial$: events$.pipe(ofKind("SerialLine")),
  heartbeat$: events$.pipe(ofKind("HeartbeatTick")),
  preExec$: events$.pipe(ofKind("WorkloadPreExec")),
  listener$: events$.pipe(ofKind("ListenerBound")),
  parked$: events$.pipe(ofKind("WorkloadParked")),
  workloadEnd$: events$.pipe(ofKind("WorkloadExited", "WorkloadFailed")),
  idle$: events$.pipe(
    ofKind("GuestIdle", "GuestBusy"),
    map(({ _tag }) => _tag === "GuestIdle")
  ),
  io$: events$.pipe(ofKind("IoStarted", "IoSettled")),
  pagesDirtied$: events$.pipe(ofKind("PagesDirtied")),
  agentReady$: events$.pipe(ofKind("AgentReady")),
  custom$: events$.pipe(ofKind("Custom")),
  end$: events$.pipe(ofKind("GuestHalted", "GuestReset", "GuestPanicked", "EngineFault"))
})
