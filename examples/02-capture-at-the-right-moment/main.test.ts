import { assert, describe, it } from "vitest"
import { runExample } from "../runExample.ts"
import type { Report } from "./captureTwice.ts"

describe("the demo", () => {
  it("captures-twice-and-restores-six-times-and-says-so-on-its-last-line", async () => {
    const lines = await runExample(import.meta, "--json")
    const report = JSON.parse(lines.at(-1) ?? "") as Report
    assert.deepStrictEqual(Object.keys(report), ["boot", "captures", "restores"])
    assert.deepStrictEqual(
      report.captures.map(({ cause }) => cause),
      ["pre-exec", "listener"]
    )
    assert.deepStrictEqual(
      report.restores.map(({ cause }) => cause),
      ["pre-exec", "pre-exec", "pre-exec", "listener", "listener", "listener"]
    )
    const ids = (cause: string) =>
      new Set(report.restores.filter((restore) => restore.cause === cause).map(({ id }) => id))
    assert.strictEqual(ids("pre-exec").size, 3)
    assert.strictEqual(ids("listener").size, 1)
    for (const { id } of report.restores) assert.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    const [preExec, listener] = report.captures
    assert.isBelow(preExec?.guestNanos ?? Infinity, listener?.guestNanos ?? 0)
    assert.strictEqual(report.boot.guestNanos, preExec?.guestNanos)
    for (const capture of report.captures) {
      assert.isAbove(capture.bytes, 1_000_000)
      assert.isAbove(capture.why.length, 20)
    }
    const text = lines.join("\n")
    for (const expected of ["captured at pre-exec", "captured at listener", "first instruction"])
      assert.include(text, expected)
  })
})
