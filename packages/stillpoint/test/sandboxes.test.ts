/** Sandboxes by promises, over the same code as those of Effect. */
import { assert, describe, it } from "vitest"
import { type Served, Stillpoint } from "stillpoint"
import { engines } from "@stillpoint/native"
import { Effect } from "effect"
import { makeFolder } from "./runStillpoint.ts"

const { home } = makeFolder()
const kvm = (await Effect.runPromise(engines)).find(({ board }) => board === "x86_64")
const options = { image: "kit:httpd", captureAt: "listener:8080 & calm 20ms", home }

describe("a sandbox", () => {
  it("is-restored-where-that-image-was-captured-at-that-moment-before", async () => {
    // Of two that find none, one stores it, and both are of that one.
    const [first, second] = await Promise.all([Stillpoint.create(options), Stillpoint.create(options)])
    assert.isTrue(!first.wasCached || !second.wasCached)
    await first.close()
    await second.close()
    const stored = await Stillpoint.snapshots.list({ home })
    assert.deepStrictEqual(
      stored.map(({ names }) => names.length),
      [1]
    )
    const taken = { ...options, name: "cache:two" }
    const outside = /name: expected a name outside cache, .*found cache:two: choose another name/
    assert.match(String(await Stillpoint.create(taken).catch((error: unknown) => error)), outside)
    await using sandbox = await Stillpoint.create({ ...options, name: "web" })
    assert.isTrue(sandbox.wasCached)
    assert.match(String(sandbox.explain), /^onListener\(port 8080\) decided/)
    assert.match(String(sandbox.explain), /\nIt ran on engine soft \(auto: the kernel is a RISC-V kernel\)\.$/)

    // Commands, files, ports.
    assert.deepStrictEqual(await sandbox.exec("echo out; echo err >&2; exit 3"), {
      code: 3,
      signal: null,
      stdout: "out\n",
      stderr: "err\n"
    })
    const command = await sandbox.spawn({ argv: ["cat"] })
    await command.write("through it\n")
    await command.endInput()
    let read = ""
    for await (const bytes of command.stdout) read += new TextDecoder().decode(bytes)
    assert.strictEqual(read, "through it\n")
    assert.deepStrictEqual(await command.exit(), { code: 0, signal: null })
    await sandbox.files.write("/www/page", "a page\n")
    const { host, hostPort } = await sandbox.ports.publish({ port: 8080 })
    assert.strictEqual(await (await fetch(`http://${host}:${hostPort}/page`)).text(), "a page\n")

    // As it stands now, under a name; and others in its state, each somebody else.
    await sandbox.snapshot("web:with-a-page")
    const [one, other] = await sandbox.fork(2)
    try {
      const asked = "hostname; cat /www/page"
      const answers = [await one?.exec(asked), await other?.exec(asked), await sandbox.exec(asked)].map(
        (answer) => answer?.stdout
      )
      assert.strictEqual(new Set(answers).size, 3)
      for (const answer of answers) assert.match(String(answer), /^clone-[0-9a-f]{8}\na page\n$/)
    } finally {
      await one?.close()
      await other?.close()
    }
    await using later = await Stillpoint.of("web:with-a-page", { home })
    assert.strictEqual(new TextDecoder().decode(await later.files.read("/www/page")), "a page\n")

    // Paused, it stands until it goes on, whether its port is open or it runs for its commands alone; what was asked then is answered.
    for (const paused of [sandbox, later]) {
      const at = await paused.pause()
      assert.strictEqual(await paused.pause(), at)
      const [fork] = await paused.fork(1)
      assert.strictEqual((await fork?.exec("cat /www/page"))?.stdout, "a page\n")
      await fork?.close()
      let isAnswered = false
      const answer = paused.exec("echo on").finally(() => (isAnswered = true))
      await new Promise((done) => setImmediate(done))
      assert.isFalse(isAnswered)
      assert.strictEqual(await paused.pause(), at)
      await paused.resume()
      assert.strictEqual((await answer).stdout, "on\n")
      await paused.resume()
      assert.isAbove(await paused.pause(), at)
      await paused.resume()
    }
    assert.strictEqual(await (await fetch(`http://${host}:${hostPort}/page`)).text(), "a page\n")

    // A snapshot that is given up while the guest is paused leaves the workload running when it goes on.
    await sandbox.pause()
    const asked = new AbortController()
    const given = sandbox.snapshot("given-up", { signal: asked.signal }).catch((cause: unknown) => cause)
    await new Promise((done) => setTimeout(done, 300))
    asked.abort("enough")
    assert.strictEqual(await given, "enough")
    await sandbox.resume()
    assert.strictEqual(await (await fetch(`http://${host}:${hostPort}/page`)).text(), "a page\n")

    // Whatever is waited for can be ended: of a command, too.
    const asleep = await sandbox.spawn({ argv: ["sleep", "1000"] })
    const gone = AbortSignal.abort("enough")
    const ended: ReadonlyArray<() => Promise<unknown>> = [
      () => asleep.exit({ signal: gone }),
      () => asleep.write("in", { signal: gone }),
      () => asleep.endInput({ signal: gone }),
      () => asleep.kill(9, { signal: gone }),
      () => asleep.resize({ columns: 80, rows: 24 }, { signal: gone }),
      () => sandbox.pause({ signal: gone }),
      () => sandbox.resume({ signal: gone }),
      () => Stillpoint.of("web", { home, signal: gone }),
      () => Stillpoint.serve("web", { home, port: 8080, signal: gone }),
      () => Stillpoint.snapshots.list({ home, signal: gone })
    ]
    for (const one of ended) {
      assert.strictEqual(await one().catch((cause: unknown) => cause), "enough", String(one))
    }
    await asleep.kill(9)
    assert.deepStrictEqual(await asleep.exit(), { code: null, signal: 9 })

    // The store, and its clones behind a port.
    const named = async () => (await Stillpoint.snapshots.list({ home })).flatMap(({ names }) => names)
    assert.includeMembers([...(await named())], ["web", "web:with-a-page"])
    const { directory } = await Stillpoint.snapshots.get("web:with-a-page", { home })
    assert.isTrue(directory.startsWith(home))
    const told: Array<string> = []
    {
      const serving = { port: 8080, per: "request", pool: { ready: 1 }, home } as const
      const onServed = ({ how }: Served): void => void told.push(how._tag)
      await using served = await Stillpoint.serve("web:with-a-page", { ...serving, onServed })
      assert.strictEqual(await (await fetch(`http://${served.host}:${served.hostPort}/page`)).text(), "a page\n")
      for (const wrong of [null, 5, { signal: 5 }, { signl: 1 }]) {
        const error = await served.drain(wrong as object).catch((cause: unknown) => cause)
        assert.deepInclude(error, { _tag: "OptionsInvalid", operation: "drain" })
      }
      await served.drain()
      assert.deepInclude(await served.stats(), { served: 1, failed: 0 })
    }
    assert.deepStrictEqual(told, ["Ended"])
    assert.isTrue((await Stillpoint.snapshots.remove("web:with-a-page", { home })).isGone)
    assert.notInclude(await named(), "web:with-a-page")

    // What takes too long is ended by who asked for it, and the sandbox goes on.
    const ending = new AbortController()
    const endless = sandbox.exec("while :; do :; done", { signal: ending.signal })
    ending.abort("it takes too long")
    assert.strictEqual(await endless.catch((cause: unknown) => cause), "it takes too long")
    assert.strictEqual((await sandbox.exec("echo on")).stdout, "on\n")
    // What nobody knows is not taken for said.
    const misspelt = { timeout: 3, signl: AbortSignal.abort() } as object
    const refused = await sandbox.exec("true", misspelt).catch((cause: unknown) => cause)
    assert.deepInclude(refused, {
      _tag: "OptionsInvalid",
      problems: [
        "unknown option timeout: expected { signal }",
        "unknown option signl; did you mean signal: expected { signal }"
      ]
    })
    await sandbox.close()
    await sandbox.exec("true").then(
      () => assert.fail("a closed sandbox ran a command"),
      (cause: unknown) => assert.match(String(cause), /is closed/)
    )
  })

  const runsHere = kvm !== undefined && kvm.isUsable && kvm.detail === null
  it.skipIf(runsHere)(
    `of-a-platform-that-this-host-does-not-run-is-refused-with-what-to-do${runsHere ? " (skipped: this host runs linux/amd64)" : ""}`,
    async () => {
      const error: unknown = await Stillpoint.create({ ...options, platform: "linux/amd64" }).catch(
        (cause: unknown) => cause
      )
      assert.deepInclude(error, { _tag: "PlatformUnusable", why: kvm?.detail ?? "this build has no engine for it" })
      assert.match(
        String(error),
        /Take an image that has linux\/riscv64, or a host whose KVM runs Linux; stillpoint doctor/
      )
    }
  )
})
