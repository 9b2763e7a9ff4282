/** The input of commands that run in clones. */
import { createHash, randomBytes } from "node:crypto"
import { closeSync, openSync } from "node:fs"
import { assert, beforeAll, describe, it } from "vitest"
import { makeFolder, runStillpoint } from "./runStillpoint.ts"

const { folder } = makeFolder()

describe("a command in a clone", () => {
  beforeAll(async () => {
    const { status, stderr } = await runStillpoint(folder, ["bake", "kit:httpd", "--name", "web"])
    assert.strictEqual(status, 0, stderr)
  })

  it("what-is-piped-to-a-command-reaches-it-whole-and-so-does-its-end", async () => {
    const bytes = randomBytes(3_000_000)
    const sent = createHash("sha256").update(bytes).digest("hex")
    const piped = (input: Uint8Array | string | null, ...args: ReadonlyArray<string>) =>
      runStillpoint(
        folder,
        args,
        ({ stdin }) => {
          // The command may end before it has read all.
          stdin?.on("error", () => undefined)
          if (input !== null) stdin?.end(input)
        },
        "pipe",
        "pipe"
      )
    const whole = await piped(bytes, "exec", "web", "--", "sha256sum")
    assert.strictEqual(whole.stdout, `${sent}  -\n`, whole.stderr)
    const { status, stdout } = await piped("one\ntwo\n", "exec", "web", "--json", "--", "sh", "-c", "cat; exit 3")
    assert.strictEqual(status, 3)
    assert.deepStrictEqual(JSON.parse(stdout), { code: 3, signal: null, stdout: "one\ntwo\n", stderr: "" })
    // Who reads none, or not all, is not waited for.
    for (const input of [null, bytes]) {
      const ended = await piped(input, "exec", "web", "--", "echo", "done")
      assert.deepStrictEqual(ended, { status: 0, stdout: "done\n", stderr: "" })
    }
    const directory = openSync(folder, "r")
    assert.deepStrictEqual(await runStillpoint(folder, ["exec", "web", "--", "cat"], () => {}, "pipe", directory), {
      status: 2,
      stdout: "",
      stderr:
        "stillpoint: standard input: expected a file, a pipe or a terminal, " +
        "found a directory; for a command without input, write < /dev/null\n"
    })
    closeSync(directory)
    // Without input, there is an end of it.
    assert.deepStrictEqual(await runStillpoint(folder, ["exec", "web", "--", "wc", "-c"]), {
      status: 0,
      stdout: "0\n",
      stderr: ""
    })
  })
})
