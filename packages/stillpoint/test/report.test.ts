/// <reference lib="dom" />
/** The page of a report in a browser: what it shows is what was recorded, for everybody, and nothing of a guest's runs in it. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { decodeTimeline, type GuestEvent, guestTimeInWords } from "@stillpoint/core"
import { onListener, quiesce, Trigger } from "@stillpoint/triggers"
import { Result } from "effect"
import { type Browser, chromium, type Page } from "playwright-core"
import { type ReportedRun, reportedRecording, reportPage } from "stillpoint"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

const browsers = ["/usr/bin/chromium", "/usr/bin/chromium-browser"]
const browserPath = browsers.find((path) => existsSync(path))
const why = browserPath === undefined ? " (skipped: Chromium is not installed)" : ""
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js")

const recorded = (name: string): ReadonlyArray<GuestEvent> => {
  const path = new URL(`../../../fixtures/timelines/${name}.ndjson`, import.meta.url)
  return Result.getOrThrow(decodeTimeline(readFileSync(path))).events
}

const decided = (): ReportedRun => {
  const run = reportedRecording("slow service", { events: recorded("slow-service") })
  const firing = Result.getOrThrow(Trigger.replay(quiesce(onListener(), { calmFor: "5 millis", agent: "none" }), run))
  return { ...run, firing }
}

const ofKind = (events: ReadonlyArray<GuestEvent>, ...kinds: ReadonlyArray<GuestEvent["_tag"]>) =>
  events.filter(({ _tag }) => kinds.includes(_tag))

describe.skipIf(browserPath === undefined)(`the page of a report in Chromium${why}`, () => {
  let browser: Browser
  const folder = mkdtempSync(join(tmpdir(), "stillpoint-report-"))
  beforeAll(async () => {
    // Chromium has no sandbox for root; the pages are our own.
    const args = process.getuid?.() === 0 ? ["--no-sandbox"] : []
    browser = await chromium.launch({ ...(browserPath === undefined ? {} : { executablePath: browserPath }), args })
  })
  afterAll(async () => {
    await browser?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  /** A page, what it complained of, and what it asked for. */
  const open = async (
    runs: ReadonlyArray<ReportedRun>,
    options: { readonly scheme?: "dark" | "light"; readonly bypassCSP?: boolean } = {}
  ) => {
    const file = join(folder, `${runs.length}.html`)
    writeFileSync(file, reportPage(runs))
    const context = await browser.newContext({
      colorScheme: options.scheme ?? "light",
      bypassCSP: options.bypassCSP ?? false,
      viewport: { width: 1280, height: 900 }
    })
    const page = await context.newPage()
    const troubles: Array<string> = []
    page.on("console", (message) => void troubles.push(message.text()))
    page.on("pageerror", (error) => void troubles.push(error.message))
    page.on("dialog", (dialog) => {
      troubles.push(dialog.message())
      void dialog.dismiss()
    })
    page.on("request", (request) => {
      if (request.url() !== pathToFileURL(file).href) troubles.push(request.url())
    })
    await page.goto(pathToFileURL(file).href)
    return { page, troubles, close: () => context.close() }
  }

  const shown = (page: Page): Promise<Record<string, string>> =>
    page.$$eval(".lane", (lanes) =>
      Object.fromEntries(
        lanes.map((lane) => [(lane as HTMLElement).dataset["lane"], lane.querySelector(".shown")?.textContent ?? ""])
      )
    )
  const range = async (page: Page): Promise<readonly [from: number, to: number]> => {
    const { from, to } = await page.$eval(".range", (element) => ({ ...(element as HTMLElement).dataset }))
    return [Number(from), Number(to)]
  }
  const plural = (count: number, unit: string): string =>
    `${count.toLocaleString("en-US")} ${count === 1 ? unit.slice(0, -1) : unit}`
  /** The expected content of the lanes, counted from the recording. */
  const expected = (events: ReadonlyArray<GuestEvent>) => ({
    console: plural(ofKind(events, "SerialLine", "SerialText").length, "lines"),
    heartbeats: plural(ofKind(events, "HeartbeatTick").length, "heartbeats"),
    listeners: plural(ofKind(events, "ListenerBound", "ListenerClosed").length, "changes"),
    dirty: plural(
      events.reduce((all, event) => all + (event._tag === "PagesDirtied" ? event.count : 0), 0),
      "pages"
    )
  })

  it("its-numbers-are-those-of-what-was-recorded-all-of-it-and-any-part", async () => {
    const run = decided()
    const { close, page, troubles } = await open([run])
    assert.deepInclude(await shown(page), expected(run.events))
    assert.include(await page.innerText(".why"), guestTimeInWords(run.firing?.atNanos ?? 0))
    // Something is drawn in every lane.
    const blank = await page.$$eval("canvas", (all) =>
      all.filter((canvas) => {
        const pixels = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data
        return !pixels?.some((value) => value > 0)
      })
    )
    assert.lengthOf(blank, 0)
    // By keys, by buttons, by dragging: what is in view is what was recorded then.
    const views = new Set<string>()
    await page.focus(".lanes")
    const lane = page.locator('[data-lane="console"] .u-over')
    const steps: ReadonlyArray<() => Promise<unknown>> = [
      () => page.keyboard.press("+"),
      () => page.keyboard.press("ArrowRight"),
      () => page.click('[data-do="in"]'),
      () => page.click('[data-do="earlier"]'),
      async () => {
        await lane.hover({ position: { x: 100, y: 10 } })
        await page.mouse.down()
        await lane.hover({ position: { x: 500, y: 10 } })
        await page.mouse.up()
      }
    ]
    for (const step of steps) {
      await step()
      const [from, to] = await range(page)
      views.add(`${from} ${to}`)
      const inView = run.events.filter(({ atNanos }) => atNanos >= from && atNanos <= to)
      assert.deepInclude(await shown(page), expected(inView))
    }
    assert.strictEqual(views.size, steps.length)
    await page.focus(".lanes")
    await page.keyboard.press("0")
    assert.deepInclude(await shown(page), expected(run.events))
    // The text under the pointer is shown.
    await page.locator('[data-lane="dirty"] .u-over').hover({ position: { x: 60, y: 10 } })
    assert.match(await page.innerText(".pointer"), /ms/)
    // It can be printed.
    assert.isAbove((await page.pdf()).byteLength, 10_000)
    assert.deepStrictEqual(troubles, [])
    await close()
  })

  it("everybody-can-read-it-by-light-and-by-dark-alone-and-side-by-side", async () => {
    const run = decided()
    const other = reportedRecording("two listeners", { events: recorded("two-listeners") })
    for (const runs of [[run], [run, other]]) {
      for (const scheme of ["light", "dark"] as const) {
        const { close, page } = await open(runs, { scheme, bypassCSP: true })
        await page.$$eval("details", (all) => {
          for (const one of all) one.open = true
        })
        await page.addScriptTag({ path: axe })
        const found = await page.evaluate(
          "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 200)).join(' ')))"
        )
        assert.deepStrictEqual(found, [])
        // Every drawing has a table or a sentence beside it.
        const drawn = await page.locator('.lane:not([data-lane="clock"])').count()
        assert.strictEqual(await page.locator(".lane + details").count(), drawn)
        await close()
      }
    }
  })

  it("nothing-that-a-guest-wrote-runs", async () => {
    const evil = `</script><script>alert(1)</script><img src=x onerror="alert(2)">`
    const run = reportedRecording(evil, {
      events: [
        { _tag: "SerialLine", seq: 0, atNanos: 1e6, port: 0, text: evil },
        { _tag: "WorkloadPreExec", seq: 1, atNanos: 2e6, argv: [evil], holdNanos: null },
        { _tag: "Custom", seq: 2, atNanos: 3e6, name: evil, payload: { [evil]: evil } }
      ]
    })
    const { close, page, troubles } = await open([run])
    assert.strictEqual(await page.innerText("h1"), evil)
    await page.locator('[data-lane="console"] .u-over').hover({ position: { x: 320, y: 10 } })
    assert.strictEqual(await page.locator("img").count(), 0)
    assert.deepStrictEqual(troubles, [])
    await close()
  })

  it("a-hundred-thousand-events-are-drawn-and-zoomed", async () => {
    const events = Array.from({ length: 100_000 }, (_, seq): GuestEvent => {
      const at = { seq, atNanos: seq * 50_000 }
      switch (seq % 4) {
        case 0:
          return { _tag: "SerialLine", ...at, port: 0, text: `line ${seq}` }
        case 1:
          return { _tag: "GuestIdle", ...at }
        case 2:
          return { _tag: "GuestBusy", ...at }
        default:
          return { _tag: "PagesDirtied", ...at, count: seq % 100 }
      }
    })
    const begun = performance.now()
    const { close, page, troubles } = await open([reportedRecording("many", { events })])
    const opened = performance.now()
    assert.include(await shown(page), { console: "25,000 lines" })
    await page.focus(".lanes")
    // Each key is answered before the next: how long one takes, with drawing.
    const millis: ReadonlyArray<number> = await page.evaluate(async () => {
      const taken: Array<number> = []
      for (const key of ["+", "+", "ArrowRight", "ArrowRight", "-", "ArrowLeft", "0"]) {
        const begun = performance.now()
        document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }))
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
        taken.push(performance.now() - begun)
      }
      return taken
    })
    const longest = Math.max(...millis)
    console.log(
      `100,000 events: written and opened in ${Math.round(opened - begun)} ms, a key in ${Math.round(longest)} ms`
    )
    assert.include(await shown(page), { console: "25,000 lines" })
    assert.deepStrictEqual(troubles, [])
    await close()
  })
})
