/** The command line in a pseudo-terminal, as people have it. */
import { assert, describe, it } from "vitest"
import { makeFolder, noTerminal, runInTerminal, runStillpoint } from "./runStillpoint.ts"

const { folder } = makeFolder()
const [ctrlC, ctrlD, escape] = ["\u0003", "\u0004", "\u001b"]

describe.skipIf(noTerminal !== "")(`in a terminal${noTerminal}`, () => {
  it("a-wizard-that-is-cancelled-is-no-success", async () => {
    for (const key of [ctrlC, ctrlD, escape]) {
      const { status, stdout } = await runInTerminal(folder, ["inspect", "--wizard"], ["(y/N)", key])
      assert.include(stdout, "Wizard cancelled.")
      assert.strictEqual(status, 130)
    }
    const { status } = await runStillpoint(folder, ["inspect", "--wizard"])
    assert.strictEqual(status, 130, "without a terminal there is no input")
  })
})
