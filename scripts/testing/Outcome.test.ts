import { assert, it } from "vitest"
import { CargoOutput } from "./CargoOutput.ts"
import { Outcome } from "./Outcome.ts"
import { outcomeOf } from "./vitestReport.ts"

const ofCargo = (text: string): CargoOutput => {
  const output = new CargoOutput()
  for (const line of text.split("\n")) output.take(line)
  return output
}

const cargo = `
running 4 tests
.
successes:

---- plain::lacks stdout ----
skipped: no such device

---- plain::speaks stdout ----
hello
skipped to the end

successes:
    plain::lacks
    plain::speaks

failures:

---- uart::keeps_a_byte stdout ----

thread 'uart::keeps_a_byte' (4711) panicked at crates/vmm/src/uart.rs:12:5:
assertion \`left == right\` failed
  left: 1
 right: 2
note: run with \`RUST_BACKTRACE=1\` environment variable to display a backtrace

---- uart::second stdout ----

thread 'uart::second' panicked at crates/vmm/src/uart.rs:20:5:
boom


failures:
    uart::keeps_a_byte
    uart::second

test result: FAILED. 2 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
`

it("of-cargo-it-is-told-which-tests-failed-what-they-said-and-what-was-skipped", () => {
  const { outcome } = ofCargo(cargo)
  assert.deepStrictEqual([outcome.passed, outcome.skipped, outcome.skips], [
    1,
    2,
    ["plain::lacks: no such device"]
  ] as unknown)
  assert.deepStrictEqual(
    outcome.failures.map(({ said, test }) => [test, said.slice(0, 2)]),
    [
      ["uart::keeps_a_byte", ["panicked at crates/vmm/src/uart.rs:12:5:", "assertion `left == right` failed"]],
      ["uart::second", ["panicked at crates/vmm/src/uart.rs:20:5:", "boom"]]
    ]
  )
})

it("a-test-that-skips-is-counted-once-and-one-that-counts-a-part-has-passed", () => {
  const { outcome } = ofCargo(`
successes:

---- laws::all stdout ----
counted: engine soft keeps 9 of 9 laws
skipped: engine kvm cannot be used here
skipped: laws that do not apply

---- tools::two stdout ----
skipped: no tar
skipped: no skopeo


successes:
    laws::all
    tools::two

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
`)
  assert.deepStrictEqual([outcome.passed, outcome.skipped, outcome.skips.length], [1, 1, 4])
  assert.deepStrictEqual(outcome.told, ["engine soft keeps 9 of 9 laws"])
})

it("what-passing-tests-say-is-not-shown", () => {
  const output = new CargoOutput()
  const shown = cargo.split("\n").filter((line) => output.take(line))
  assert.notInclude(shown.join("\n"), "hello")
  assert.include(shown.join("\n"), "boom")
  assert.include(shown.join("\n"), "test result: FAILED")
})

it("of-vitest-it-is-told-which-tests-failed-which-files-did-not-load-and-where", () => {
  const outcome = outcomeOf(
    {
      numPassedTests: 3,
      testResults: [
        {
          name: "/root/packages/a.test.ts",
          status: "failed",
          message: "",
          assertionResults: [
            { fullName: "a holds", status: "passed", failureMessages: [], meta: { told: "7 points, 0 failures" } },
            { fullName: "a lacks (skipped: no kvm)", status: "skipped", failureMessages: [] },
            {
              fullName: "a breaks",
              status: "failed",
              failureMessages: [
                "\u001B[31mAssertionError: expected 1 to equal 2\u001B[39m\n    at node_modules/chai.js:1:1\n    at /root/packages/a.test.ts:7:3"
              ]
            }
          ]
        },
        { name: "/root/b.test.ts", status: "failed", message: "Cannot find module 'x'", assertionResults: [] }
      ]
    },
    "/root/"
  )
  assert.deepStrictEqual(outcome.failures, [
    {
      test: "packages/a.test.ts › a breaks",
      said: ["AssertionError: expected 1 to equal 2", "at packages/a.test.ts:7:3"]
    },
    { test: "b.test.ts", said: ["Cannot find module 'x'"] }
  ])
  assert.deepStrictEqual(outcome.skips, ["packages/a.test.ts: a lacks (skipped: no kvm)"])
  assert.include(outcome.report(), "counted:\n  7 points, 0 failures\n")
})

it("the-last-forty-lines-name-what-failed-however-much-was-skipped-or-failed", () => {
  for (const failed of [1, 3, 20, 36, 37, 500]) {
    const outcome = new Outcome()
    outcome.skips.push(...Array.from({ length: 100 }, (_, index) => `skip ${index}: why`))
    for (let index = 0; index < failed; index++) {
      const said = Array.from({ length: 50 }, (__, line) => `line ${line} of ${index} ${"x".repeat(1000)}`)
      outcome.failures.push({ test: `test ${index}`, said })
    }
    const lines = outcome.report().trimEnd().split("\n")
    const last = lines.slice(-40)
    const named = last.filter((line) => /^ {2}test \d+$/.test(line))
    assert.strictEqual(named.length, failed <= 36 ? failed : 35)
    assert.include(last, "failed:")
    if (failed <= 18)
      for (let index = 0; index < failed; index++) assert.include(last.join("\n"), `line 0 of ${index} `)
    assert.strictEqual(last.includes(`  and ${failed - 35} more, above`), failed > 36)
    assert.strictEqual(lines.at(-1), `0 passed, ${failed} failed, 0 skipped`)
    assert.isBelow(Math.max(...lines.map((line) => line.length)), 260)
  }
})

it("nothing-executed-is-not-good-nor-is-a-failure", () => {
  const outcome = new Outcome()
  assert.isFalse(outcome.isGood)
  outcome.passed = 1
  assert.isTrue(outcome.isGood)
  outcome.failures.push({ test: "one", said: [] })
  assert.isFalse(outcome.isGood)
})
