import { assert, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import * as Everything from "./index.ts"
import { PolicyError } from "./index.ts"

/** How a constructor is called with its arguments and options by name. */
interface Constructor {
  readonly call: (given: Readonly<Record<string, unknown>>) => unknown
  /** For each name what will do, and what will not. */
  readonly places: Readonly<Record<string, readonly [right: unknown, ...wrong: ReadonlyArray<unknown>]>>
  /** The beginning of a report about a place, if its name is not stated. */
  readonly called?: Readonly<Record<string, string>>
  /** Whether names that do not exist are refused. */
  readonly hasOptions?: boolean
}

type Call = (...args: ReadonlyArray<unknown>) => unknown

const untyped = (call: unknown) => call as Call
const { onListener } = Everything
const config = Schema.Struct({})
const port = [80, 0, 65_536, "80", 1.5, null] as const
const duration = ["1 second", "soon", -1, null, {}] as const
const text = ["a", 5, null, {}] as const
const call = [() => true, 5, null, "f"] as const
const count = [3, 0, 1.5, "3", null] as const
const onFailure = ["fail", "later", null, 5] as const
/** Names that no guest can send. */
const names = ["", "caches warm", "-a", "ä", "a\n", "a".repeat(65), 5, null, {}] as const
const schema = [config, 5, "s", null] as const
const calm = {
  calmFor: duration,
  deadline: ["2 seconds", "soon", -1, {}],
  activity: [[], 5, [{ activity: "busy" }], [1, Everything.ioInFlight]],
  onDeadline: ["fail", "never", 5],
  agent: ["ask", "maybe", 5]
} as const

const constructors: Readonly<Record<string, Constructor>> = {
  onListener: {
    call: untyped(onListener),
    places: { protocol: ["tcp", "sctp", 5], address: ["::", 5, {}], port, counts: ["bound", "all", 5] },
    hasOptions: true
  },
  onConnection: {
    call: untyped(Everything.onConnection),
    places: { port, direction: ["outward", "both", 5] },
    hasOptions: true
  },
  onRequestServed: {
    call: ({ count, ...options }) => untyped(Everything.onRequestServed)(count, options),
    places: { count, port },
    called: { count: "onRequestServed: " },
    hasOptions: true
  },
  atHeartbeat: {
    call: ({ count, ...options }) => untyped(Everything.atHeartbeat)(count, options),
    places: { count, console: [true, "yes", 1] },
    called: { count: "atHeartbeat: " },
    hasOptions: true
  },
  onPreExec: {
    call: untyped(Everything.onPreExec),
    places: { console: ["marker", 5, {}], consoleHold: duration },
    hasOptions: true
  },
  onSerialMatch: {
    call: ({ pattern, ...options }) => untyped(Everything.onSerialMatch)(pattern, options),
    places: { pattern: [/a/, 5, /a(?=b)/], port: [1, -1, "1", 1.5] },
    hasOptions: true
  },
  onSerialText: {
    call: ({ pattern, ...options }) => untyped(Everything.onSerialText)(pattern, options),
    places: { pattern: ["a", 5, /(a)\1/], port: [1, -1, "1", 1.5] },
    hasOptions: true
  },
  onDirtyRateBelow: {
    call: ({ pagesPerSecond, window }) => untyped(Everything.onDirtyRateBelow)(pagesPerSecond, window),
    places: { pagesPerSecond: [5, 0, "5", Number.NaN], window: [...duration, 0] }
  },
  onCustom: {
    call: ({ name, schema }) => untyped(Everything.onCustom)(name, schema),
    places: { name: ["a:b/c.d_e-1", ...names], schema }
  },
  quiesce: {
    call: ({ policy, ...options }) => untyped(Everything.quiesce)(policy, options),
    places: { policy: [onListener(), 5, {}], ...calm },
    called: { policy: "quiesce: expected a trigger" },
    hasOptions: true
  },
  "quiesce without its trigger": { call: untyped(Everything.quiesce), places: calm, hasOptions: true },
  "SnapshotResources.toPolicy": {
    call: (options) => new Everything.SnapshotResources({ onListener: true }).toPolicy(options),
    places: {
      preExec: [undefined, { console: 5 }],
      deadline: calm.deadline,
      activity: calm.activity,
      onDeadline: calm.onDeadline,
      agent: calm.agent
    },
    called: { preExec: "onPreExec.console: " },
    hasOptions: true
  },
  repeat: {
    call: ({ policy, ...options }) => untyped(Everything.repeat)(policy, options),
    places: { policy: [onListener(), 5, {}], times: count },
    called: { policy: "repeat: expected a trigger" },
    hasOptions: true
  },
  filter: {
    call: ({ name, policy, predicate }) => untyped(Everything.filter)(policy, name, predicate),
    places: { policy: [onListener(), 5], name: text, predicate: call },
    called: { policy: "filter: expected a trigger" }
  },
  mapCause: {
    call: ({ map, name, policy }) => untyped(Everything.mapCause)(policy, name, map),
    places: { policy: [onListener(), 5], name: text, map: call },
    called: { policy: "mapCause: expected a trigger" }
  },
  orElseAfter: {
    call: ({ duration, other, policy }) => untyped(Everything.orElseAfter)(policy, duration, other),
    places: { policy: [onListener(), 5], other: [onListener(), 5], duration },
    called: {
      policy: "orElseAfter: expected a trigger",
      duration: "orElseAfter: expected a duration"
    }
  },
  within: {
    call: ({ duration, policy }) => untyped(Everything.within)(policy, duration),
    places: { policy: [onListener(), 5], duration },
    called: { policy: "within: expected a trigger", duration: "within: expected a duration" }
  },
  named: {
    call: ({ name, policy }) => untyped(Everything.named)(policy, name),
    places: { policy: [onListener(), 5], name: text },
    called: { policy: "named: expected a trigger" }
  },
  fromEffect: {
    call: ({ effect, name, ...options }) => untyped(Everything.fromEffect)(name, effect, options),
    places: { name: text, effect: [Effect.void, 5, null], onFailure },
    hasOptions: true
  },
  defineProbe: {
    call: untyped(Everything.defineProbe),
    places: { name: text, config: schema, effect: call, onFailure },
    hasOptions: true
  },
  defineTrigger: {
    call: untyped(Everything.defineTrigger),
    places: {
      name: text,
      config: schema,
      interest: call,
      waitedFor: call,
      start: call,
      step: call,
      hears: call,
      progress: call
    },
    hasOptions: true
  },
  "a trigger of a package": {
    call: ({ interest, waitedFor }) =>
      untyped(
        Everything.defineTrigger({
          name: "acme/any",
          config,
          interest: () => interest as [],
          waitedFor: () => waitedFor as string,
          start: () => ({ state: 0 }),
          step: () => ({ state: 0 })
        })
      )({}),
    places: { interest: [["SerialLine"], 5, ["Nothing"]], waitedFor: ["a line", 5, null] }
  },
  makeRegistry: {
    call: untyped(Everything.makeRegistry),
    places: {
      triggers: [[], 5, [5]],
      probes: [[], 5, [5]],
      effects: [{}, 5, { one: 5 }],
      predicates: [{}, 5, { one: 5 }],
      causeMaps: [{}, 5, { one: 5 }],
      schemas: [{}, 5, { one: 5 }]
    },
    hasOptions: true
  }
}

/** Functions with one argument, or a list of one kind, or that accept anything. */
const simple = new Set([
  "afterGuestTime",
  "allOf",
  "andThen",
  "atLatest",
  "busyForLongerThan",
  "customHappens",
  "debounce",
  "decodePolicy",
  "dirtyRateAbove",
  "eventHappens",
  "firstOf",
  "mergeRegistries",
  "onEvent",
  "onIdle",
  "onParked",
  "parsePolicy",
  "pointedAt",
  "precedence",
  "printPolicy",
  "trafficAbove"
])

const refusalOf = (call: () => unknown): string => {
  try {
    call()
    return ""
  } catch (cause) {
    if (!(cause instanceof PolicyError)) throw cause
    return cause.message
  }
}

describe("all that is wrong with what is given is told at once", () => {
  for (const [constructor, { call, called = {}, hasOptions = false, places }] of Object.entries(constructors)) {
    it(`of-${constructor.replaceAll(" ", "-")}`, () => {
      const right = Object.fromEntries(Object.entries(places).map(([name, [value]]) => [name, value]))
      assert.strictEqual(
        refusalOf(() => call(right)),
        "",
        "what is right"
      )
      const values = fc.record(
        Object.fromEntries(Object.entries(places).map(([name, [, ...wrong]]) => [name, fc.constantFrom(...wrong)])),
        { requiredKeys: [] }
      )
      const unknown = fc.subarray(hasOptions ? ["mistyped", "portt"] : [])
      fc.assert(
        fc.property(values, unknown, (wrong, unknown) => {
          const given = { ...right, ...wrong, ...Object.fromEntries(unknown.map((name) => [name, 1])) }
          const lines = refusalOf(() => call(given)).split("\n")
          const told = (name: string) => {
            const beginning = called[name]
            return lines.some((line) =>
              beginning === undefined
                ? line.split(": ")[0]?.split(".").includes(name) === true
                : line.startsWith(beginning)
            )
          }
          for (const name of [...Object.keys(wrong), ...unknown])
            assert.isTrue(told(name), `${name} in ${lines.join("; ")}`)
          // And no valid part, except for the elements of a list, each of which is reported.
          for (const name of Object.keys(right))
            if (!(name in wrong)) assert.isFalse(told(name), `${name} in ${lines.join("; ")}`)
        }),
        { numRuns: 100 }
      )
    })
  }

  it("a-list-of-activities-names-each-that-is-none", () => {
    const message = refusalOf(() =>
      untyped(Everything.quiesce)({ calmFor: 1, activity: [1, Everything.ioInFlight, 2] })
    )
    assert.match(message, /^quiesce\.activity\.0: .*\nquiesce\.activity\.2: /)
  })

  it("every-constructor-is-among-them", () => {
    const exported = Object.entries(Everything)
      .filter(([, value]) => typeof value === "function" && !/^class\b/.test(String(value)) && !Schema.isSchema(value))
      .map(([name]) => name)
    assert.deepStrictEqual(
      exported.filter((name) => !(name in constructors) && !simple.has(name)),
      []
    )
  })
})

describe("what is refused is said as it was given, with what would do", () => {
  const { afterGuestTime, customHappens, eventHappens, ioInFlight, onCustom, onEvent, quiesce } = Everything
  const told: ReadonlyArray<readonly [string, () => unknown, RegExp]> = [
    ["a-port-that-is-a-text", () => untyped(onListener)({ port: "80" }), /to 65535, found "80", a text$/],
    ["a-duration", () => untyped(afterGuestTime)("soon"), /a duration such as "20 millis", .* found "soon"$/],
    ["a-word", () => untyped(quiesce)({ calmFor: 0, agent: "atuo" }), /found "atuo"; did you mean auto$/],
    ["an-option", () => untyped(onListener)({ prot: 80 }), /unknown option prot; did you mean port$/],
    [
      "an-event-kind",
      () => untyped(onEvent)("HartbeatTick"),
      /^onEvent: unknown .* HartbeatTick; did you mean HeartbeatTick$/
    ],
    ["an-event-kind-of-activity", () => untyped(eventHappens)("Serialine"), /did you mean SerialLine$/],
    ["a-name-of-an-event", () => onCustom("caches warm"), /as caches-warm: 1 to 64 of .*, found "caches warm"$/],
    ["no-name-of-an-event", () => onCustom(""), /found ""$/],
    ["a-name-of-activity", () => customHappens("-a"), /no - first, found "-a"$/]
  ]
  for (const [name, call, words] of told) {
    it(name, () => {
      assert.throws(call, PolicyError, words)
    })
  }

  it("a-name-of-activity-that-is-written-out", () => {
    const activity = [ioInFlight, { activity: "custom" as const, name: "caches warm" }]
    assert.throws(() => quiesce(onListener(), { calmFor: 0, activity }), PolicyError, /quiesce\.activity\.1/)
  })

  it("an-event-kind-and-a-name-in-json", () => {
    const read = (json: unknown) => {
      const found = Everything.decodePolicy(json)
      return Result.isFailure(found) ? found.failure.message : ""
    }
    assert.match(read({ trigger: "onEvent", kind: "HartbeatTick" }), /did you mean HeartbeatTick/)
    assert.match(read({ trigger: "onCustom", name: "caches warm" }), /as caches-warm/)
  })
})
