/**
 * Reading what an archive or an artifact says of a snapshot, none of which is trusted.
 *
 * @module
 */
import { codeOf, decodeManifest, FileFault, type Manifest } from "@stillpoint/core"
import { Effect, Result, Schema } from "effect"
import { imageOf } from "../sandbox/imageSpec.ts"
import { TransferInvalid, TransferVersionUnknown } from "./TransferErrors.ts"

/** Longest text of what was found that is repeated. */
const mostFoundLength = 300

/** A record that says its version before anything else. */
interface RecordForm<A> {
  /** What it is, for people. */
  readonly name: string
  readonly version: Schema.Decoder<{ readonly version: number }>
  /** The version that this build reads. */
  readonly supported: number
  readonly record: Schema.Decoder<A>
}

/** What is said elsewhere of a snapshot whose manifest has come. */
interface Announced {
  readonly digest: string
  /** Digest of what it was taken against. */
  readonly parent: string | null
  /** Digest of the image that its guest runs; left out where nothing is said of it. */
  readonly image?: string | null
}

/** Reads what comes from one source; what is wrong with it is thrown by name. */
export class TransferReading {
  private readonly source: string

  constructor(source: string) {
    this.source = source
  }

  invalid(expected: string, found: string): TransferInvalid {
    const told = found.length > mostFoundLength ? `${found.slice(0, mostFoundLength)}…` : found
    return new TransferInvalid({ source: this.source, expected, found: told })
  }

  /** What JSON says; nothing where it is none. */
  json(bytes: Uint8Array): unknown {
    try {
      return JSON.parse(new TextDecoder().decode(bytes))
    } catch {
      return undefined
    }
  }

  versioned<A>(bytes: Uint8Array, { name, record, supported, version }: RecordForm<A>): A {
    const json = this.json(bytes)
    const of = Schema.decodeUnknownResult(version)(json)
    if (Result.isFailure(of)) throw this.invalid(name, of.failure.message)
    const { version: found } = of.success
    if (found !== supported) throw new TransferVersionUnknown({ source: this.source, found, supported })
    const decoded = Schema.decodeUnknownResult(record, { errors: "all" })(json)
    if (Result.isFailure(decoded)) throw this.invalid(name, decoded.failure.message)
    return decoded.success
  }

  /** The manifest of a snapshot, which is the one that was announced. */
  manifest(path: string, bytes: Uint8Array, announced: Announced): Manifest {
    const read = Effect.runSync(Effect.result(decodeManifest(path, new TextDecoder().decode(bytes))))
    if (Result.isFailure(read)) throw this.invalid("the manifest of a snapshot", read.failure.message)
    const manifest = read.success
    const { digest, image, parent } = announced
    if (manifest.digest !== digest) throw this.invalid(`the manifest ${digest}`, manifest.digest)
    if ((manifest.parent?.digest ?? null) !== parent) {
      throw this.invalid(`${digest} to be taken against ${parent ?? "nothing"}`, manifest.parent?.digest ?? "nothing")
    }
    if (image !== undefined && imageOf(manifest) !== image) {
      throw this.invalid(`image ${imageOf(manifest)}`, String(image))
    }
    return manifest
  }
}

/** What a transfer failed with: what is wrong with what came, or a file of this host that stood in its way. */
export const transferFailure =
  (operation: string, source: string) =>
  (cause: unknown): TransferInvalid | TransferVersionUnknown | FileFault =>
    cause instanceof TransferInvalid || cause instanceof TransferVersionUnknown
      ? cause
      : new FileFault({ operation, path: source, code: codeOf(cause) })
