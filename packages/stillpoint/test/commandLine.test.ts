/** The lines that the documentation shows, as they stand there, on one baked guest. */
import { execFileSync } from "node:child_process"
import { generateKeyPairSync } from "node:crypto"
import { existsSync, readFileSync, readdirSync, watch, writeFileSync } from "node:fs"
import { open } from "node:fs/promises"
import { constants } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { GuestKit } from "@stillpoint/kit"
import { NativeAgent } from "@stillpoint/native"
import { Effect, Layer } from "effect"
import { assert, beforeAll, describe, it } from "vitest"
import { type LayerEntry, writeLayout } from "../../images/src/testing/ociLayout.ts"
import type { Check } from "../src/cli/doctor.ts"
import { namesInStore, objectsIn, ownShare } from "./namesInStore.ts"
import { mistakes } from "./mistakes.ts"
import { makeFolder, type Ran, runStillpoint } from "./runStillpoint.ts"

const { folder, home } = makeFolder()
const run = (...args: ReadonlyArray<string>): Promise<Ran> => runStillpoint(folder, args)

/** Runs what must succeed. */
const good = async (...args: ReadonlyArray<string>): Promise<string> => {
  const { status, stderr, stdout } = await run(...args)
  assert.strictEqual(status, 0, `${args.join(" ")}: ${stderr}`)
  return stdout
}

/** The one line of JSON that a command prints, and nothing else. */
const answered = async (...args: ReadonlyArray<string>): Promise<Record<string, unknown>> => {
  const stdout = await good(...args)
  assert.match(stdout, /^[^\n]+\n$/)
  return JSON.parse(stdout) as Record<string, unknown>
}

const standing = (): ReadonlyArray<string> => namesInStore(home).filter((name) => !/^[0-9a-f]{64}$/.test(name))

/** A small image of busybox, as a layout in the folder. */
const writeSmallImage = Effect.gen(function* () {
  const { busyboxPath } = yield* Effect.flatMap(GuestKit, (kit) => kit.files)
  const entries: ReadonlyArray<LayerEntry> = [
    { path: "bin/", type: "directory" },
    { path: "bin/busybox", content: readFileSync(busyboxPath), mode: 0o755 },
    ...["sh", "cat", "sleep"].map((name): LayerEntry => ({ path: `bin/${name}`, type: "symlink", link: "busybox" })),
    { path: "etc/", type: "directory" },
    { path: "etc/image", content: "from the image\n" }
  ]
  writeLayout(join(folder, "layout"), [{ layers: [entries], config: { Cmd: ["sleep", "1000000"] } }])
}).pipe(Effect.provide(Layer.provide(GuestKit.layer, NativeAgent.layer)))

describe("the command line", () => {
  let baked: Record<string, unknown> = {}
  beforeAll(async () => {
    const at = "listener:8080 & calm 20ms | after 10s"
    baked = await answered("bake", "kit:httpd", "--at", at, "--name", "web", "--json")
  })

  it("bake-ends-with-one-line-that-says-what-was-captured-and-why", async () => {
    const fields = ["snapshot", "name", "cause", "guestNanos", "pauseMs", "storedBytes", "engine", "why"]
    assert.deepStrictEqual(Object.keys(baked), fields)
    assert.strictEqual(baked["name"], "web")
    assert.strictEqual(baked["cause"], "listener")
    assert.match(String(baked["why"]), /^onListener\(port 8080\) decided at .* of guest time/)
    assert.strictEqual((await good("explain", "web")).trimEnd(), baked["why"])
    const { checks, ok } = await answered("doctor", "--json")
    assert.strictEqual(ok, true)
    const detail = (checks as ReadonlyArray<Check>).find(({ name }) => name === "engine")?.detail
    assert.match(String(detail), /; soft \(board riscv\) can be used/)
    const kits = (checks as ReadonlyArray<Check>).filter(({ name }) => name.startsWith("guest kit"))
    assert.deepStrictEqual(
      kits.map(({ name }) => name),
      ["guest kit", "guest kit for amd64"]
    )
    for (const kit of kits) assert.match(kit.detail, /^(kernel \S+, busybox \S+|not fetched)(; not needed, since .+)?$/)
    const { snapshots } = await answered("ls", "--json")
    assert.lengthOf(snapshots as ReadonlyArray<unknown>, 1)
    const found = await answered("inspect", "web", "--json")
    assert.strictEqual(found["snapshot"], baked["snapshot"])
    assert.deepStrictEqual(found["names"], ["web"])
  })

  it("the-checkout-runs-it-from-its-sources", () => {
    const said = execFileSync(fileURLToPath(new URL("../../../stillpoint", import.meta.url)), ["--version"])
    assert.match(said.toString(), /^stillpoint v\d/)
  })

  it("every-clone-is-somebody-else-and-its-command-says-how-it-ended", async () => {
    const first = await run("exec", "web", "--", "sh", "-c", "hostname; cat /etc/machine-id; echo beside >&2; exit 7")
    assert.strictEqual(first.status, 7)
    assert.match(first.stdout, /^clone-[0-9a-f]{8}\n[0-9a-f]{32}\n$/)
    assert.strictEqual(first.stderr, "beside\n")
    const forks = await good(
      "fork",
      "web",
      "--count",
      "3",
      "--",
      "sh",
      "-c",
      "cat /proc/sys/kernel/random/uuid; hostname"
    )
    assert.strictEqual(new Set([...forks.trimEnd().split("\n"), ...first.stdout.split("\n")]).size, 6 + 3)
    const killed = await run("exec", "web", "--", "sh", "-c", "kill -9 $$")
    assert.strictEqual(killed.status, 128 + 9)
  })

  it("a-snapshot-travels-in-one-archive", async () => {
    const { digest } = await answered("export", "web", "web.tar", "--json")
    assert.strictEqual(digest, baked["snapshot"])
    assert.strictEqual((await run("import", "web.tar", "--name", "web", "--json")).status, 0)
    await good("rm", `sha256:${String(digest).slice(0, 16)}`)
    assert.deepStrictEqual(namesInStore(home), [])
    const cut = readFileSync(join(folder, "web.tar")).subarray(0, -70_000)
    writeFileSync(join(folder, "cut.tar"), cut)
    const refused = await run("import", "cut.tar", "--name", "cut")
    assert.strictEqual(refused.status, 1)
    assert.match(refused.stderr, /is not a whole snapshot.*nothing was taken into the store/)
    const imported = await answered("import", "web.tar", "--name", "web", "--json")
    assert.strictEqual(imported["snapshot"], baked["snapshot"])
    // By the name that was given now, whatever else it is called.
    assert.match(await good("import", "web.tar", "--name", "web2"), /^web2: /)
    await good("rm", "web2")
  })

  it("a-byte-of-its-memory-that-is-another-one-is-found-by-who-verifies", async () => {
    await good("verify", "web")
    const directory = join(home, "snapshots", String(baked["snapshot"]))
    const memory = await open(objectsIn(directory)[0] ?? "", "r+")
    try {
      const { buffer } = await memory.read({ buffer: Buffer.alloc(1 << 20), position: 0 })
      const at = buffer.findIndex((byte) => byte !== 0)
      assert.isAtLeast(at, 0)
      await memory.write(Buffer.of((buffer[at] ?? 0) ^ 1), 0, 1, at)
      const damaged = await run("verify", "web", "--json")
      assert.strictEqual(damaged.status, 1)
      assert.strictEqual(damaged.stdout, "")
      assert.match(damaged.stderr, /^stillpoint: snapshot memory .*[0-9a-f]{64}, chunk \d+/)
      await memory.write(Buffer.of(buffer[at] ?? 0), 0, 1, at)
    } finally {
      await memory.close()
    }
    await good("verify", "web")
  })

  it("what-requires-a-key-restores-nothing-that-is-not-signed-by-it", async () => {
    const keyFiles = ["ours", "theirs"].map((name) => {
      const { privateKey, publicKey } = generateKeyPairSync("ed25519")
      const files = { secret: join(folder, `${name}.pem`), open: join(folder, `${name}.pub.pem`) }
      writeFileSync(files.secret, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 })
      writeFileSync(files.open, publicKey.export({ type: "spki", format: "pem" }))
      return files
    })
    const [ours, theirs] = keyFiles
    if (ours === undefined || theirs === undefined) throw new Error("expected two keys")
    const verified = (key: string) => run("verify", "web", "--require-key", key)
    const unsigned = await verified(ours.open)
    assert.strictEqual(unsigned.status, 5, unsigned.stderr)
    assert.match(unsigned.stderr, /expected a signature by one of the keys [0-9a-f]{12}, found no signature/)
    const { keyId, snapshot } = await answered("sign", "web", "--sign-key", ours.secret, "--json")
    assert.strictEqual(snapshot, baked["snapshot"])
    assert.deepStrictEqual((await answered("inspect", "web", "--json"))["signedBy"], [keyId])
    assert.strictEqual((await verified(theirs.open)).status, 5)
    assert.strictEqual((await verified(ours.open)).status, 0)
    assert.strictEqual(await good("exec", "web", "--require-key", ours.open, "--", "echo", "signed"), "signed\n")
    assert.strictEqual((await run("exec", "web", "--require-key", theirs.open, "--", "true")).status, 125)
    const swapped = await verified(ours.secret)
    assert.strictEqual(swapped.status, 2)
    assert.match(swapped.stderr, /--require-key: expected a public Ed25519 key in PEM, found a PRIVATE KEY/)
  })

  it("a-bake-stores-only-what-a-command-succeeds-in-and-has-its-working-set-then", async () => {
    const bakeWith = (command: string, at: string) =>
      run("bake", "kit:httpd", "--at", at, "--name", "tried", "--validate", command, "--json")
    const refused = await bakeWith("echo no >&2; exit 3", "pre-exec")
    assert.strictEqual(refused.status, 1)
    assert.match(refused.stderr, /tried failed its validation: .*exit.* 3.*; nothing was stored/)
    assert.strictEqual((await run("inspect", "tried")).status, 3)
    const stored = await bakeWith("wget -q -O - http://127.0.0.1:8080/", "listener:8080")
    assert.strictEqual(stored.status, 0, stored.stderr)
    await good("tag", "tried", "another")
    await good("report", "another", "tried", "--out", "tried.html")
    const page = readFileSync(join(folder, "tried.html"), "utf8")
    assert.match(page, /[\d,]+ pages \([\d.]+ MiB\)/)
    // Each by the name that was asked for.
    assert.include(page, "another, tried")
    await good("rm", "another")
    await good("rm", "tried")
  })

  it("the-report-is-one-page-that-loads-nothing-of-a-snapshot-of-its-run-and-of-a-recording", async () => {
    await good("exec", "web", "--", "true")
    await good("report", "web", "--out", "report.html")
    const page = readFileSync(join(folder, "report.html"), "utf8")
    assert.include(page, "listening on tcp [::]:8080")
    assert.include(page, "onListener(port 8080) decided")
    const restores = async (): Promise<number> => {
      await good("report", "web", "--out", "restores.html")
      const told = /<p>([\d,]+) restores? .*: ([\d,]+) ready, 0 refused; handed over after/.exec(
        readFileSync(join(folder, "restores.html"), "utf8")
      )
      assert.strictEqual(told?.[1], told?.[2])
      return Number(told?.[1])
    }
    // Of every process, each clone: one to fork, and its three forks; those that a server holds ready, and has had.
    const before = await restores()
    await good("fork", "web", "--count", "3", "--", "true")
    assert.strictEqual(await restores(), before + 4)
    await runStillpoint(
      folder,
      ["serve", "web", "--publish", "127.0.0.1:0:8080", "--json", "--clone-per-request"],
      (child) => {
        child.stdout?.once("data", async (line: string) => {
          const { hostPort } = JSON.parse(line) as { readonly hostPort: number }
          for (let request = 0; request < 3; request++) await (await fetch(`http://127.0.0.1:${hostPort}/`)).text()
          child.kill("SIGTERM")
        })
      }
    )
    assert.isAtLeast(await restores(), before + 4 + 3)
    assert.notMatch(page, /<link|<img|url\(|@import| (src|href)=/)
    const { runId } = await answered("inspect", "web", "--json")
    await good("record", "kit:httpd", "--seconds", "1", "--out", "short.jsonl")
    await good("report", String(runId), "web", "./short.jsonl", "--out", "three.html")
    const three = readFileSync(join(folder, "three.html"), "utf8")
    assert.include(three, "3 runs on one clock")
    assert.lengthOf(three.match(/<section class="run"/g) ?? [], 3)
  })

  it("an-image-is-captured-before-its-first-instruction", async () => {
    await Effect.runPromise(writeSmallImage)
    const job = await answered("bake", "oci:./layout", "--at", "pre-exec", "--name", "job", "--memory", "128", "--json")
    assert.strictEqual(job["cause"], "pre-exec")
    assert.strictEqual(await good("exec", "job", "--", "cat", "/etc/image"), "from the image\n")
    // It takes its root along.
    await good("export", "job", "job.tar")
    await good("rm", "job")
    await good("import", "job.tar", "--name", "job2")
    assert.strictEqual(await good("exec", "job2", "--", "cat", "/etc/image"), "from the image\n")
    // The image of a snapshot that is gone goes when pruned, and no other: the imported one is read from its own.
    const images = readdirSync(join(home, "images"))
    assert.lengthOf(images, 2)
    const { images: gone } = await answered("prune", "--json")
    assert.lengthOf(gone as ReadonlyArray<unknown>, 1)
    assert.deepStrictEqual(
      readdirSync(join(home, "images")),
      images.filter((name) => name.startsWith("of-"))
    )
    assert.strictEqual(await good("exec", "job2", "--", "cat", "/etc/image"), "from the image\n")
    await good("verify", "job2")
  })

  it("an-image-is-captured-once-for-whoever-runs-in-it-and-goes-when-pruned", async () => {
    const wget = ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"]
    const at = ["--at", "listener:8080"]
    assert.include(await good("run", "kit:httpd", ...at, "--", ...wget), "<title>Stillpoint</title>")
    const { snapshots: captured } = (await answered("ls", "--json")) as { readonly snapshots: ReadonlyArray<unknown> }
    const again = await run("run", "kit:httpd", ...at, "--", "sh", "-c", "exit 7")
    assert.strictEqual(again.status, 7, again.stderr)
    const { snapshots: still } = (await answered("ls", "--json")) as { readonly snapshots: ReadonlyArray<unknown> }
    assert.lengthOf(still, captured.length)
    const would = await answered("prune", "--dry-run", "--json")
    assert.lengthOf(would["snapshots"] as ReadonlyArray<unknown>, 1)
    const gone = await answered("prune", "--json")
    assert.deepStrictEqual(gone["snapshots"], would["snapshots"])
    const { snapshots: left } = (await answered("ls", "--json")) as { readonly snapshots: ReadonlyArray<unknown> }
    assert.lengthOf(left, captured.length - 1)
    assert.strictEqual((await answered("inspect", "web", "--json"))["snapshot"], baked["snapshot"])
  })

  it("a-file-goes-out-of-a-snapshot-and-into-one-that-gets-a-name", async () => {
    const page = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 31) % 256))
    writeFileSync(join(folder, "page"), page)
    const copied = await answered("cp", "./page", "web:/www/", "--name", "web:with-page", "--json")
    assert.strictEqual(copied["name"], "web:with-page")
    assert.isBelow(ownShare(join(home, "snapshots", String(copied["snapshot"]))), 0.2)
    for (const [to, file] of [
      ["back", "back"],
      [".", "page"]
    ] as const) {
      writeFileSync(join(folder, file), "")
      await good("cp", "web:with-page:/www/page", to)
      assert.isTrue(readFileSync(join(folder, file)).equals(page))
    }
    assert.strictEqual((await run("cp", "web:/www/page", "never")).status, 1)
    assert.isFalse(readdirSync(folder).some((name) => name.startsWith("never")))
    assert.include(await good("cp", "web:/www/index.html", "-"), "<title>Stillpoint</title>")
    const { names } = await answered("untag", "web:with-page", "--json")
    assert.deepStrictEqual(names, [])
    await good("rm", String(copied["snapshot"]))
  })

  it("a-policy-is-replayed-on-what-was-recorded-and-decides-as-it-did", async () => {
    const again = await answered("replay", "web", "--at", "listener:8080 & calm 20ms | after 10s", "--json")
    // All but what only a capture knows: that the guest stood still, and on which engine.
    assert.deepStrictEqual(String(again["why"]).split("\n"), String(baked["why"]).split("\n").slice(0, -2))
    const at = ["--at", "listener:8080 | after 10s", "--json"]
    const decided = await answered("replay", "web", ...at)
    const recorded = await answered("record", "kit:httpd", "--seconds", "5", "--out", "boot.jsonl", "--json")
    assert.strictEqual(recorded["guestNanos"], 5e9)
    // The same guest does the same until it is asked to freeze.
    assert.deepStrictEqual(await answered("replay", "./boot.jsonl", ...at), decided)
    writeFileSync(
      join(folder, "policy.ts"),
      "export default (all: any) => all.precedence([all.onListener({ port: 8080 }), all.afterGuestTime('10 seconds')])"
    )
    assert.deepStrictEqual(await answered("replay", "./boot.jsonl", "--at", "./policy.ts", "--json"), decided)
    // Nobody asked its agent to freeze anything.
    const calm = await answered("replay", "./boot.jsonl", "--at", "listener:8080 & calm 20ms | after 3s", "--json")
    assert.deepInclude(calm, { cause: "listener", agent: "none" })
    assert.isAtLeast(Number(calm["guestNanos"]), Number(decided["guestNanos"]) + 20e6)
    const never = await run("replay", "./boot.jsonl", "--at", "listener:81")
    assert.strictEqual(never.status, 1)
    assert.match(never.stderr, /did not fire before the guest ended/)
  })

  it("what-makes-no-sense-is-told-with-what-was-meant-and-a-status-of-its-own", async () => {
    for (const [status, says, ...args] of mistakes) {
      const ran = await run(...args)
      assert.strictEqual(ran.status, status, `${args.join(" ")}: ${ran.stderr}`)
      assert.strictEqual(ran.stdout, "", args.join(" "))
      assert.match(ran.stderr, says)
      assert.notMatch(ran.stderr, /\n {4}at /)
    }
  })

  it("a-bake-that-is-ended-leaves-nothing-and-says-by-which-signal", async () => {
    const folderOfSnapshots = join(home, "snapshots")
    const before = readdirSync(folderOfSnapshots)
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      const ended = await runStillpoint(folder, ["bake", "kit:httpd", "--at", "after 2000h", "--json"], (child) => {
        // As soon as it has begun to make something.
        const watcher = watch(folderOfSnapshots, () => {
          if (!standing().some((name) => name.endsWith(".lock"))) return
          watcher.close()
          child.kill(signal)
        })
        child.once("close", () => watcher.close())
      })
      assert.strictEqual(ended.status, 128 + constants.signals[signal], ended.stderr)
      assert.strictEqual(ended.stdout, "")
      assert.deepStrictEqual(readdirSync(folderOfSnapshots), before)
    }
  })

  it("a-port-is-served-by-one-clone-or-by-one-for-each-request-until-it-is-ended", async () => {
    for (const [verb, of, ...options] of [
      ["serve", "web"],
      ["serve", "web", "--clone-per-request"],
      ["up", "kit:httpd"]
    ] as const) {
      const pages: Array<Promise<string>> = []
      const args = [verb, of, "--publish", "127.0.0.1:0:8080", "--json", ...options]
      const { status, stderr } = await runStillpoint(folder, args, (child) => {
        child.stdout?.once("data", (line: string) => {
          const { hostPort } = JSON.parse(line) as { readonly hostPort: number }
          const page = async () => (await fetch(`http://127.0.0.1:${hostPort}/`)).text()
          pages.push(
            page()
              .then(page)
              .finally(() => child.kill("SIGTERM"))
          )
        })
      })
      assert.strictEqual(status, 143, stderr)
      assert.lengthOf(pages, 1)
      assert.include(await pages[0], "<title>Stillpoint</title>")
    }
  })

  it("what-cannot-be-written-is-told-and-is-no-success", async () => {
    const full = await open("/dev/full", "w")
    try {
      for (const [status, ...args] of [
        [1, "ls", "--json"],
        [125, "exec", "web", "--", "echo", "out"],
        [1, "export", "web", "-"],
        [1, "report", "web", "--out", "-"],
        [1, "--completions", "bash"]
      ] as const) {
        const ran = await runStillpoint(folder, args, () => {}, full.fd)
        assert.strictEqual(ran.stderr, "stillpoint: standard output cannot be written: ENOSPC\n", args.join(" "))
        assert.strictEqual(ran.status, status, args.join(" "))
      }
    } finally {
      await full.close()
    }
  })

  it("who-reads-no-more-ends-it", async () => {
    const { status } = await runStillpoint(
      folder,
      ["exec", "web", "--", "sh", "-c", "while :; do echo y; done"],
      (child) => {
        child.stdout?.once("data", () => child.stdout?.destroy())
      }
    )
    assert.strictEqual(status, 141)
    assert.isFalse(existsSync(join(folder, "core")))
  })
})
