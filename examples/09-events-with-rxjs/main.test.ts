import { assert, it } from "vitest"
import { runExample } from "../runExample.ts"

it("each-question-is-answered-when-its-moment-comes", async () => {
  const lines = await runExample(import.meta)
  const expected = [
    /^the kernel wrote \d\d+ lines$/,
    /^it was silent longest, [\d.]+ ms, after: \[ .*\] /,
    /^until it listens, the guest writes \d{4,} pages$/,
    /^port 8080 is bound [\d.]+ ms after the start$/
  ]
  assert.lengthOf(lines, expected.length)
  for (const [index, pattern] of expected.entries()) assert.match(lines[index] ?? "", pattern)
})
