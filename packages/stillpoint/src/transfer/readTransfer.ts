/**
 * Reads and checks the description of a snapshot in an archive or artifact, none of which is
 * trusted.
 *
 * @module
 */
import { codeOf, decodeManifest, FileFault, type Manifest } from "@stillpoint/core"
import { Effect, Result, Schema } from "effect"
import { imageOf } from "../sandbox/imageSpec.ts"
import { TransferInvalid, TransferVersionUnknown } from "./TransferErrors.ts"

/** Maximum length of found text that a message repeats. */
const mostFoundLength = 300

/** A record that says its version before anything else. */
interface RecordForm<A> {
  /** Its name, for messages. */
  readonly name: string
  readonly version: Schema.Decoder<{ readonly version: number }>
  /** The version that this build reads. */
  readonly supported: number
  readonly record: Schema.Decoder<A>
}

/** Facts about a snapshot from other documents, known when its manifest arrives. */
interface Announced {
  readonly digest: string
  /** Digest of its parent. */
  readonly parent: string | null
  /** Digest of the image that its guest runs; absent if unknown. */
  readonly image?: string | null
}

/** Reads one source; throws a named error if its content is wrong. */
export class TransferReading {
  private readonly source: string

  constructor(source: string) {
    this.source = source
  }

  invalid(expected: string, found: string): TransferInvalid {
    const told = found.length > mostFoundLength ? `${found.slice(0, mostFoundLength)}…` : found
    return new TransferInvalid({ source: this.source, expected, found: told })
  }

  /** The parsed JSON; `undefined` if the bytes are not JSON. */
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

  /** The manifest of a snapshot, checked against the announced one. */
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

/** The error of a failed transfer: a fault of the received content, or of a file on this host. */
export const transferFailure =
  (operation: string, source: string) =>
  (cause: unknown): TransferInvalid | TransferVersionUnknown | FileFault =>
    cause instanceof TransferInvalid || cause instanceof TransferVersionUnknown
      ? cause
      : new FileFault({ operation, path: source, code: codeOf(cause) })
