import { assert, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { splitClearsigned } from "./clearsigned.ts"
import { SignatureVerifier } from "./SignatureVerifier.ts"

const has = (program: string) => spawnSync(program, ["--version"]).status === 0
const missing = ["gpg", "gpgv"].filter((program) => !has(program)).join(" and ")

/** A key of its own, its armored and binary public form, and a way to clear-sign with it. */
const makeKey = Effect.acquireRelease(
  Effect.sync(() => {
    const home = mkdtempSync(join(tmpdir(), "stillpoint-gpg-"))
    const gpg = (args: ReadonlyArray<string>, input = "") => {
      const ended = spawnSync(
        "gpg",
        ["--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", ...args],
        {
          input
        }
      )
      assert.strictEqual(ended.status, 0, ended.stderr.toString())
      return ended.stdout
    }
    gpg(["--passphrase", "", "--quick-generate-key", "Archive of a test <test@example.invalid>", "ed25519", "sign"])
    const [armored, binary] = [join(home, "key.asc"), join(home, "key.gpg")]
    writeFileSync(armored, gpg(["--armor", "--export"]))
    writeFileSync(binary, gpg(["--export"]))
    return { home, armored, binary, sign: (text: string) => gpg(["--clear-sign"], text).toString() }
  }),
  ({ home }) =>
    Effect.sync(() => {
      spawnSync("gpgconf", ["--homedir", home, "--kill", "all"])
      rmSync(home, { recursive: true, force: true })
    })
)

const verify = (keyrings: ReadonlyArray<string>, text: string, signature: string) =>
  SignatureVerifier.use((verifier) => verifier.verify("InRelease", text, signature)).pipe(
    Effect.provide(SignatureVerifier.layerKeyrings(keyrings)),
    Effect.result
  )

it.effect.skipIf(missing !== "")(
  `a-signature-holds-for-its-text-and-key-alone${missing === "" ? "" : ` (skipped: ${missing} not installed)`}`,
  () =>
    Effect.gen(function* () {
      const key = yield* makeKey
      const other = yield* makeKey
      const text = "Codename: trixie\n\n- with a dash\n-- and two\nSHA256:\n abc 1 main/x\n"
      const parts = Result.getOrThrow(splitClearsigned("x", key.sign(text)))
      for (const keyring of [key.binary, key.armored]) {
        assert.isTrue(Result.isSuccess(yield* verify([keyring], parts.text, parts.signature)), keyring)
      }
      const changed = yield* verify([key.binary], parts.text.replace("trixie", "sid"), parts.signature)
      assert.isTrue(Result.isFailure(changed) && changed.failure.reason._tag === "SignatureInvalid")
      const foreign = yield* verify([other.binary], parts.text, parts.signature)
      assert.isTrue(Result.isFailure(foreign) && foreign.failure.reason._tag === "SignatureInvalid")
      writeFileSync(key.binary, "not a key")
      assert.isTrue(Result.isFailure(yield* verify([key.binary], parts.text, parts.signature)))
      assert.isAbove(readFileSync(key.armored).length, 0)
    })
)

it.effect("a-missing-keyring-is-named-with-the-command-that-installs-it", () =>
  Effect.gen(function* () {
    const result = yield* verify(["/no/such/keyring"], "text", "signature")
    assert.isTrue(Result.isFailure(result))
    if (Result.isSuccess(result)) return
    assert.strictEqual(result.failure.reason._tag, "PrerequisiteMissing")
    assert.include(result.failure.message, "apt-get install debian-archive-keyring")
  })
)

it.effect("a-place-for-temporary-files-that-is-not-there-is-named", () =>
  Effect.gen(function* () {
    const before = process.env["TMPDIR"]
    process.env["TMPDIR"] = "/no/such/folder"
    const result = yield* verify([process.execPath], "text", "signature").pipe(
      Effect.ensuring(
        Effect.sync(() => {
          if (before === undefined) delete process.env["TMPDIR"]
          else process.env["TMPDIR"] = before
        })
      )
    )
    assert.isTrue(Result.isFailure(result))
    if (Result.isSuccess(result)) return
    assert.strictEqual(result.failure.reason._tag, "FileUnusable")
    assert.include(result.failure.message, "/no/such/folder")
  })
)

it.effect("a-missing-verifier-is-named-with-the-command-that-installs-it", () =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "stillpoint-keys-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    writeFileSync(join(folder, "keys.gpg"), "keys")
    const path = process.env["PATH"]
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        process.env["PATH"] = folder
      }),
      () =>
        Effect.sync(() => {
          process.env["PATH"] = path
        })
    )
    const result = yield* verify([join(folder, "keys.gpg")], "text", "signature")
    assert.isTrue(Result.isFailure(result))
    if (Result.isSuccess(result)) return
    assert.strictEqual(result.failure.reason._tag, "PrerequisiteMissing")
    assert.include(result.failure.message, "apt-get install gpgv")
  })
)
