/** The commands that the pages show, as they stand there, in the order in which they are read. */
import { spawn } from "node:child_process"
import { chmodSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { bundled } from "../../../scripts/testing/bundled.ts"
import { makeFolder } from "./runStillpoint.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const pages = [
  "README.md",
  "first-snapshot",
  "guide",
  "how-to/install",
  "how-to/choose-a-moment",
  "how-to/serve-clones",
  "how-to/operate"
]
const pathOf = (page: string): string => (page.endsWith(".md") ? page : `docs/${page}.md`)

/** Commands that are not run here, and why. */
const notRun: ReadonlyArray<readonly [begins: string, why: string]> = [
  ["make ", "it is what runs this test, or takes minutes"],
  ["cargo ", "it builds for a Mac"],
  ["cp target", "it is the addon of a Mac"],
  ["stillpoint-emit ", "it is run in a guest, by the agent's tests"]
]

/** What a page takes for granted before a command. */
const before: Readonly<Record<string, string>> = {
  "./stillpoint rm web:old": "./stillpoint tag web web:old"
}

/** The lines of the pages' shell blocks, each once. */
const shown = [
  ...new Map(
    pages.flatMap((page) =>
      [...readFileSync(join(root, pathOf(page)), "utf8").matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block = ""]) =>
        block
          .split("\n")
          .map((line) => line.replace(/\s+#.*$/, "").trim())
          .filter((line) => line !== "")
          .map((line) => [line, pathOf(page)] as const)
      )
    )
  )
].filter(([line]) => !notRun.some(([begins]) => line.startsWith(begins)))

const { folder, home } = makeFolder()

/** Runs a line in a shell; one that serves is ended once it has answered a request. */
const run = async (line: string): Promise<{ readonly status: number | null; readonly stderr: string }> => {
  const isServer = / --publish /.test(line)
  // Any port of the host that is free.
  const command = line.replace("127.0.0.1:8080:", "127.0.0.1:0:")
  const child = spawn("bash", ["-c", isServer ? `exec ${command}` : command], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, STILLPOINT_HOME: home }
  })
  const written = { stdout: "", stderr: "" }
  let isAsked = false
  const look = async () => {
    const address = /http:\/\/127\.0\.0\.1:\d+|127\.0\.0\.1:(?!0\b)\d+/.exec(written.stdout + written.stderr)?.[0]
    if (!isServer || isAsked || address === undefined) return
    isAsked = true
    const answer = await fetch(address.startsWith("http") ? address : `http://${address}`)
    written.stderr += `answered ${answer.status}\n`
    child.kill("SIGINT")
  }
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      written[name] += text
      void look()
    })
  }
  const status = await new Promise<number | null>((done) => child.once("close", done))
  return { status, stderr: written.stderr + written.stdout }
}

describe("the commands that the pages show", () => {
  it("are-found", async () => {
    assert.isAtLeast(shown.length, 20)
    const path = await bundled(join(root, "packages/stillpoint/src/cli/main.ts"))
    writeFileSync(join(folder, "stillpoint"), `#!/bin/sh\nexec '${process.execPath}' '${path}' "$@"\n`)
    chmodSync(join(folder, "stillpoint"), 0o755)
  })

  for (const [line, page] of shown) {
    it(`${line} (${page})`, async () => {
      const first = before[line]
      if (first !== undefined) assert.strictEqual((await run(first)).status, 0)
      const { status, stderr } = await run(line)
      if (/ --publish /.test(line)) {
        assert.strictEqual(status, 130, stderr)
        assert.include(stderr, "answered 200")
      } else assert.strictEqual(status, 0, stderr)
    })
  }
})
