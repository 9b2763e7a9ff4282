import { describe, it } from "@effect/vitest"
import type { GuestEvent } from "@stillpoint/core"
import { sampleFiring } from "@stillpoint/core/testing"
import * as fc from "fast-check"
import { assert } from "vitest"
import { guestLanes } from "./guestLanes.ts"
import { jsonInPage, reportPage } from "./report.ts"
import type { ReportedRun } from "./ReportedRun.ts"
import { noRestores } from "../sandbox/Restores.ts"

const nasty = fc.constantFrom(
  "</script><script>alert(1)</script>",
  "<!--<script>",
  "]]>",
  `"'><img src=x onerror=alert(1)>`,
  "\u202e\u0000\u2028",
  "${x}",
  "$&$1"
)
const texts = fc.array(fc.oneof(nasty, fc.string({ unit: "binary" })), { minLength: 1, maxLength: 4 })

/** A run in which every text from outside is one of some texts. */
const runOf = (words: ReadonlyArray<string>): ReportedRun => {
  let next = 0
  const text = (): string => words[next++ % words.length] ?? ""
  const at = () => ({ seq: next, atNanos: next * 1000 })
  const events: ReadonlyArray<GuestEvent> = [
    { _tag: "EngineChosen", ...at(), engine: text(), requested: text(), reason: text() },
    { _tag: "SerialLine", ...at(), port: 0, text: text() },
    { _tag: "WorkloadPreExec", ...at(), argv: [text(), text()], holdNanos: null },
    { _tag: "ListenerBound", ...at(), protocol: "tcp", address: text(), port: 80 },
    { _tag: "UnixListenerBound", ...at(), path: text() },
    { _tag: "IoStarted", ...at(), device: text() },
    { _tag: "Custom", ...at(), name: text(), payload: { [text()]: text() } },
    { _tag: "GuestPanicked", ...at(), message: text() }
  ]
  const firing = sampleFiring(events[2] as GuestEvent)
  return {
    title: text(),
    runId: text(),
    events,
    firing: { ...firing, trigger: text(), waitedFor: text() },
    run: [
      { atMillis: 0, event: { _tag: "StageStarted", stage: text(), attempt: 1 } },
      { atMillis: 5, event: { _tag: "StageFinished", stage: text(), hostNanos: 5 } }
    ],
    stored: null,
    restores: noRestores
  }
}

/** The elements of a page and the names of their attributes; without what was put in between and into the attributes. */
const elementsOf = (page: string): ReadonlyArray<string> =>
  [...page.matchAll(/<[^>]*>/g)].map(([element]) => element.replace(/"[^"]*"/g, '""'))

describe("the page of a report", () => {
  it("has-the-same-elements-whatever-a-guest-writes", () => {
    const ofPlain = elementsOf(reportPage([runOf(["x"])]))
    assert.isAbove(ofPlain.length, 100)
    fc.assert(
      fc.property(texts, (words) => {
        assert.deepStrictEqual(elementsOf(reportPage([runOf(words)])), ofPlain)
      }),
      { numRuns: 60 }
    )
  })

  it("data-in-a-page-is-read-as-what-it-was-and-ends-no-element", () => {
    fc.assert(
      fc.property(texts, (words) => {
        const written = jsonInPage(words)
        assert.notInclude(written, "<")
        assert.deepStrictEqual(JSON.parse(written), words)
      })
    )
  })

  it("loads-nothing-and-runs-only-what-is-in-it", () => {
    const page = reportPage([runOf(["x"])])
    assert.notMatch(page, /<link|<img|<iframe|url\(|@import| (src|href)=/)
    assert.match(page, /default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[^']+'; base-uri 'none'/)
  })

  it("every-lane-has-the-events-of-its-kinds-in-their-order-and-no-other", () => {
    const { events } = runOf(["x"])
    const lanes = guestLanes([
      ...events,
      { _tag: "PagesDirtied", seq: 8, atNanos: 9e3, count: 7 },
      { _tag: "GuestIdle", seq: 9, atNanos: 9e3 },
      { _tag: "ListenerClosed", seq: 10, atNanos: 9e3, protocol: "tcp", address: "x", port: 80 }
    ])
    assert.deepStrictEqual(
      lanes.map(({ id, points }) => [id, points.map(({ value }) => value)]),
      [
        ["console", [1]],
        ["heartbeats", []],
        ["listeners", [1, 2, 1]],
        ["processor", [0]],
        ["io", [1]],
        ["network", []],
        ["commands", []],
        ["custom", [1]],
        ["dirty", [7]]
      ]
    )
  })
})
