/**
 * Arbitraries for policies that can be written as expressions, and for texts that are nearly one.
 *
 * @module
 */
import * as fc from "fast-check"
import { afterGuestTime } from "../builtin/afterGuestTime.ts"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { never } from "../builtin/never.ts"
import { onConnection } from "../builtin/onConnection.ts"
import { eventNamePattern } from "../argument.ts"
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
import { eventKinds } from "../automaton/eventKinds.ts"
import { allOf } from "../combinators/allOf.ts"
import { andThen } from "../combinators/andThen.ts"
import { atLatest } from "../combinators/atLatest.ts"
import { debounce } from "../combinators/debounce.ts"
import { precedence } from "../combinators/precedence.ts"
import { quiesce } from "../combinators/quiesce.ts"
import { within } from "../combinators/within.ts"
import { horizonNanos } from "../guestDuration.ts"
import type { Policy } from "../Policy.ts"

const nanos = fc.oneof(
  fc.constantFrom(0n, 1n, 20_000_000n, 1_500_000_000n, 60_000_000_000n, 7_200_000_000_000n),
  fc.bigInt({ min: 0n, max: BigInt(horizonNanos) })
)
const text = fc.oneof(fc.string({ unit: "binary", maxLength: 12 }), fc.constantFrom('"', "\\", "a / b", "| & (", "\n"))
const expression = fc.constantFrom(/ready/, /ready in \d+ ms/i, /[/]etc\//, /a\/b|c/, /"\\/, /[\]/[]/, /^$/g, /\n/)

const pattern: fc.Arbitrary<string | RegExp> = fc.oneof(text, expression)

const present = <A extends object>(record: A): { [K in keyof A]: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as never

const port = fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined })

const leaf: fc.Arbitrary<Policy> = fc.oneof(
  fc.constantFrom(never, onPreExec(), onParked()),
  fc
    .record({
      port,
      protocol: fc.constantFrom("tcp" as const, "udp" as const, undefined),
      address: fc.option(text, { nil: undefined }),
      counts: fc.constantFrom("listening" as const, undefined)
    })
    .map((filter) => onListener(present(filter))),
  fc
    .record({ port, direction: fc.constantFrom("inward" as const, "outward" as const) })
    .map((filter) => onConnection(present(filter))),
  fc
    .tuple(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), fc.record({ port }))
    .map(([count, filter]) => onRequestServed(count, present(filter))),
  nanos.map(afterGuestTime),
  nanos.map(onIdle),
  fc.tuple(pattern, fc.nat(3)).map(([one, port]) => onSerialMatch(one, { port })),
  fc.tuple(expression, fc.nat(3)).map(([one, port]) => onSerialText(one, { port })),
  fc
    .tuple(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), fc.boolean())
    .map(([count, console]) => atHeartbeat(count, { console })),
  fc.stringMatching(eventNamePattern).map((name) => onCustom(name)),
  fc.constantFrom(...eventKinds).map(onEvent),
  fc
    .tuple(
      fc.double({ min: Number.MIN_VALUE, noNaN: true, noDefaultInfinity: true }),
      nanos.filter((one) => one > 0n)
    )
    .map(([rate, window]) => onDirtyRateBelow(rate, window))
)

const settings = fc.record({
  calmFor: fc.bigInt({ min: 0n, max: 5_000_000_000n }),
  spare: fc.option(fc.bigInt({ min: 0n, max: 10_000_000_000n })),
  onDeadline: fc.constantFrom("capture" as const, "abandon" as const, "fail" as const),
  agent: fc.constantFrom("auto" as const, "ask" as const, "none" as const)
})

/** A policy of any shape that has an expression. */
export const writablePolicy: fc.Arbitrary<Policy> = fc.letrec<{ node: Policy }>((tie) => {
  const inner = tie("node")
  const several = fc.array(inner, { minLength: 2, maxLength: 3 })
  return {
    node: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      leaf,
      several.map(precedence),
      several.map(allOf),
      fc.tuple(inner, inner).map(([first, second]) => andThen(first, second)),
      fc.tuple(inner, nanos).map(([one, duration]) => within(one, duration)),
      fc.tuple(inner, nanos).map(([one, duration]) => atLatest(one, duration)),
      fc.tuple(inner, nanos).map(([one, duration]) => debounce(one, duration)),
      fc
        .tuple(inner, settings)
        .map(([one, { spare, ...options }]) =>
          quiesce(one, { ...options, deadline: spare === null ? "none" : options.calmFor + spare })
        )
    )
  }
}).node

const words =
  'pre-exec listener : 80 8080 tcp on open & | ( ) calm 20ms 1.5s deadline none else capture fail after idle serial /x/ "x" heartbeat 3 within then at-latest debounce custom event GuestIdle dirty-below over connection outward served parked never -1 / " [ \u{1F600} 0ns 99h 1e9 listner'.split(
    " "
  )

/** Words of the language in any order, and anything else. */
export const nearlyExpression: fc.Arbitrary<string> = fc.oneof(
  fc.array(fc.constantFrom(...words), { maxLength: 12 }).map((some) => some.join(" ")),
  fc.array(fc.constantFrom(...words), { maxLength: 8 }).map((some) => some.join("")),
  fc.string({ unit: "binary", maxLength: 40 })
)
