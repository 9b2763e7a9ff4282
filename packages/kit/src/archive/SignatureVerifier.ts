/**
 * Checks detached OpenPGP signatures against Debian's archive keys, with a verifier that Debian ships.
 *
 * @module
 */
import { PlainText } from "@stillpoint/core"
import { Context, Effect, Layer, Schema } from "effect"
import { access, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { readHostFile } from "../initramfs/readHostFile.ts"
import { checkedConfig, KitError, PrerequisiteMissing, SignatureInvalid } from "../KitError.ts"
import { runProgram } from "../runProgram.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

/** The service that says whether a text is signed by a trusted key. */
export class SignatureVerifier extends Context.Service<
  SignatureVerifier,
  {
    /** Succeeds when `signature` is a good one of `text` by a key of the keyring; `source` names it in errors. */
    readonly verify: (source: string, text: string, signature: string) => Effect.Effect<void, KitError>
  }
>()("@stillpoint/kit/SignatureVerifier") {
  /** `gpgv` or `sqv`, whichever is installed (apt depends on one of them), with the keyring of {@link keyrings}. */
  static readonly layer = Layer.sync(SignatureVerifier, () => SignatureVerifier.of({ verify: verifyWith(keyrings) }))

  /** The same with keyrings of your own, e.g. for a private archive. The first that exists is used. */
  static readonly layerKeyrings = (paths: ReadonlyArray<string>) =>
    Layer.effect(
      SignatureVerifier,
      Effect.map(checkedConfig("keyrings", Schema.Array(PlainText), paths), (checked) =>
        SignatureVerifier.of({ verify: verifyWith(checked) })
      )
    )
}

/** The paths of Debian's archive keys; `STILLPOINT_KIT_KEYRING` names another one. */
export const keyrings: ReadonlyArray<string> = [
  ...(process.env["STILLPOINT_KIT_KEYRING"] === undefined ? [] : [process.env["STILLPOINT_KIT_KEYRING"]]),
  "/usr/share/keyrings/debian-archive-keyring.gpg",
  "/usr/share/keyrings/debian-archive-keyring.pgp",
  "/etc/apt/trusted.gpg.d"
]

/** The binary form of a key file; an armored one is decoded, since `gpgv` does not read those. */
const dearmor = (read: Uint8Array): Buffer => {
  const bytes = Buffer.from(read.buffer, read.byteOffset, read.byteLength)
  const text = bytes.toString("latin1")
  if (!text.startsWith("-----BEGIN PGP PUBLIC KEY BLOCK-----")) return bytes
  const blocks = text.matchAll(
    /^-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:.+\r?\n)*\r?\n([A-Za-z0-9+/=\s]*?)^(?:=|-)/gm
  )
  return Buffer.concat([...blocks].map((block) => Buffer.from(block[1] ?? "", "base64")))
}

/** Maximum bytes of a file of keys. */
const mostKeyBytes = 16 << 20

/** All keys of a keyring file or of a folder of them, as one binary keyring. */
const readKeyring = async (path: string): Promise<Buffer> => {
  const names = await readdir(path).catch(() => undefined)
  if (names === undefined) return dearmor(await readHostFile(path, mostKeyBytes))
  const files = names.filter((name) => /\.(gpg|pgp|asc)$/.test(name)).sort()
  return Buffer.concat(
    await Promise.all(files.map(async (name) => dearmor(await readHostFile(join(path, name), mostKeyBytes))))
  )
}

const firstThatExists = async (paths: ReadonlyArray<string>): Promise<string | undefined> => {
  for (const path of paths) {
    if (
      await access(path).then(
        () => true,
        () => false
      )
    )
      return path
  }
  return undefined
}

const verifyWith = (paths: ReadonlyArray<string>) =>
  Effect.fn("SignatureVerifier.verify")(function* (source: string, text: string, signature: string) {
    const keyring = yield* Effect.promise(() => firstThatExists(paths))
    if (keyring === undefined) {
      return yield* new KitError({
        reason: new PrerequisiteMissing({
          what: `the keyring of Debian's archive (looked for ${paths.join(", ")})`,
          install: "install it with: sudo apt-get install debian-archive-keyring; or name one in STILLPOINT_KIT_KEYRING"
        })
      })
    }
    const folder = yield* temporaryFolder("signature")
    const [keys, message, detached] = [join(folder, "keys.gpg"), join(folder, "text"), join(folder, "text.asc")]
    yield* Effect.tryPromise({
      try: async () => {
        await writeFile(keys, await readKeyring(keyring))
        await writeFile(message, text)
        await writeFile(detached, signature)
      },
      catch: (cause) => new KitError({ reason: new SignatureInvalid({ source, detail: `${keyring}: ${cause}` }) })
    })
    for (const program of ["gpgv", "sqv"]) {
      const ended = yield* runProgram(program, ["--keyring", keys, detached, message])
      if (ended === "absent") continue
      if (ended.code === 0) return
      const detail = `${program} said: ${ended.stderr.trim().split("\n").slice(-3).join(" / ")}`
      return yield* new KitError({ reason: new SignatureInvalid({ source, detail }) })
    }
    return yield* new KitError({
      reason: new PrerequisiteMissing({
        what: "a verifier of OpenPGP signatures (gpgv or sqv)",
        install: "install one with: sudo apt-get install gpgv (macOS: brew install gnupg)"
      })
    })
  }, Effect.scoped)
