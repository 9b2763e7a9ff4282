/**
 * Timelines that a trigger has something to decide on: of the events that it hears, at the distances that it waits for.
 *
 * @module
 */
import { describeValue, GuestEvent, type GuestEventKind } from "@stillpoint/core"
import { Arbitrary, Effect, Schema } from "effect"
import * as fc from "fast-check"
import { replay, type ReplayedTimeline } from "../deciding/replayPolicy.ts"
import type { Heard } from "../Heard.ts"
import type { Registry } from "../plugin/Registry.ts"
import type { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"
import {
  consoleLines,
  customNames,
  type EventBody,
  eventBody,
  gap,
  listenerPorts,
  networkEvents,
  timelineOf
} from "./guestEvents.ts"
import { matchingText } from "./matchingText.ts"
import { timeline } from "./timelines.ts"
import { withWakes } from "./WakeBudget.ts"

/** Information about a trigger that it does not contain itself. */
export interface TimelineOptions {
  /** The registry that knows the events of the trigger's plug-ins and schemas. */
  readonly registry?: Registry
  /** Events that matter to it, where it does not say so itself. */
  readonly hears?: ReadonlyArray<Heard>
}

/** Values of a schema, as JSON has them. Simple ones come first. */
const valuesOf = (schema: Schema.Codec<unknown, unknown>): ReadonlyArray<unknown> => {
  const values = Effect.runSync(Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: 64, seed: 1 }))
  return values.map((value) => Schema.encodeSync(schema)(value))
}

/** A value as it arrives in an event; nothing if it is none of JSON. */
const asJson = (value: unknown): ReadonlyArray<unknown> => {
  try {
    return [JSON.parse(JSON.stringify(value))]
  } catch {
    return []
  }
}

/** Payloads that a trigger hears. */
const payloadsOf = (schema: Schema.Codec<unknown, unknown>): ReadonlyArray<unknown> => {
  const advice = "or give the laws `timelines` of your own"
  let values: ReadonlyArray<unknown> = []
  try {
    values = valuesOf(schema)
  } catch (cause) {
    // The cause's own description concerns its implementation.
    const told = describeValue(cause)
    const found = told.includes("SampleError") ? "one whose checks hardly any value passes" : told
    refuse("hears.payload", `a schema of which values can be drawn, ${advice}`, found)
  }
  const payloads = values.flatMap(asJson)
  if (payloads.length > 0) return payloads
  return refuse("hears.payload", `a schema whose encoded values are JSON, as in events, ${advice}`, values[0])
}

/** An event of a kind of which nothing else is known. */
const anyOf = (kind: GuestEventKind): fc.Arbitrary<EventBody> =>
  fc.constantFrom(...valuesOf(GuestEvent.cases[kind] as unknown as Schema.Codec<unknown, unknown>)).map((event) => {
    const { atNanos: _at, seq: _seq, ...body } = event as EventBody
    return body as EventBody
  })

/** Fields for which a random value would rarely be the one that a trigger waits for. */
const usual: Partial<Record<GuestEventKind, fc.Arbitrary<Readonly<Record<string, unknown>>>>> = {
  SerialLine: fc.record({ port: fc.constantFrom(0, 0, 0, 1), text: fc.constantFrom(...consoleLines) }),
  SerialText: fc.record({ port: fc.constantFrom(0, 0, 0, 1), text: fc.constantFrom(...consoleLines) }),
  HeartbeatTick: fc.record({ count: fc.integer({ min: 1, max: 6 }) }),
  ListenerBound: fc.record({
    protocol: fc.constantFrom("tcp", "udp"),
    address: fc.constantFrom("0.0.0.0", "::"),
    port: fc.constantFrom(...listenerPorts)
  }),
  ...networkEvents,
  PagesDirtied: fc.record({ count: fc.nat(500) }),
  Custom: fc.record({ name: fc.constantFrom(...customNames), payload: fc.nat(3) })
}

const lineWith = (text: string | RegExp): fc.Arbitrary<string> =>
  typeof text === "string" ? fc.constantFrom(text, `${text}.`, `it says: ${text}`) : matchingText(text)

/** An event that the trigger waits for, and sometimes one that nearly is. */
const heard = ({ fields = {}, kind, payload, text }: Heard): fc.Arbitrary<EventBody> => {
  const parts: Record<string, fc.Arbitrary<unknown>> = {}
  for (const [name, value] of Object.entries(fields)) parts[name] = fc.constant(value)
  if (text !== undefined) parts["text"] = lineWith(text)
  if (payload !== undefined) parts["payload"] = fc.constantFrom(...payloadsOf(payload))
  const exact = fc
    .tuple(usual[kind] ?? anyOf(kind), fc.record(parts))
    .map(([base, own]): EventBody => ({ ...base, ...own, _tag: kind }))
  const spoiled = fc
    .tuple(exact, fc.constantFrom(...Object.keys(parts), ""), usual[kind] ?? anyOf(kind))
    .map(([body, name, other]): EventBody => (name in other ? { ...body, [name]: other[name as keyof object] } : body))
  return fc.oneof({ weight: 5, arbitrary: exact }, { weight: 1, arbitrary: spoiled })
}

interface Interest {
  readonly hears: Array<Heard>
  /** Times that it waits for. */
  readonly nanos: Array<number>
  /** Whether one of its parts is a plug-in. */
  hasPlugin: boolean
}

/** The events and times that the parts of a trigger wait for, as far as its description and the registry show them. */
const interestOf = (trigger: Policy, { hears = [], registry }: TimelineOptions): Interest => {
  const interest: Interest = { hears: [...hears, ...(trigger.shape.hears ?? [])], nanos: [], hasPlugin: false }
  const visit = (json: unknown): void => {
    if (typeof json !== "object" || json === null) return
    const part = json as Readonly<Record<string, unknown>>
    const add = (kind: GuestEventKind, ...names: ReadonlyArray<string>): void => {
      const fields = Object.fromEntries(names.filter((name) => name in part).map((name) => [name, part[name]]))
      interest.hears.push({ kind, fields, ...textOf(part) })
    }
    if (part["trigger"] === "onListener") add("ListenerBound", "protocol", "address", "port")
    else if (part["trigger"] === "onConnection" || part["trigger"] === "onRequestServed") {
      const isOpened = part["trigger"] === "onConnection"
      interest.hears.push({
        kind: isOpened ? "ConnectionOpened" : "RequestServed",
        fields: {
          ...("port" in part ? { guestPort: part["port"] } : {}),
          ...(isOpened ? { direction: part["direction"] ?? "inward" } : {})
        }
      })
    } else if (part["trigger"] === "onSerialMatch") add("SerialLine", "port")
    else if (part["trigger"] === "onSerialText") add("SerialText", "port")
    else if (part["trigger"] === "atHeartbeat") add("HeartbeatTick", "count")
    else if (part["trigger"] === "onCustom") {
      const payload = part["hasSchema"] === true ? registry?.schemas.get(String(part["name"])) : undefined
      interest.hears.push({
        kind: "Custom",
        fields: { name: part["name"] },
        ...(payload === undefined ? {} : { payload })
      })
    } else if (part["trigger"] === "plugin") {
      interest.hasPlugin = true
      const definition = registry?.triggers.get(String(part["name"]))?.definition
      interest.hears.push(...hearsOf(definition, part["config"]))
    }
    for (const [name, value] of Object.entries(part)) {
      const unit = unitOf(name)
      if (unit !== undefined && typeof value === "number") interest.nanos.push(Math.round(value * unit))
      else visit(value)
    }
  }
  visit(trigger.description)
  return interest
}

const textOf = (part: Readonly<Record<string, unknown>>): Pick<Heard, "text"> => {
  if (typeof part["text"] === "string") return { text: part["text"] }
  return typeof part["regex"] === "string" ? { text: new RegExp(part["regex"], String(part["flags"] ?? "")) } : {}
}

const unitOf = (name: string): number | undefined =>
  [
    { ending: /nanos$/i, nanos: 1 },
    { ending: /millis$|Ms$|_ms$/, nanos: 1e6 },
    { ending: /seconds$/i, nanos: 1e9 }
  ].find(({ ending }) => ending.test(name))?.nanos

const hearsOf = (definition: object | undefined, config: unknown): ReadonlyArray<Heard> => {
  if (definition === undefined || !("hears" in definition) || typeof definition.hears !== "function") return []
  const decoded = Schema.decodeUnknownOption(
    (definition as unknown as { readonly config: Schema.Codec<unknown> }).config
  )(config)
  return decoded._tag === "None" ? [] : (definition.hears(decoded.value) as ReadonlyArray<Heard>)
}

/** Any timeline, with events that a trigger hears mixed into it. */
const mixed = (line: ReplayedTimeline, own: ReadonlyArray<readonly [number, EventBody]>): ReplayedTimeline => {
  const moments = [
    ...line.events.map(({ atNanos, seq: _seq, ...event }) => [atNanos, event as EventBody] as const),
    ...own
  ]
  const last = Math.max(0, ...moments.map(([atNanos]) => atNanos))
  const { end } = line
  return timelineOf(
    moments,
    end === null || end === undefined ? null : { ...end, atNanos: Math.max(end.atNanos, last) }
  )
}

/** Wake-ups within a second in which nothing happens, from which on a trigger is taken to poll. */
const fewWakes = 20
/** The number of wake-ups between events that the fastest polling would reach. */
const manyWakes = 10_000

/**
 * Whether a trigger continues to wake itself when nothing more happens, since waiting for a guest that rests forever takes long.
 */
const polls = (trigger: Policy, timelines: fc.Arbitrary<ReplayedTimeline>): boolean => {
  let wakes = 0
  const counted = withWakes(trigger, () => {
    wakes += 1
    if (wakes > manyWakes) throw new TypeError("woken too often")
  })
  const wakesUntil = (line: ReplayedTimeline, atNanos: number): number => {
    wakes = 0
    try {
      replay(counted, { ...line, end: { atNanos, reason: "time" } })
    } catch {
      return Infinity
    }
    return wakes
  }
  return fc.sample(timelines, { numRuns: 30, seed: 1 }).some((line) => {
    const last = line.events.at(-1)?.atNanos ?? 0
    const before = wakesUntil(line, last)
    return before === Infinity || wakesUntil(line, last + 1e9) - before > fewWakes
  })
}

/**
 * Timelines for one trigger: mostly of events that it waits for, at instants that hit its durations or miss them by a nanosecond;
 * some as guests make them, with such events among others. None for a plug-in that polls ends in a rest forever.
 */
export const timelinesFor = (trigger: Policy, options: TimelineOptions = {}): fc.Arbitrary<ReplayedTimeline> => {
  const { hasPlugin, hears, nanos } = interestOf(trigger, options)
  const unsaid = trigger.interest.filter((kind) => !hears.some((each) => each.kind === kind))
  const own: Array<fc.Arbitrary<EventBody>> = [
    ...hears.map(heard),
    ...unsaid.map((kind) => (usual[kind] ?? anyOf(kind)).map((body): EventBody => ({ ...body, _tag: kind })))
  ]
  const event =
    own.length === 0
      ? eventBody
      : fc.oneof({ weight: 6, arbitrary: fc.oneof(...own) }, { weight: 1, arbitrary: eventBody })
  const waits = nanos.filter((each) => Number.isSafeInteger(each) && each >= 0 && each < 1e15)
  const distance =
    waits.length === 0
      ? gap
      : fc.oneof(
          { weight: 3, arbitrary: gap },
          {
            weight: 2,
            arbitrary: fc
              .tuple(fc.constantFrom(...waits), fc.constantFrom(0, 0, 1, -1))
              .map(([wait, miss]) => Math.max(0, wait + miss))
          }
        )
  const moments = fc.array(fc.tuple(distance, event), { maxLength: 25 }).map((items) => {
    let atNanos = 0
    return items.map(([after, body]) => [(atNanos += after), body] as const)
  })
  const ending = fc.oneof(
    fc.constant(null),
    fc.record({
      after: fc.oneof(distance, fc.constant(Math.max(1e9, ...waits) * 3)),
      reason: fc.constantFrom("time" as const, "idle" as const, "halted" as const)
    })
  )
  const ofOwn = fc
    .tuple(moments, ending)
    .map(([items, end]) =>
      timelineOf(items, end === null ? null : { atNanos: (items.at(-1)?.[0] ?? 0) + end.after, reason: end.reason })
    )
  const any = fc.oneof(
    { weight: 4, arbitrary: ofOwn },
    { weight: 2, arbitrary: fc.tuple(timeline, moments).map(([line, items]) => mixed(line, items)) },
    { weight: 1, arbitrary: timeline }
  )
  if (!hasPlugin || !polls(trigger, ofOwn)) return any
  return any.map((line) => (line.end?.reason === "idle" ? { ...line, end: { ...line.end, reason: "time" } } : line))
}
