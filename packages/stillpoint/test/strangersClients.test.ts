/** Clients of others, on the host, ask servers of others, in a guest, through published ports of the command line. */
import { execFile, spawnSync } from "node:child_process"
import { assert, describe, it } from "vitest"
import { testImageLayout, testImages } from "../../../scripts/testing/testImages.ts"
import { makeFolder, runStillpoint } from "./runStillpoint.ts"

const built = testImages()

const isThere = (program: string) => spawnSync(program, ["--version"]).error === undefined

/** A test of a server of an image with programs of the host, or why it is skipped. */
const strangers = (server: string, programs: ReadonlyArray<string>, isLong = false) => {
  const absent = programs.filter((program) => !isThere(program))
  const why = [
    ...(isLong && process.env["STILLPOINT_SOFTWARE"] !== "all" ? ["make software"] : []),
    ...(built.includes(server) ? [] : [`no test image of ${server}`]),
    ...absent.map((program) => `no ${program} on the host`)
  ]
  return { why: why.length === 0 ? "" : ` (skipped: ${why.join(", ")})`, isSkipped: why.length > 0 }
}

/** The standard output of a host's program. */
const said = (program: string, ...args: ReadonlyArray<string>) =>
  new Promise<string>((done, failed) => {
    execFile(program, args, { env: { ...process.env, no_proxy: "*" } }, (error, stdout, stderr) =>
      error === null ? done(stdout) : failed(new Error(`${program} ${args.join(" ")}: ${error.message}\n${stderr}`))
    )
  })

/** Asks a server of a test image by its published port, until everything is asked; `more` are further words for `up`. */
const whileUp = async (
  server: string,
  guestPort: number,
  ask: (port: string) => Promise<void>,
  ...more: ReadonlyArray<string>
) => {
  const { folder } = makeFolder()
  const place = ["--memory", "512", "--publish", `127.0.0.1:0:${guestPort}`, "--json"]
  const args = ["up", `oci:${testImageLayout}:${server}`, ...place, ...more]
  const asked: Array<Promise<unknown>> = []
  const { status, stderr } = await runStillpoint(folder, args, (child) => {
    child.stdout?.once("data", (line: string) => {
      const { hostPort } = JSON.parse(line) as { readonly hostPort: number }
      const asking = ask(String(hostPort)).catch((problem: unknown) => problem)
      asked.push(asking.finally(() => child.kill("SIGTERM")))
    })
  })
  assert.lengthOf(asked, 1, stderr)
  const [problem] = await Promise.all(asked)
  if (problem !== undefined) throw problem
  assert.strictEqual(status, 143, stderr)
}

const askPostgres = async (port: string) => {
  const where = ["-h", "127.0.0.1", "-p", port, "-U", "postgres"]
  const sql = (command: string) => said("psql", ...where, "-At", "-c", command)
  await sql("create table notes (text text); insert into notes values ('by psql')")
  assert.strictEqual(await sql("select text from notes"), "by psql\n")
  await said("pgbench", ...where, "-i", "-s", "1", "-q", "postgres")
  const report = await said("pgbench", ...where, "-c", "4", "-t", "25", "postgres")
  assert.match(report, /number of transactions actually processed: 100\/100/)
  assert.match(report, /number of failed transactions: 0 /)
  assert.strictEqual(await sql("select count(*) from pgbench_history"), "100\n")
}

describe("clients of strangers", { timeout: 300_000 }, () => {
  const redis = strangers("redis", ["redis-cli", "redis-benchmark"])
  it.skipIf(redis.isSkipped)(`redis-cli-and-redis-benchmark${redis.why}`, () =>
    whileUp("redis", 6379, async (port) => {
      const cli = (...args: ReadonlyArray<string>) => said("redis-cli", "-p", port, ...args)
      assert.strictEqual(await cli("set", "greeting", "from the host"), "OK\n")
      assert.strictEqual(await cli("get", "greeting"), "from the host\n")
      const long = "x".repeat(100_000)
      assert.strictEqual(await cli("set", "long", long), "OK\n")
      assert.strictEqual(await cli("get", "long"), `${long}\n`)
      const csv = await said("redis-benchmark", "-p", port, "-n", "1000", "-c", "20", "-t", "set,lpush,mset", "--csv")
      assert.deepStrictEqual(
        csv.split("\n").flatMap((line) => /^"(SET|LPUSH|MSET)[^"]*","[\d.]+"/.exec(line)?.[1] ?? []),
        ["SET", "LPUSH", "MSET"]
      )
      // One for each of the thousand: none lost, none twice.
      assert.strictEqual(await cli("llen", "mylist"), "1000\n")
    })
  )

  const python = strangers("python", ["curl", "ab"])
  it.skipIf(python.isSkipped)(`curl-and-ab-with-python-and-sqlite${python.why}`, () =>
    whileUp("python", 8000, async (port) => {
      const url = `http://127.0.0.1:${port}/`
      assert.strictEqual(await said("curl", "-sS", "--data", "by curl", url), "1\n")
      assert.strictEqual(await said("curl", "-sS", url), "1 by curl\n")
      const report = await said("ab", "-q", "-n", "60", "-c", "6", url)
      assert.match(report, /Complete requests:\s+60\n/)
      assert.match(report, /Failed requests:\s+0\n/)
    })
  )

  const nginx = strangers("nginx", ["curl", "ab"], true)
  it.skipIf(nginx.isSkipped)(`curl-and-ab-with-nginx-and-connections-kept-open${nginx.why}`, () =>
    whileUp("nginx", 80, async (port) => {
      const url = `http://127.0.0.1:${port}/`
      assert.strictEqual(await said("curl", "-sS", url, url), "<p>served by nginx</p>\n".repeat(2))
      const report = await said("ab", "-q", "-k", "-n", "2000", "-c", "50", url)
      assert.match(report, /Complete requests:\s+2000\n/)
      assert.match(report, /Failed requests:\s+0\n/)
    })
  )

  const postgres = strangers("postgres", ["psql", "pgbench"], true)
  it.skipIf(postgres.isSkipped)(`psql-and-pgbench${postgres.why}`, () =>
    // It listens before it is ready, and then says so.
    whileUp("postgres", 5432, askPostgres, "--at", "serial /ready to accept connections/ & calm 20ms")
  )
})
