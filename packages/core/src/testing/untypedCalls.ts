/**
 * Arguments that callers without types may pass, and the law that they are refused by name: for every package with functions.
 *
 * @module
 */
import { Cause, Effect, Exit, type Scope } from "effect"
import * as fc from "fast-check"

/** Anything that is of no use: values of every kind, and such as are nearly right somewhere. */
export const rubbish: fc.Arbitrary<unknown> = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withTypedArray: true }),
  fc.constantFrom<unknown>(
    undefined,
    null,
    Symbol("x"),
    () => Effect.void,
    Promise.resolve(1),
    Object.create(null),
    "1 second",
    "-1 second",
    "",
    "/s/\0",
    -1,
    1.5,
    1n,
    Number.NaN,
    Infinity,
    {},
    [],
    [undefined],
    [{ argv: [] }],
    [{ argv: [5] }],
    { when: "later" },
    { watch: { timeout: "soon" } },
    { watch: 5 },
    { within: "soon" },
    { within: {} },
    { path: 5 },
    { parent: 5 },
    { hostTimeout: {} },
    { identity: { entropy: 5 } },
    { identity: { hostname: "-" } },
    Effect.void
  )
)

/** A valid value with some parts replaced, or something else altogether. */
export const nearly = (
  right: Readonly<Record<string, unknown>>,
  names: ReadonlyArray<string> = []
): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 1, arbitrary: rubbish },
    {
      weight: 5,
      arbitrary: fc
        .array(fc.tuple(fc.constantFrom(...Object.keys(right), ...names, "noSuchOption"), rubbish), { maxLength: 2 })
        .map((changes) => ({ ...right, ...Object.fromEntries(changes) }))
    }
  )

/** The commonest: an argument that is left out, or something altogether else. */
const usuallyMisplaced: ReadonlyArray<unknown> = [undefined, null, Symbol("x"), 5, 5n, "x", true, () => 1, [], {}]

/** A function as a caller without types calls it; its result is not used. */
export type UntypedCall<R> = (...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown, R>

/**
 * With any arguments, a function succeeds or fails with a tagged error; it never dies. `given` are the values that the generated
 * arguments resemble; `misplaced` are put into the place of each of them in turn. Fails if nothing was refused.
 */
export const isDoneOrRefusedByName = <R>(
  call: UntypedCall<R | Scope.Scope>,
  given: ReadonlyArray<fc.Arbitrary<unknown>>,
  {
    misplaced = usuallyMisplaced,
    runs = 100
  }: { readonly misplaced?: ReadonlyArray<unknown>; readonly runs?: number } = {}
): Effect.Effect<void, never, Exclude<R, Scope.Scope>> =>
  Effect.gen(function* () {
    const right = fc.sample(fc.tuple(...given), misplaced.length * given.length)
    const calls = [
      ...misplaced.flatMap((value, at) =>
        given.map((_, place) => (right[at * given.length + place] ?? []).with(place, value))
      ),
      ...fc.sample(fc.tuple(...given), runs)
    ]
    let refused = 0
    for (const args of calls) {
      const exit = yield* Effect.exit(
        Effect.scoped(Effect.suspend(() => call(...(args as unknown as ReadonlyArray<never>))))
      )
      if (Exit.isSuccess(exit)) continue
      const found = Cause.squash(exit.cause)
      const isTagged = typeof found === "object" && found !== null && "_tag" in found
      if (Cause.hasDies(exit.cause) || !isTagged) {
        return yield* Effect.die(new Error(`called with ${fc.stringify(args)}: ${Cause.pretty(exit.cause)}`))
      }
      refused += 1
    }
    if (refused === 0) return yield* Effect.die(new Error("nothing was refused"))
  }) as Effect.Effect<void, never, Exclude<R, Scope.Scope>>
