/**
 * A real registry, Debian's `docker-registry` on this host, and a proxy before it that fails on request.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

export const hasRegistry = spawnSync("docker-registry", ["--version"]).status === 0

/** A registry until it is stopped. */
export interface Registry {
  readonly host: string
  readonly stop: () => Promise<void>
}

/** Starts a registry; `users` are lines as `htpasswd -B` writes them. */
export const startRegistry = async (users?: string): Promise<Registry> => {
  const folder = mkdtempSync(join(tmpdir(), "stillpoint-registry-"))
  const at = (name: string): string => join(folder, name)
  if (users !== undefined) writeFileSync(at("users"), users)
  const auth = users === undefined ? "" : `auth:\n  htpasswd:\n    realm: test\n    path: ${at("users")}\n`
  writeFileSync(
    at("config.yml"),
    `version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: ${at("storage")}\n` +
      `http:\n  addr: 127.0.0.1:0\n  secret: test\n${auth}`
  )
  const child: ChildProcess = spawn("docker-registry", ["serve", at("config.yml")], {
    stdio: ["ignore", "ignore", "pipe"]
  })
  const ended = new Promise<void>((done) => child.once("close", () => done()))
  const host = await new Promise<string>((found, failed) => {
    let said = ""
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text
      const port = /listening on 127\.0\.0\.1:(\d+)\D/.exec(said)?.[1]
      if (port !== undefined) found(`127.0.0.1:${port}`)
    })
    child.once("close", () => failed(new Error(`docker-registry does not start: ${said}`)))
  })
  const stop = async (): Promise<void> => {
    child.kill()
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  return { host, stop }
}

/** The treatment of a request: it is passed on, or answered otherwise. */
export type Fault = (asked: IncomingMessage, answer: ServerResponse) => "pass" | "done"

/** A proxy before a registry that treats each request as instructed. */
export const standBefore = async (host: string): Promise<Registry & { fault: Fault }> => {
  const server = createServer((asked, answer) => {
    if (before.fault(asked, answer) === "done") return
    const [hostname = "", port = ""] = host.split(":")
    // The registry leads to where it was asked: to this one.
    const onward = request(
      { hostname, port, path: asked.url, method: asked.method, headers: asked.headers },
      (came) => {
        answer.writeHead(came.statusCode ?? 500, came.headers)
        came.pipe(answer)
      }
    )
    onward.on("error", () => answer.destroy())
    asked.pipe(onward)
  })
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done))
  const before = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    fault: (() => "pass") as Fault,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    }
  }
  return before
}
