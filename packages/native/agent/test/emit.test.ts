/**
 * The verdict of `stillpoint-emit` on an event is the host's.
 */
import { assert, describe, it, layer as withLayer } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { decodeEvents } from "../../src/binding/decodeEvents.ts"
import { loadAddon } from "../../src/binding/loadAddon.ts"
import { boot, layer, until } from "./testing/softGuest.ts"

const agentFolder = fileURLToPath(new URL("..", import.meta.url))
/** Each with up to a hundred events, judged by one process. */
const runs = Number(process.env["STILLPOINT_RUNS"] ?? 60)

interface Emitted {
  readonly name: Uint8Array
  readonly payload: Uint8Array
}

const counted = (content: Uint8Array): Uint8Array =>
  Buffer.concat([new Uint8Array(new Uint32Array([content.length]).buffer), content])

/** The guest's verdict on each. */
const judged = (events: ReadonlyArray<Emitted>): ReadonlyArray<boolean> => {
  const input = Buffer.concat(events.flatMap(({ name, payload }) => [counted(name), counted(payload)]))
  const { status, stderr, stdout } = spawnSync(`${agentFolder}/build/judge`, { input, encoding: "latin1" })
  assert.strictEqual(status, 0, stderr)
  return [...stdout].map((said) => said === "1")
}

/** The host's verdict on each. */
const taken = (addon: Effect.Success<typeof loadAddon>, events: ReadonlyArray<Emitted>): ReadonlyArray<boolean> =>
  events.map(({ name, payload }) => {
    const body = Buffer.concat([Buffer.from([0x0f]), counted(name), counted(payload)])
    const batch = addon.controlEvents(counted(body))
    let isTaken = false
    decodeEvents(batch.bytes, batch.firstSeq, batch.count, (event) => (isTaken ||= event._tag === "Custom"))
    return isTaken
  })

const digits = fc.oneof(
  fc.stringMatching(/^[0-9]{1,4}$/),
  fc.constantFrom(
    "0",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "17976931348623157",
    "17976931348623158"
  ),
  fc.tuple(fc.nat({ max: 400 }), fc.nat({ max: 20 })).map(([zeros, value]) => `${value}${"0".repeat(zeros)}`)
)

/** Numbers near every bound. */
const number = fc
  .tuple(
    fc.constantFrom("", "-", "+"),
    digits,
    fc.option(
      fc.oneof(
        digits,
        fc.nat({ max: 400 }).map((zeros) => `${"0".repeat(zeros)}1`)
      )
    ),
    fc.option(
      fc.tuple(
        fc.constantFrom("e", "E", "e+", "e-"),
        fc.oneof(fc.nat({ max: 20 }), fc.integer({ min: 280, max: 740 }), fc.constant("99999999999999999999"))
      )
    )
  )
  .map(
    ([sign, whole, fraction, exponent]) =>
      `${sign}${whole}${fraction === null ? "" : `.${fraction}`}${exponent === null ? "" : exponent.join("")}`
  )

/** Escapes and raw bytes, some of which are no characters. */
const text = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "\\n",
        "\\/",
        "\\x",
        "\\u00e9",
        "\\ud800",
        "\\udc00",
        "\\ud83d\\ude00",
        "\\uD83",
        "\t",
        "\0",
        '"'
      ),
      fc.string({ unit: "grapheme", maxLength: 3 })
    ),
    { maxLength: 5 }
  )
  .map((parts) => `"${parts.join("")}"`)

const json = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    number,
    text,
    fc.constantFrom(
      "null",
      "true",
      "fals",
      " 1 ",
      "[]",
      "{}",
      "[1,]",
      '{"a" : 1 , "a":2}',
      "{a:1}",
      '{"__proto__":[]}'
    ),
    fc.array(tie("value"), { maxLength: 3 }).map((items) => `[${items.join(",")}]`),
    fc.array(tie("value"), { maxLength: 3 }).map((items) => `{${items.map((item, at) => `"${at}":${item}`).join(",")}}`)
  )
})).value

const payload = fc.oneof(
  json.map((value) => Buffer.from(value)),
  fc
    .tuple(fc.integer({ min: 60, max: 68 }), fc.constantFrom("", "1", "{}", "[1e999]"), fc.boolean())
    .map(([depth, inner, isObject]) =>
      Buffer.from(
        isObject
          ? `${'{"a":'.repeat(depth)}${inner === "" ? 0 : inner}${"}".repeat(depth)}`
          : `${"[".repeat(depth)}${inner}${"]".repeat(depth)}`
      )
    ),
  fc.integer({ min: 32_760, max: 32_770 }).map((size) => Buffer.from(`"${"x".repeat(size - 2)}"`)),
  // A whole value with one byte changed.
  fc.tuple(json, fc.nat(), fc.nat({ max: 255 })).map(([value, at, byte]) => {
    const bytes = Buffer.from(value)
    if (bytes.length > 0) bytes[at % bytes.length] = byte
    return bytes
  })
)

const name = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9._:/-]{1,10}$/).map((value) => Buffer.from(value)),
  fc.constantFrom("", "-", "a b", "é", "n".repeat(64), "n".repeat(65), "a\0").map((value) => Buffer.from(value))
)

const event: fc.Arbitrary<Emitted> = fc.oneof(
  { weight: 4, arbitrary: payload.map((bytes) => ({ name: Buffer.from("cache.warm"), payload: bytes })) },
  { weight: 1, arbitrary: name.map((bytes) => ({ name: bytes, payload: Buffer.from("{}") })) }
)

describe("an event of a guest's program", () => {
  it("is-called-good-in-the-guest-if-and-only-if-the-host-takes-it", async () => {
    const made = spawnSync("make", ["-C", agentFolder, "--no-print-directory", "build/judge"], { encoding: "utf8" })
    assert.strictEqual(made.status, 0, made.stdout + made.stderr)
    const addon = await Effect.runPromise(loadAddon)
    const seen = { good: 0, bad: 0 }
    fc.assert(
      fc.property(fc.array(event, { minLength: 10, maxLength: 100 }), (events) => {
        const [said, done] = [judged(events), taken(addon, events)]
        for (const [at, is] of said.entries()) {
          seen[is ? "good" : "bad"] += 1
          const of = events[at]
          assert.strictEqual(is, done[at], `${of?.name.toString()} ${of?.payload.toString().slice(0, 100)}`)
        }
      }),
      { numRuns: runs }
    )
    assert.isAbove(Math.min(seen.good, seen.bad), 4 * runs)
  })

  withLayer(layer, { excludeTestServices: true })((test) => {
    test.effect("that-emit-ends-well-for-arrives-and-no-other", () =>
      Effect.gen(function* () {
        const machine = yield* boot({})
        yield* until(machine, "AgentReady")
        const payloads = [
          "{}",
          "1e999",
          "9007199254740993",
          "9007199254740991",
          '"\\ud800"',
          "1e308",
          "[1,]",
          "",
          '"é"'
        ]
        const codes: Array<number | null> = []
        for (const [at, value] of payloads.entries()) {
          codes.push((yield* machine.exec({ argv: ["stillpoint-emit", `n${at}`, value] })).code)
        }
        assert.deepStrictEqual(codes, [0, 1, 1, 0, 1, 0, 1, 1, 0])
        yield* machine.run({ budgetNanos: 1e9 })
        const events = yield* machine.eventsSoFar()
        assert.deepStrictEqual(
          events.flatMap((each) => (each._tag === "Custom" ? [each.name] : [])),
          ["n0", "n3", "n5", "n8"]
        )
        assert.notInclude(
          events.map((each) => each._tag),
          "AgentRejected"
        )
      })
    )
  })
})
