import { assert, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import * as Everything from "./index.ts"
import { Policy, PolicyError } from "./index.ts"

type Call = (...args: ReadonlyArray<unknown>) => unknown

/** The calls of a caller without types: every exported function, and the methods of their results. */
const entries: Readonly<Record<string, Call>> = {
  ...(Object.fromEntries(
    Object.entries(Everything).filter(
      ([, value]) => typeof value === "function" && !/^class\b/.test(String(value)) && !Schema.isSchema(value)
    )
  ) as unknown as Readonly<Record<string, Call>>),
  ...(Object.fromEntries(
    Object.entries(Everything.Trigger).map(([name, value]) => [`Trigger.${name}`, value])
  ) as unknown as Readonly<Record<string, Call>>),
  SnapshotResources: (input) => new Everything.SnapshotResources(input as {}),
  "SnapshotResources.fromJson": Everything.SnapshotResources.fromJson as Call,
  "SnapshotResources.toPolicy": (...args) =>
    new Everything.SnapshotResources({ onPreExec: true, quiesceMs: 5 }).toPolicy(...(args as [])),
  "a trigger of a package": (...args) => plugin(...(args as [never])),
  "a probe of a package": (...args) => probe(...(args as [never]))
}

const config = Schema.Struct({ millis: Schema.Natural })
const plugin = Everything.defineTrigger({
  name: "acme/any",
  config,
  interest: () => ["SerialLine"],
  waitedFor: () => "a line",
  start: () => ({ state: 0 }),
  step: () => ({ state: 0 })
})
const probe = Everything.defineProbe({ name: "acme/probe", config, effect: () => undefined as never })

/** Those that say in their result, and not by throwing, what is wrong. */
const answering = new Set(["decodePolicy", "SnapshotResources.fromJson"])

/** An exception of the caller's own getter is passed on. */
const theirs = new Error("of the caller")
const throwing = {
  get calmFor(): never {
    throw theirs
  },
  [Symbol.for("fast-check/toStringMethod")]: () => "{ get calmFor() { throw } }"
}

const rubbish: fc.Arbitrary<unknown> = fc.oneof(
  fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withNullPrototype: true,
    withTypedArray: true
  }),
  fc.constantFrom<unknown>(
    undefined,
    null,
    Symbol("x"),
    throwing,
    Promise.resolve(1),
    () => 1,
    /a+/,
    new Error("no"),
    Object.create(null),
    "1 second",
    "onListener",
    0n,
    -1,
    Number.NaN,
    Everything.onListener(),
    [Everything.onListener(), undefined],
    [undefined],
    Array(3),
    { calmFor: "1 second" },
    { calmFor: "1 second", activity: [{ activity: "busy" }] },
    { calmFor: "1 second", agent: 5, onDeadline: "never" },
    { times: 0 },
    { name: 5, config, effect: 5 },
    { name: "a/b", config: 5, interest: 1, waitedFor: 2, start: 3, step: 4 },
    { events: 5 },
    { triggers: [1], effects: 5 },
    { millis: -1 },
    config
  )
)

const refusalOf = (call: () => unknown): unknown => {
  try {
    return call()
  } catch (cause) {
    return cause
  }
}

describe("whatever a program without types hands to a constructor", () => {
  for (const [name, entry] of Object.entries(entries)) {
    it(`${name}-makes-a-trigger-of-it-or-refuses-it-by-name`, () => {
      fc.assert(
        fc.property(fc.array(rubbish, { maxLength: 4 }), rubbish, (args, last) => {
          const found = refusalOf(() => {
            const made = entry(...args)
            // A combinator without its trigger is given anything for one.
            return typeof made === "function" ? (made as Call)(last) : made
          })
          const refusal =
            answering.has(name) && Result.isResult(found) && Result.isFailure(found) ? found.failure : found
          if (!(refusal instanceof Error) || args.includes(refusal) || refusal === last || refusal === theirs) return
          if (!(refusal instanceof PolicyError)) throw refusal
          assert.isAbove(refusal.problems.length, 0)
          for (const { message } of refusal.problems) assert.match(message, /[Ee]xpected|unknown|throw|threw/)
        }),
        { numRuns: 400 }
      )
    })
  }

  it("says-what-was-expected-and-what-was-found", () => {
    const say = (call: () => unknown): string => {
      const found = refusalOf(call)
      return found instanceof PolicyError ? found.message : `made ${String(found)}`
    }
    const { andThen, firstOf, onListener, precedence, quiesce, Trigger, within } = Everything
    const untyped = (call: unknown) => call as Call
    assert.strictEqual(
      say(() => untyped(quiesce)(onListener())),
      "quiesce: expected options, found onListener"
    )
    assert.strictEqual(
      say(() => untyped(quiesce)({ calmFor: "1 second" }, { calmFor: "1 second" })),
      'quiesce: expected a trigger, found {"calmFor":"1 second"}'
    )
    assert.strictEqual(
      say(() => untyped(precedence)([undefined, onListener(), 5])),
      "precedence.0: expected a trigger, found undefined\nprecedence.2: expected a trigger, found 5"
    )
    assert.strictEqual(
      say(() => untyped(firstOf)(onListener())),
      "firstOf: expected a list of triggers, found onListener"
    )
    assert.strictEqual(
      say(() => untyped(andThen)(undefined)),
      "andThen.second: expected a trigger, found undefined"
    )
    assert.match(
      say(() => untyped(within)(onListener())),
      /^within: expected a duration .*, found onListener$/
    )
    assert.strictEqual(
      say(() => untyped(Trigger.await)(undefined)),
      "Trigger.await: expected a trigger, found undefined"
    )
  })

  it("is-no-obstacle-where-it-is-what-was-meant", () => {
    assert.instanceOf(Everything.quiesce({ calmFor: "1 second" })(Everything.onListener()), Policy)
    assert.instanceOf(Everything.repeat(Everything.onListener(), { times: 2 }), Policy)
    assert.instanceOf(Everything.onListener().pipe(Everything.repeat()), Policy)
  })
})
