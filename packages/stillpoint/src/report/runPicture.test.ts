import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { runPhases, type RunHistory } from "@stillpoint/core"
import { runPicture } from "./runPicture.ts"

const words = fc.oneof(
  fc.constantFrom("boot", "watch", "a stage with a long name of its own"),
  fc.string({ unit: "binary" })
)
const instant = fc.nat({ max: 100_000 })
const timelines: fc.Arbitrary<RunHistory> = fc.record({
  runId: words,
  phases: fc
    .array(fc.tuple(fc.constantFrom(...runPhases), instant), { maxLength: 8 })
    .map((spans) => spans.toSorted(([, one], [, two]) => one - two))
    .map((spans) =>
      spans.map(([phase, fromMillis], index) => ({ phase, fromMillis, toMillis: spans[index + 1]?.[1] ?? null }))
    ),
  stages: fc.array(
    fc
      .record({
        stage: words,
        attempts: fc.nat({ max: 3 }),
        fromMillis: instant,
        lasts: fc.option(instant),
        outcome: fc.constantFrom("running", "finished", "failed")
      })
      .map(({ lasts, ...span }) => ({ ...span, toMillis: lasts === null ? null : span.fromMillis + lasts })),
    { maxLength: 6 }
  ),
  guest: fc.array(
    fc.record({
      atNanos: fc.oneof(fc.nat(), fc.maxSafeNat()),
      what: fc.constantFrom("booted", "fired", "frozen", "captured"),
      label: words
    }),
    { maxLength: 5 }
  )
})

/** Reads what the picture writes, and nothing else: elements, attributes in double quotes, escaped text. */
const parse = (svg: string) => {
  const texts: Array<string> = []
  const attributes: Array<readonly [name: string, value: string]> = []
  const open: Array<string> = []
  const token = /<(\/?)([a-z]+)((?: [a-zA-Z0-9-]+="[^"<>&]*(?:&#\d+;[^"<>&]*)*")*)(\/?)>|([^<>]+)/gy
  let at = 0
  while (at < svg.length) {
    token.lastIndex = at
    const found = token.exec(svg)
    assert.isNotNull(found, `not well-formed at ${svg.slice(at, at + 80)}`)
    if (found === null) break
    const [whole, closing, name = "", written = "", alone, content] = found
    at += whole.length
    if (content !== undefined) {
      assert.notMatch(content, /&(?!#\d+;)/)
      texts.push(content.replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code))))
    } else if (closing === "/") assert.strictEqual(open.pop(), name)
    else {
      for (const [, key = "", value = ""] of written.matchAll(/ ([a-zA-Z0-9-]+)="([^"]*)"/g))
        attributes.push([key, value])
      if (alone === "") open.push(name)
    }
  }
  assert.deepStrictEqual(open, [])
  return { texts, attributes }
}

describe("the picture of a run", () => {
  it("is-well-formed-and-within-its-frame-for-every-timeline-and-names-everything-in-it", () => {
    fc.assert(
      fc.property(timelines, (timeline) => {
        const { attributes, texts } = parse(runPicture(timeline))
        const places = attributes.filter(([name]) => /^(x|x1|x2|cx|y|y1|y2|cy|width|height)$/.test(name))
        for (const [name, value] of places) {
          assert.isTrue(Number(value) >= 0, `${name}="${value}"`)
          if (name.includes("x") || name === "width") assert.isTrue(Number(value) <= 960, `${name}="${value}"`)
        }
        const written = texts.join("\n")
        for (const { what } of timeline.guest) assert.include(written, what)
        for (const { phase } of timeline.phases) assert.include(written, phase)
        for (const { stage } of timeline.stages) if (/^[a-z]+$/.test(stage)) assert.include(written, stage)
      }),
      { numRuns: 500 }
    )
  })

  it("says-what-was-tried-again-and-what-failed", () => {
    const { texts } = parse(
      runPicture({
        runId: "r",
        phases: [
          { phase: "booting", fromMillis: 0, toMillis: 1_500 },
          { phase: "failed", fromMillis: 1_500, toMillis: null }
        ],
        stages: [{ stage: "boot", attempts: 3, fromMillis: 0, toMillis: 1_500, outcome: "failed" }],
        guest: []
      })
    )
    assert.includeMembers(texts, ["run r", "failed", "boot", "1.50 s, 3 attempts, failed"])
  })
})
