/**
 * Options for the image cache and for access to registries.
 *
 * @module
 */
import { schemaProblems } from "@stillpoint/core"
import type { NativeImages } from "@stillpoint/native"
import { Effect, Redacted, Result, Schema } from "effect"
import { homedir } from "node:os"
import { join, resolve as absolute } from "node:path"
import { ImageError, type ImageReason } from "./ImageError.ts"

const bytes = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const secret = Schema.Union([Schema.String, Schema.Redacted(Schema.String)])

const RegistryData = Schema.Struct({
  mirrors: Schema.optionalKey(Schema.Array(Schema.String)),
  credentials: Schema.optionalKey(
    Schema.Union([
      Schema.Struct({ username: Schema.String, password: secret }),
      Schema.Struct({ identityToken: secret })
    ])
  ),
  certificateAuthorities: Schema.optionalKey(Schema.Array(Schema.String)),
  tls: Schema.optionalKey(Schema.Boolean)
})

/** Options of one registry. */
export interface RegistryOptions {
  /** URLs of mirrors, which are tried first, in this order. */
  readonly mirrors?: ReadonlyArray<string>
  /** Credentials to use instead of those in Docker's configuration. */
  readonly credentials?:
    | { readonly username: string; readonly password: string | Redacted.Redacted<string> }
    | { readonly identityToken: string | Redacted.Redacted<string> }
  /** Files of certificates (PEM) to trust instead of the system's. */
  readonly certificateAuthorities?: ReadonlyArray<string>
  /** Whether to use TLS for a registry on this host (default: no); it is always used for others. */
  readonly tls?: boolean
}

/** The part of the options that is data. */
export const ImagesData = Schema.Struct({
  cacheDirectory: Schema.optionalKey(Schema.String.check(Schema.isMinLength(1))),
  maxBytes: Schema.optionalKey(bytes),
  registries: Schema.optionalKey(Schema.Record(Schema.String, RegistryData)),
  dockerConfig: Schema.optionalKey(Schema.String),
  silenceMillis: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)))
})

/** Options of the image cache and of registries. */
export interface ImagesOptions {
  /** The cache; default: `STILLPOINT_IMAGES_DIR`, else a folder in the user's cache. Any number of processes may share it. */
  readonly cacheDirectory?: string
  /** Maximum bytes in the cache; the least recently used images are removed first, those in use stay. Default: 32 GiB. */
  readonly maxBytes?: number
  /** Options of single registries, by host and port as in references. */
  readonly registries?: Readonly<Record<string, RegistryOptions>>
  /** Docker's `config.json`; default: in `DOCKER_CONFIG`, else in `~/.docker`. */
  readonly dockerConfig?: string
  /** Longest silence of a registry before it is given up; default: 30,000. */
  readonly silenceMillis?: number
}

/**
 * Everything that is wrong with options of images; empty if nothing is.
 *
 * @example
 * ```ts
 * import { imagesOptionsProblems } from "@stillpoint/images"
 *
 * console.log(imagesOptionsProblems({ maxBytes: 2 ** 30 })) // []
 * ```
 */
export const imagesOptionsProblems = (options: unknown): ReadonlyArray<string> =>
  schemaProblems("images", ImagesData, options)

const usualDirectory = (environment: NodeJS.ProcessEnv): string => {
  const named = environment["STILLPOINT_IMAGES_DIR"]
  if (named !== undefined && named !== "") return named
  const cache = environment["XDG_CACHE_HOME"]
  return join(cache !== undefined && cache !== "" ? cache : join(homedir(), ".cache"), "stillpoint/images")
}

/** An error of the bridge. */
export const errorOf = ({ message, name }: NativeImages.Failure): ImageError =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a test sends every name across
  new ImageError({ reason: { _tag: name, message } as ImageReason })

/** The value, if it fits the schema; otherwise all its problems. */
export const checked = <S extends Schema.Constraint>(schema: S, found: unknown): Effect.Effect<S["Type"], ImageError> =>
  Effect.suspend(() => {
    const decoded = Schema.decodeUnknownResult(schema as never, { errors: "all", onExcessProperty: "error" })(found)
    return Result.isSuccess(decoded)
      ? Effect.succeed(decoded.success as S["Type"])
      : Effect.fail(new ImageError({ reason: { _tag: "OptionsInvalid", message: decoded.failure.message } }))
  })

const revealed = (text: string | Redacted.Redacted<string>): string =>
  typeof text === "string" ? text : Redacted.value(text)

/** The options as the bridge has them. */
export const storeOf = (options: ImagesOptions): NativeImages.ImageStore => ({
  cacheDirectory: absolute(options.cacheDirectory ?? usualDirectory(process.env)),
  maxBytes: options.maxBytes ?? 32 * 2 ** 30,
  registries: Object.entries(options.registries ?? {}).map(([registry, said]) => {
    const { credentials } = said
    return {
      registry,
      mirrors: [...(said.mirrors ?? [])],
      username: credentials !== undefined && "username" in credentials ? credentials.username : null,
      password: credentials !== undefined && "password" in credentials ? revealed(credentials.password) : null,
      identityToken:
        credentials !== undefined && "identityToken" in credentials ? revealed(credentials.identityToken) : null,
      certificateAuthorities: [...(said.certificateAuthorities ?? [])],
      tls: said.tls ?? false
    }
  }),
  dockerConfig: options.dockerConfig ?? null,
  silenceMillis: options.silenceMillis ?? 30_000
})
