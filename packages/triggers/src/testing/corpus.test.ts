import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { decodeTimeline, encodeTimeline, type RecordedTimeline, timelineVersion } from "@stillpoint/core"
import { assert, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import { replay, replayAll } from "../deciding/replayPolicy.ts"
import { catalogue, readCorpus } from "./corpus.ts"
import { decisionJson } from "./decisions.ts"
import { lawsOfTheAlgebra } from "./builtinLaws.ts"
import { longestLawMillis } from "./TriggerLaw.ts"
import { decideLive } from "./liveDecision.ts"

const directory = fileURLToPath(new URL("../../../../fixtures/timelines/", import.meta.url))
const goldenPath = `${directory}decisions.golden.json`
const corpus = readCorpus(directory)

/** A duration to three decimals: the table is one of decisions, and not of how they are told. */
const cut = (nanos: number): string => {
  const [unit, name] = nanos >= 1e9 ? [1e9, "s"] : nanos >= 1e6 ? [1e6, "ms"] : nanos >= 1e3 ? [1e3, "µs"] : [1, "ns"]
  return `${Math.trunc(nanos / (unit / 1000)) / 1000} ${name}`
}

/** A decision as one line of the table. */
const told = (name: string, timeline: RecordedTimeline): string => {
  const policy = catalogue[name]
  if (policy === undefined) return "unknown"
  const { end, firings } = replayAll(policy, timeline)
  const first = firings[0]
  if (first === undefined)
    return `no firing: ${end?.reason._tag ?? ""}${end?.reason._tag === "GuestEnded" ? ` ${end.reason.how}` : ""}`
  const cause =
    first.cause._tag === "Event" ? `event ${first.cause.event.seq} ${first.cause.event._tag}` : first.cause._tag
  const calm = first.quiesce === null ? "" : `, ${first.quiesce.verdict} after ${cut(first.quiesce.waitedNanos)}`
  const more = firings.length === 1 ? "" : `, ${firings.length} firings`
  return `${first.trigger} at ${first.atNanos} ns on ${cause}${calm}${more}`
}

const table = (): Readonly<Record<string, Readonly<Record<string, string>>>> =>
  Object.fromEntries(
    Object.keys(catalogue).map((policy) => [
      policy,
      Object.fromEntries(corpus.map(({ name, timeline }) => [name, told(policy, timeline)]))
    ])
  )

describe("recorded boots", () => {
  it("there-are-at-least-twelve-and-each-says-what-it-proves", () => {
    assert.isAtLeast(corpus.length, 12)
    for (const { name, timeline } of corpus) {
      assert.strictEqual(timeline.header.configuration["name"], name)
      assert.isString(timeline.header.configuration["proves"])
      assert.isNotNull(timeline.end, name)
    }
  })

  it("every-policy-decides-every-recording-as-the-golden-table-says", () => {
    const found = table()
    if (process.env["STILLPOINT_WRITE_GOLDEN"] === "1" || !existsSync(goldenPath)) {
      writeFileSync(goldenPath, `${JSON.stringify(found, null, 2)}\n`)
    }
    assert.deepStrictEqual(found, JSON.parse(readFileSync(goldenPath, "utf8")))
  })

  it.effect("every-policy-decides-live-what-its-replay-decides", () =>
    Effect.forEach(
      corpus,
      ({ timeline }) =>
        Effect.forEach(Object.values(catalogue), (policy) =>
          Effect.map(decideLive(policy, timeline), ({ decision }) => {
            assert.deepStrictEqual(decisionJson(decision), decisionJson(replay(policy, timeline)))
          })
        ),
      { discard: true }
    )
  )

  it("a-recording-is-written-as-it-was-read-and-an-older-one-in-the-present-form", () => {
    for (const { name, timeline } of corpus) {
      const file = readFileSync(`${directory}${name}.ndjson`)
      const written = Buffer.from(encodeTimeline(timeline))
      const { version } = JSON.parse(file.subarray(0, file.indexOf("\n")).toString()) as { readonly version: number }
      if (version === timelineVersion) assert.deepStrictEqual(written, file, name)
      else assert.deepStrictEqual(Result.getOrThrow(decodeTimeline(written)), timeline, name)
    }
  })

  it("a-damaged-copy-is-refused-with-its-line", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...corpus),
        fc.nat(),
        fc.constantFrom("drop", "garble", "repeat"),
        ({ timeline }, at, damage) => {
          const lines = new TextDecoder().decode(encodeTimeline(timeline)).trimEnd().split("\n")
          const line = 1 + (at % (timeline.events.length - 1))
          if (damage === "drop") lines.splice(line, 1)
          else if (damage === "repeat") lines.splice(line, 0, lines[line] ?? "")
          else lines[line] = (lines[line] ?? "").replace("{", "[")
          const read = decodeTimeline(new TextEncoder().encode(`${lines.join("\n")}\n`))
          if (Result.isSuccess(read)) return assert.fail("read")
          const { reason } = read.failure
          assert.strictEqual(reason._tag, damage === "garble" ? "Garbage" : "OutOfOrder")
          if (reason._tag === "Garbage" || reason._tag === "OutOfOrder") {
            assert.strictEqual(reason.line, damage === "repeat" ? line + 2 : line + 1)
          }
        }
      ),
      { numRuns: 200 }
    )
  })
})

// A recorded boot is some hundred events long; a prefix of one is as good a timeline, and shrinks.
const recorded = fc.tuple(fc.constantFrom(...corpus), fc.nat(), fc.nat(60)).map(([{ timeline }, from, length]) => {
  const start = from % timeline.events.length
  const events = timeline.events.slice(start, start + length + 1)
  return { events, end: { atNanos: (events.at(-1)?.atNanos ?? 0) + 1000, reason: "time" as const } }
})

describe("laws of the algebra, over recorded timelines", () => {
  for (const law of lawsOfTheAlgebra({ timelines: recorded })) it.effect(law.name, () => law.check, longestLawMillis())
})
