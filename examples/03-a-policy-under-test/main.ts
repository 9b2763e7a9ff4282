/**
 * Prints the policy's decisions on the recorded boots under `fixtures/timelines/`, or on those of a given folder.
 *
 * @module
 */
import { fileURLToPath } from "node:url"
import { guestTimeInWords } from "@stillpoint/core"
import { decisions } from "./decisions.ts"

const directory = process.argv[2] ?? fileURLToPath(new URL("../../fixtures/timelines", import.meta.url))
for (const { explanation, firing, recording } of decisions(directory)) {
  const moment = firing === null ? "never" : guestTimeInWords(firing.atNanos)
  console.log(`${recording}: ${moment}\n  ${explanation.replaceAll("\n", "\n  ")}\n`)
}
