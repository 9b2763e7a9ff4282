/** The command line in a pseudo-terminal, as people have it. */
import { assert, beforeAll, describe, it } from "vitest"
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

  describe("a command in a clone", () => {
    beforeAll(async () => {
      const { status, stderr } = await runStillpoint(folder, ["bake", "kit:httpd", "--name", "web"])
      assert.strictEqual(status, 0, stderr)
    })

    it("is-of-a-snapshot-that-is-seen-being-verified", async () => {
      const { status, stdout } = await runInTerminal(folder, ["verify", "web"])
      assert.strictEqual(status, 0, stdout)
      assert.match(stdout, /verifying [\d.]+ MiB of web: 0 s[^]*web: ok, /)
    })

    it("has-each-line-that-is-typed-and-its-end-and-is-ended-by-ctrl-c", async () => {
      const script = "read a; echo got $a; while read b; do echo and $b; done; echo end"
      const args = ["exec", "web", "--", "sh", "-c", `echo ready; ${script}`]
      const typed = await runInTerminal(folder, args, ["ready", "one\n"], ["got one", "two\n"], ["and two", ctrlD])
      assert.strictEqual(typed.status, 0, typed.stdout)
      assert.match(typed.stdout, /got one[^]*and two[^]*end/)
      const { status } = await runInTerminal(folder, args, ["ready", "one\n"], ["got one", ctrlC])
      assert.strictEqual(status, 130)
    })
  })
})
