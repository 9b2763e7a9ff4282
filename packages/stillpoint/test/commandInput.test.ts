/** The input of commands that run in clones. */
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { closeSync, openSync } from "node:fs"
import { type AddressInfo, connect, createServer } from "node:net"
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

  it("input-that-cannot-be-read-ends-and-only-a-part-of-it-is-no-success", async () => {
    const said = (code: string): string =>
      `stillpoint: standard input cannot be read: ${code}; the command's input ends there\n`
    // As nohup gives it.
    const unreadable = openSync("/dev/null", "w")
    const whole = await runStillpoint(folder, ["exec", "web", "--", "wc", "-c"], () => {}, "pipe", unreadable)
    closeSync(unreadable)
    assert.deepStrictEqual(whole, { status: 0, stdout: "0\n", stderr: said("EBADF") })

    for (const [script, status] of [
      ["cat", 125],
      ["cat; exit 3", 3]
    ] as const) {
      const server = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1")
      await once(server, "listening")
      const sender = connect((server.address() as AddressInfo).port, "127.0.0.1")
      const [receiver] = await once(server, "connection")
      sender.write("the first part\n")
      const cut = await runStillpoint(
        folder,
        ["exec", "web", "--", "sh", "-c", script],
        ({ stdout }) => stdout?.once("data", () => sender.resetAndDestroy()),
        "pipe",
        receiver
      )
      receiver.destroy()
      server.close()
      assert.deepStrictEqual(cut, { status, stdout: "the first part\n", stderr: said("ECONNRESET") })
    }
  })
})
