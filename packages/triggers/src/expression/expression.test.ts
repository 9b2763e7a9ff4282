import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import {
  filter,
  firstOf,
  onListener,
  onPreExec,
  parsePolicy,
  type PolicySyntaxError,
  precedence,
  printPolicy
} from "../index.ts"
import { nearlyExpression, writablePolicy } from "../testing/expressions.ts"
import { tokenAt } from "./tokens.ts"

const failureOf = (text: string): PolicySyntaxError => {
  const parsed = parsePolicy(text)
  assert.isTrue(Result.isFailure(parsed), `${text} was read`)
  return Result.isFailure(parsed) ? parsed.failure : assert.fail()
}

describe("a policy as an expression", () => {
  it("what-is-printed-is-read-as-the-same-policy", () => {
    fc.assert(
      fc.property(writablePolicy, (policy) => {
        const text = Result.getOrThrow(printPolicy(policy))
        assert.deepStrictEqual(Result.getOrThrow(parsePolicy(text)).description, policy.description, text)
      })
    )
  })

  it("every-error-of-any-text-has-a-column-within-it", () => {
    let refused = 0
    let read = 0
    fc.assert(
      fc.property(nearlyExpression, (text) => {
        const parsed = parsePolicy(text)
        if (Result.isSuccess(parsed)) {
          read += 1
          // A parsed expression can be printed, and means the same.
          const written = Result.getOrThrow(printPolicy(parsed.success))
          assert.deepStrictEqual(Result.getOrThrow(parsePolicy(written)).description, parsed.success.description)
          return
        }
        refused += 1
        for (const { column, message } of parsed.failure.problems) {
          assert.isAtLeast(column, 1)
          assert.isAtMost(column, text.length + 1)
          assert.isNotEmpty(message)
        }
        // Each problem has one line that is pointed at, whatever the text holds.
        assert.strictEqual(parsed.failure.message.split("\n").length, 3 * parsed.failure.problems.length)
      }),
      { examples: [["never"], ["listener:0 | heartbeat 0"]] }
    )
    assert.isAbove(refused, 0)
    assert.isAbove(read, 0)
  })

  it("each-part-that-is-wrong-is-told-and-nothing-else", () => {
    const right = fc.constantFrom(
      "parked",
      "after 5s",
      '(listener:80 | serial "(") within 2s',
      "served:80 3 & calm 5ms"
    )
    /** A part, and where in it what is wrong with it stands. */
    const wrong = fc.constantFrom<readonly [string, ...ReadonlyArray<number>]>(
      ["listner:80", 0],
      ["listener:0", 9],
      ["listener:0 within soon", 9, 18],
      ["after 10q", 6],
      ["heartbeat many", 10],
      ["serial /(/", 7],
      ["parked parked idle", 7],
      ["idle (parked | never) 5ms", 5],
      ["(parked idle)", 8],
      ["? ? ?", 0],
      ['"parked"', 0],
      ["event GuestIdel", 6],
      ["within 5s", 0],
      ["", 0],
      ["parked & calm soon", 14],
      ["parked & calm 9s", 14],
      ["dirty-below 0 over 0ns", 12, 19],
      ["served:0 0", 7, 9],
      ["listener:0 within 2s", 9]
    )
    const part = fc.oneof(
      right.map((text): readonly [string, ...ReadonlyArray<number>] => [text]),
      wrong
    )
    type Parts = { readonly text: string; readonly wrongAt: ReadonlyArray<number> }
    const { whole } = fc.letrec<{ whole: Parts; one: Parts }>((tie) => ({
      one: fc.oneof(
        { maxDepth: 3 },
        part.map(([text, ...wrongAt]): Parts => ({ text, wrongAt })),
        tie("whole").map(({ text, wrongAt }): Parts => ({ text: `(${text})`, wrongAt: wrongAt.map((at) => at + 1) }))
      ),
      whole: fc
        .tuple(fc.array(tie("one"), { minLength: 1, maxLength: 4 }), fc.constantFrom("|", " | ", " then ", " & "))
        .map(([parts, sign]) =>
          parts.slice(1).reduce(
            (all, { text, wrongAt }): Parts => {
              const before = all.text.length + sign.length
              return { text: all.text + sign + text, wrongAt: [...all.wrongAt, ...wrongAt.map((at) => at + before)] }
            },
            parts[0] ?? { text: "", wrongAt: [] }
          )
        )
    }))
    fc.assert(
      fc.property(whole, ({ text, wrongAt }) => {
        const parsed = parsePolicy(text)
        const columns = Result.isSuccess(parsed) ? [] : parsed.failure.problems.map(({ column }) => column)
        // A missing part before a sign is reported at the sign.
        const expected = wrongAt.map((at) => at + 1 + (/^\s*/.exec(text.slice(at))?.[0].length ?? 0))
        assert.deepStrictEqual(columns, expected, text)
      })
    )
  })

  it("a-mistyped-word-is-pointed-at-and-the-right-one-is-suggested", () => {
    /** The words of an expression, and where they stand. */
    const wordsOf = (text: string): ReadonlyArray<{ readonly at: number; readonly text: string }> => {
      const words: Array<{ readonly at: number; readonly text: string }> = []
      for (let token = tokenAt(text, 0); token.kind !== "end"; token = tokenAt(text, token.at + token.text.length))
        if (token.kind === "word") words.push({ at: token.at, text: token.text })
      return words
    }
    const slips: ReadonlyArray<(word: string, at: number) => string> = [
      (word, at) => word.slice(0, at) + word.slice(at + 1),
      (word, at) => word.slice(0, at) + word.charAt(at) + word.slice(at),
      (word, at) => word.slice(0, at) + word.charAt(at + 1) + word.charAt(at) + word.slice(at + 2)
    ]
    const tried = new Set<string>()
    fc.assert(
      fc.property(writablePolicy, fc.nat(), fc.nat(), fc.constantFrom(...slips), (policy, which, place, slip) => {
        const text = Result.getOrThrow(printPolicy(policy))
        const words = wordsOf(text)
        const word = words[which % words.length] ?? assert.fail()
        const mistyped = slip(word.text, place % word.text.length)
        // Of a word that is still one, or too short to be told from others, nothing is promised.
        const known = words.some((one) => one.text === mistyped) || ["ask", "on"].includes(mistyped)
        if (word.text.length < 3 || known || mistyped === word.text || /^-|-$|--/.test(mistyped)) return
        tried.add(word.text)
        const { problems } = failureOf(text.slice(0, word.at) + mistyped + text.slice(word.at + word.text.length))
        const told = problems.find(({ column }) => column === word.at + 1)
        assert.match(told?.message ?? "", new RegExp(`; did you mean ${word.text}$`), `${mistyped} in ${text}`)
      })
    )
    assert.isAbove(tried.size, 15)
  })

  it("brackets-and-signs-bind-as-the-grammar-says", () => {
    const name = (text: string) => Result.getOrThrow(parsePolicy(text)).name
    assert.strictEqual(
      name("listener:8080 & calm 20ms | after 10s"),
      "precedence(quiesce(onListener(port 8080), 20 ms), afterGuestTime(10 s))"
    )
    assert.strictEqual(
      name(`pre-exec then (parked | idle) within 2s & serial /ready/`),
      "andThen(onPreExec, allOf(within(precedence(onParked, onIdle(10 ms)), 2 s), onSerialMatch(/ready/)))"
    )
    assert.strictEqual(
      name("parked & pre-exec & calm 5ms deadline 1.5s else capture & never"),
      "allOf(quiesce(allOf(onParked, onPreExec), 5 ms), never)"
    )
  })

  it("an-error-says-what-was-expected-and-found-and-points-at-it", () => {
    const columnsOf = (text: string) => failureOf(text).problems.map(({ column }) => column)
    assert.strictEqual(
      failureOf("listener:8080 & calm 20 | after 10s").message,
      [
        "policy, column 22: expected a duration such as 20ms (units: h, m, s, ms, us, ns), found 20",
        "  listener:8080 & calm 20 | after 10s",
        "                       ^"
      ].join("\n")
    )
    assert.include(failureOf("listner").message, "unknown trigger listner; did you mean listener")
    for (const [text, says] of [
      ["listener & clam 20ms", "column 12: unknown trigger clam; did you mean calm"],
      ["listener calm 20ms", "found calm; did you mean & calm"],
      ["listener and calm 20ms", "found and; did you mean &"],
      ["parked or after 3s", "found or; did you mean |"],
      ["listener 8080", "found 8080; did you mean :8080"],
      ["calm 20ms", 'expected a trigger before it, as in "listener & calm 20ms", found calm'],
      ["event GuestIdel", "column 7: onEvent: unknown event kind GuestIdel; did you mean GuestIdle"]
    ] as const)
      assert.include(failureOf(text).message, says)
    assert.include(failureOf("after 10q").message, "h, m, s, ms, us, ns")
    assert.include(failureOf("after 0.5ns").message, "whole nanoseconds")
    assert.deepStrictEqual(columnsOf(""), [1])
    assert.deepStrictEqual(columnsOf("(parked"), [8])
    assert.deepStrictEqual(columnsOf("parked parked"), [8])
    // It is unknown whether a bracket is closed behind an unterminated quotation.
    assert.deepStrictEqual(columnsOf('(after 5 | (custom "x | parked)'), [8, 20])
    assert.deepStrictEqual(columnsOf("parked)) | listner"), [7, 12])
    assert.deepStrictEqual(columnsOf("serial /[/"), [8])
    // Arguments that no trigger accepts are all reported at once.
    assert.deepStrictEqual(columnsOf("listener:0 | parked & calm 9s | heartbeat 0"), [10, 28, 43])
    assert.deepStrictEqual(columnsOf("(".repeat(91)), [91])
    assert.deepStrictEqual(columnsOf(`parked${" within 1s".repeat(200)}`), [1])
    assert.deepStrictEqual(columnsOf(" ".repeat(20_000)), [16_385])
    const long = failureOf(`${"parked | ".repeat(300)}?`).message.split("\n")
    assert.strictEqual(long[1]?.charAt(long[2]?.indexOf("^") ?? -1), "?")
  })

  it("a-part-without-words-is-named-with-its-place", () => {
    const unwritable = precedence([onPreExec(), filter(onListener(), "low-port", () => true)])
    const printed = printPolicy(unwritable)
    assert.deepStrictEqual(Result.isFailure(printed) ? printed.failure.path : [], ["of", 1])
    assert.isTrue(Result.isFailure(printPolicy(firstOf([onPreExec(), onListener()]))))
  })
})
