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
          // What can be read can be written, and says the same.
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
        "policy, column 22: expected a duration such as 20ms, found 20",
        "  listener:8080 & calm 20 | after 10s",
        "                       ^"
      ].join("\n")
    )
    assert.include(failureOf("listner").message, "unknown trigger listner; did you mean listener")
    assert.include(failureOf("event GuestIdel").message, "GuestIdle")
    assert.include(failureOf("after 10q").message, "h, m, s, ms, us, ns")
    assert.include(failureOf("after 0.5ns").message, "whole nanoseconds")
    assert.deepStrictEqual(columnsOf(""), [1])
    assert.deepStrictEqual(columnsOf("(parked"), [8])
    assert.deepStrictEqual(columnsOf("parked parked"), [8])
    assert.deepStrictEqual(columnsOf("serial /[/"), [8])
    // What no trigger takes is told all at once.
    assert.deepStrictEqual(columnsOf("listener:0 | parked & calm 9s | heartbeat 0"), [1, 23, 33])
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
