/** The command line with `--encryption-key`, and programs with `encryptionKey`. */
import { createHash, randomBytes } from "node:crypto"
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Redacted } from "effect"
import { Stillpoint } from "stillpoint"
import { assert, describe, it } from "vitest"
import { makeFolder, type Ran, runStillpoint } from "./runStillpoint.ts"

const { folder, home } = makeFolder()
const run = (...args: ReadonlyArray<string>): Promise<Ran> => runStillpoint(folder, args)

/** Runs what must succeed. */
const good = async (...args: ReadonlyArray<string>): Promise<string> => {
  const { status, stderr, stdout } = await run(...args)
  assert.strictEqual(status, 0, `${args.join(" ")}: ${stderr}`)
  return stdout
}

const keyFile = (name: string, content: Uint8Array | string, mode = 0o600): string => {
  const path = join(folder, name)
  writeFileSync(path, content, { mode })
  chmodSync(path, mode)
  return path
}

const secret = randomBytes(32)
const ours = keyFile("ours.key", secret)
const inHex = keyFile("ours.hex", `${secret.toString("hex")}\n`)
const theirs = keyFile("theirs.key", randomBytes(32))

/** All files of a folder that contain some bytes. */
const filesWith = (bytes: Buffer | string): ReadonlyArray<string> =>
  readdirSync(home, { recursive: true, encoding: "utf8" })
    .map((name) => join(home, name))
    .filter((path) => statSync(path).isFile() && readFileSync(path).includes(bytes))

describe("the command line with an encryption key", () => {
  it("stores-encrypted-snapshots-and-restores-only-those", async () => {
    const at = ["--at", "listener:8080 & calm 20ms | after 10s"]
    await good("bake", "kit:httpd", ...at, "--name", "web", "--encryption-key", ours)
    await good("bake", "kit:httpd", ...at, "--name", "open")
    const found = JSON.parse(await good("inspect", "web", "--json")) as Record<string, unknown>
    const keyId = String(found["encryptionKeyId"])
    assert.match(keyId, /^[0-9a-f]{64}$/)
    assert.strictEqual((JSON.parse(await good("inspect", "open", "--json")) as typeof found)["encryptionKeyId"], null)

    assert.strictEqual(await good("exec", "web", "--encryption-key", inHex, "--", "echo", "opened"), "opened\n")
    for (const [args, expected] of [
      [["web"], new RegExp(`is encrypted: expected the encryption key ${keyId}, found none`)],
      [
        ["web", "--encryption-key", theirs],
        new RegExp(`expected the encryption key ${keyId}, found the key [0-9a-f]{64}`)
      ],
      [["open", "--encryption-key", ours], /found one that is not encrypted/]
    ] as const) {
      const refused = await run("exec", ...args, "--", "true")
      assert.strictEqual(refused.status, 125)
      assert.match(refused.stderr, expected)
    }
    assert.strictEqual((await run("report", "web", "--out", "web.html")).status, 5)
    await good("report", "web", "--out", "web.html", "--encryption-key", ours)
    // Without the key.
    await good("explain", "web")
    await good("tag", "web", "again")
    await good("verify", "web")
    await good("verify", "web", "--encryption-key", ours)
    await good("export", "web", "web.tar")
    await good("rm", "web")
    await good("rm", "again")
    await good("import", "web.tar", "--name", "web")
    assert.strictEqual(await good("exec", "web", "--encryption-key", ours, "--", "echo", "moved"), "moved\n")

    for (const bytes of [secret, secret.toString("hex"), secret.toString("base64")]) {
      assert.deepStrictEqual(filesWith(bytes), [])
    }
  })

  it("caches-the-guests-of-each-key-apart", async () => {
    const ran = (...key: ReadonlyArray<string>) => good("run", "kit:httpd", "--at", "pre-exec", ...key, "--", "true")
    const cached = async (): Promise<number> =>
      (JSON.parse(await good("ls", "--json")) as { snapshots: ReadonlyArray<unknown> }).snapshots.length
    await ran("--encryption-key", ours)
    const one = await cached()
    await ran()
    assert.strictEqual(await cached(), one + 1)
    await ran("--encryption-key", ours)
    await ran()
    assert.strictEqual(await cached(), one + 1)
  })

  it("refuses-keys-of-another-form-and-files-that-others-can-read-and-tells-nothing-of-them", async () => {
    const digits = createHash("md5").update(secret).digest("hex")
    for (const [path, expected] of [
      [
        keyFile("shared.key", secret, 0o640),
        /expected a file that only its owner can read \(chmod 600\), found mode 640/
      ],
      [keyFile("short.key", "correct horse"), /expected 32 bytes, or 64 hexadecimal digits .*, found 13 bytes/],
      [keyFile("digits.key", digits), /found 32 hexadecimal digits/]
    ] as const) {
      const refused = await run("verify", "web", "--encryption-key", path)
      assert.strictEqual(refused.status, 2, refused.stderr)
      assert.match(refused.stderr, expected)
      assert.notMatch(refused.stderr, new RegExp(`correct horse|${digits}`))
    }
  })
})

describe("a program with an encryption key", () => {
  it("stores-what-only-the-key-opens-be-it-bytes-or-redacted", async () => {
    const encryptionKey = new Uint8Array(secret)
    const keys = { encryptionKey }
    const refusedFor = async (given: Parameters<typeof Stillpoint.of>[1]) => {
      const error: unknown = await Stillpoint.of("program", given).then(
        () => "opened",
        (cause: unknown) => cause
      )
      return String(error)
    }
    {
      await using sandbox = await Stillpoint.create({ image: "kit:httpd", captureAt: "pre-exec", home, keys })
      const { manifest } = await sandbox.snapshot("program")
      assert.match(manifest?.encryption?.keyId ?? "", /^[0-9a-f]{64}$/)
    }
    {
      await using sandbox = await Stillpoint.of("program", {
        home,
        keys: { encryptionKey: Redacted.make(encryptionKey) }
      })
      assert.strictEqual((await sandbox.exec("echo opened")).stdout, "opened\n")
    }
    assert.match(await refusedFor({ home }), /is encrypted: expected the encryption key [0-9a-f]{64}, found none/)
    const other = { encryptionKey: randomBytes(32) }
    assert.match(await refusedFor({ home, keys: other }), /expected the encryption key [0-9a-f]{64}, found the key/)
    assert.match(
      await refusedFor({ home, keys: { encryptionKey: randomBytes(31) } }),
      /expected 32 bytes .*, found 31 bytes/
    )
    assert.deepStrictEqual(filesWith(secret), [])
  })
})
