/**
 * A Debian archive as the kit sees it: packages found through the signed index of a suite.
 *
 * ```text
 * InRelease ──signature──> digests of index files ──SHA-256──> Packages.gz ──SHA-256──> each .deb
 * ```
 *
 * @module
 */
import type { GuestPlatform } from "@stillpoint/core"
import { Context, Effect, Layer, Schema } from "effect"
import { createReadStream } from "node:fs"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { createGunzip } from "node:zlib"
import { checkedConfig, FormatInvalid, KitError, PackageUnknown } from "../KitError.ts"
import { splitClearsigned } from "./clearsigned.ts"
import { download, fetchText, type OnProgress } from "./download.ts"
import { type ArchivePackage, PackageReader } from "./PackageIndex.ts"
import { fetchPast } from "./PastPackages.ts"
import { parseRelease } from "./ReleaseIndex.ts"
import { SignatureVerifier } from "./SignatureVerifier.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

/** The archive, and the used part of it. */
export interface ArchiveConfig {
  /** Root URL, without a slash at the end. */
  readonly url: string
  /** Codename of the suite. */
  readonly suite: string
  readonly architecture: string
  /**
   * Root URL of a service like snapshot.debian.org, which keeps packages that the archive has dropped; `null`:
   * none.
   */
  readonly pastUrl: string | null
}

const RootUrl = Schema.String.check(Schema.isPattern(/^https?:\/\/[^\s\0]+[^/\s\0]$/))
const Word = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._/-]*$/))

/** Like {@link ArchiveConfig}, for callers without types. */
const archiveConfigSchema = Schema.Struct({
  url: RootUrl,
  suite: Word,
  architecture: Word,
  pastUrl: Schema.NullOr(RootUrl)
})

/** Debian 13 for riscv64. */
export const debianTrixie: ArchiveConfig = {
  url: "http://deb.debian.org/debian",
  suite: "trixie",
  architecture: "riscv64",
  pastUrl: "https://snapshot.debian.org"
}

const releaseBytesMax = 4 << 20

/**
 * The service that finds and fetches packages.
 *
 * @example
 * ```ts no-run: asks Debian's archive
 * import { Archive } from "@stillpoint/kit"
 * import { Effect } from "effect"
 *
 * const found = Archive.use((archive) => archive.find((name) => name === "busybox-static"))
 * console.log(await Effect.runPromise(found.pipe(Effect.provide(Archive.layer))))
 * ```
 */
export class Archive extends Context.Service<
  Archive,
  {
    readonly config: ArchiveConfig
    /** The newest versions of the packages that `wanted` accepts, by name. */
    readonly find: (wanted: (name: string) => boolean) => Effect.Effect<ReadonlyMap<string, ArchivePackage>, KitError>
    /** Fetches a package that was found, or that a lock names, to `target`. */
    readonly fetch: (
      item: Pick<ArchivePackage, "filename" | "sizeBytes" | "sha256">,
      target: string,
      onProgress: OnProgress
    ) => Effect.Effect<void, KitError>
    /** Fetches exactly that package from the service for old packages. */
    readonly fetchPast: (
      item: Omit<ArchivePackage, "depends">,
      target: string,
      onProgress: OnProgress
    ) => Effect.Effect<void, KitError>
  }
>()("@stillpoint/kit/Archive") {
  /** The archive of `config`; needs a {@link SignatureVerifier}. */
  static readonly layerNoDeps = (given: ArchiveConfig) =>
    Layer.effect(
      Archive,
      Effect.gen(function* () {
        const config = yield* checkedConfig("the archive", archiveConfigSchema, given)
        const verifier = yield* SignatureVerifier
        return Archive.of({
          config,
          find: (wanted) => find(config, verifier, wanted),
          fetch: (item, target, onProgress) => download(`${config.url}/${item.filename}`, item, target, onProgress),
          fetchPast: (item, target, onProgress) =>
            config.pastUrl === null
              ? Effect.fail(
                  new KitError({ reason: new PackageUnknown({ name: item.name, source: "no past archive" }) })
                )
              : fetchPast(config.pastUrl, item, target, onProgress)
        })
      })
    )

  /** Debian 13 for guests of that platform, verified with the keyring of this host. */
  static readonly layerOf = (platform: GuestPlatform) =>
    Layer.provide(Archive.layerNoDeps({ ...debianTrixie, architecture: platform }), SignatureVerifier.layer)

  /** Debian 13 for riscv64, verified with the keyring of this host. */
  static readonly layer = Layer.orDie(Archive.layerOf("riscv64"))
}

const invalid = (source: string, expected: string, found: string) =>
  new KitError({ reason: new FormatInvalid({ source, expected, found }) })

const readRelease = Effect.fn("Archive.readRelease")(function* (
  config: ArchiveConfig,
  verifier: SignatureVerifier["Service"]
) {
  const url = `${config.url}/dists/${config.suite}/InRelease`
  const parts = yield* fetchText(url, releaseBytesMax).pipe(
    Effect.flatMap((message) => Effect.fromResult(splitClearsigned(url, message))),
    Effect.mapError((reason) => (reason instanceof KitError ? reason : new KitError({ reason })))
  )
  yield* verifier.verify(url, parts.text, parts.signature)
  const release = yield* Effect.fromResult(parseRelease(url, parts.text)).pipe(
    Effect.mapError((reason) => new KitError({ reason }))
  )
  // A signed index of another suite, or one from the past, is as good as a forged one.
  if (release.codename !== config.suite) return yield* invalid(url, `the suite ${config.suite}`, release.codename)
  if (release.validUntilMillis !== null && !(release.validUntilMillis > Date.now())) {
    return yield* invalid(url, "an index that is still valid", `one that ended ${release.validUntilMillis}`)
  }
  return release
})

/** Reads the stanzas of a gzip-compressed index. */
const readIndex = (path: string, reader: PackageReader): Effect.Effect<void, KitError> =>
  Effect.tryPromise({
    try: async (signal) => {
      const gunzip = createGunzip()
      gunzip.setEncoding("utf8")
      await pipeline(
        createReadStream(path),
        gunzip,
        async (pieces: AsyncIterable<string>) => {
          for await (const piece of pieces) reader.push(piece)
        },
        { signal }
      )
      reader.end()
    },
    catch: (cause) => invalid(path, "a gzip-compressed package index", String(cause))
  })

const findOnce = Effect.fn("Archive.find")(function* (
  config: ArchiveConfig,
  verifier: SignatureVerifier["Service"],
  wanted: (name: string) => boolean
) {
  const release = yield* readRelease(config, verifier)
  const folder = `main/binary-${config.architecture}`
  const index = release.files.get(`${folder}/Packages.gz`)
  if (index === undefined) {
    return yield* invalid(`${config.url}/dists/${config.suite}`, `${folder}/Packages.gz`, "no such index")
  }
  const temporary = yield* temporaryFolder("index")
  const target = join(temporary, "Packages.gz")
  const base = `${config.url}/dists/${config.suite}/${folder}`
  const plain = download(`${base}/Packages.gz`, index, target, () => {})
  yield* release.byHash
    ? download(`${base}/by-hash/SHA256/${index.sha256}`, index, target, () => {}).pipe(Effect.catch(() => plain))
    : plain
  const reader = new PackageReader(wanted)
  yield* readIndex(target, reader)
  return reader.found as ReadonlyMap<string, ArchivePackage>
}, Effect.scoped)

/** If the archive was updated between its release file and its index, both are fetched again. */
const find: typeof findOnce = (config, verifier, wanted) =>
  findOnce(config, verifier, wanted).pipe(
    Effect.retry({ times: 1, while: (error) => error.reason._tag === "DigestMismatch" })
  )

/** The package of that name, or the error that names it. */
export const requirePackage = (
  config: ArchiveConfig,
  found: ReadonlyMap<string, ArchivePackage>,
  name: string
): Effect.Effect<ArchivePackage, KitError> => {
  const item = found.get(name)
  if (item !== undefined) return Effect.succeed(item)
  const source = `${config.suite}/main of ${config.url} for ${config.architecture}`
  return Effect.fail(new KitError({ reason: new PackageUnknown({ name, source }) }))
}
