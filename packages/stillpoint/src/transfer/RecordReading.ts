/**
 * Reading the record of a snapshot that comes from elsewhere, none of which is trusted.
 *
 * @module
 */
import { type Manifest, mostManifestBytes, mostSignaturesBytes, mostValidationBytes } from "@stillpoint/core"
import { Schema } from "effect"
import { TransferReading } from "./readTransfer.ts"
import {
  fileOf,
  imageFile,
  manifestOf,
  pieceBytes,
  type RecordFile,
  type RecordKind,
  signaturesOf,
  TransferRecord,
  validationOf
} from "./transferRecord.ts"

/** The pieces of one snapshot that must be fetched. */
export interface Plan {
  readonly manifest: Manifest
  readonly files: ReadonlyArray<RecordFile>
  /** Names in the directory of its contents, by the paths of the record. */
  readonly names: ReadonlyMap<string, string>
}

/** Reads the parts of one snapshot; throws a named error for a part that is wrong. */
export class RecordReading extends TransferReading {
  record(bytes: Uint8Array, { format, version }: RecordKind): TransferRecord {
    const record = this.versioned(bytes, {
      name: "the record of a snapshot",
      version: Schema.Struct({ format: Schema.Literal(format), version: Schema.Natural }),
      supported: version,
      record: TransferRecord
    })
    if (new Set(record.snapshots).size !== record.snapshots.length) {
      throw this.invalid("every snapshot once", "a lineage that leads back to itself")
    }
    if (new Set(record.files.map(({ path }) => path)).size !== record.files.length) {
      throw this.invalid("every file once", "one that is there twice")
    }
    for (const file of record.files) {
      const [digest = "", name = "", ...more] = file.path.split("/")
      const isOfSnapshot =
        record.snapshots.includes(digest) && (name === "files" ? more.length === 1 : more.length === 0)
      if (!isOfSnapshot && file.path !== imageFile)
        throw this.invalid("files of its snapshots and their image", file.path)
      this.checkPieces(file)
      // Zeros are left out of memory and images; all other files are complete.
      const bytes = file.pieces.reduce((sum, { size }) => sum + size, 0)
      if (name !== "files" && file.path !== imageFile && bytes !== file.sizeBytes) {
        throw this.invalid(`all ${file.sizeBytes} bytes of ${file.path}`, `${bytes}`)
      }
    }
    return record
  }

  /** Checks that pieces follow each other within their file. */
  private checkPieces({ path, pieces, sizeBytes }: RecordFile): void {
    let end = 0
    for (const { offset, size } of pieces) {
      if (offset < end || size === 0 || size > pieceBytes || offset + size > sizeBytes) {
        throw this.invalid(
          `pieces of ${path} of 1 to ${pieceBytes} bytes, one behind the other in ${sizeBytes}`,
          `${size} at ${offset}`
        )
      }
      end = offset + size
    }
  }

  /** A file that the record must have. */
  file(record: TransferRecord, path: string): RecordFile {
    const found = record.files.find((file) => file.path === path)
    if (found === undefined) throw this.invalid(`the file ${path}`, "none")
    return found
  }

  readonly checkManifestSize = ({ path, sizeBytes }: RecordFile): void => {
    if (sizeBytes > mostManifestBytes)
      throw this.invalid(`${path} of at most ${mostManifestBytes} bytes`, `${sizeBytes}`)
  }

  /** The pieces to fetch for one snapshot of the lineage, whose manifest has arrived. */
  plan(record: TransferRecord, digest: string, bytes: Uint8Array): Plan {
    const path = manifestOf(digest)
    const parent = record.snapshots[record.snapshots.indexOf(digest) + 1] ?? null
    const image = digest === record.snapshots[0] ? { image: record.image } : {}
    const manifest = this.manifest(path, bytes, { digest, parent, ...image })
    // At its origin the snapshot was beside its parent in a store, as it will be here.
    if (manifest.parent !== null && manifest.parent.directory !== manifest.parent.digest) {
      throw this.invalid("a parent that stands beside it, called by its digest", manifest.parent.directory)
    }
    const names = new Map<string, string>()
    const files: Array<RecordFile> = []
    for (const { name, sizeBytes } of manifest.files) {
      const file = this.file(record, fileOf(digest, name))
      if (file.sizeBytes !== sizeBytes) throw this.invalid(`${file.path} of ${sizeBytes} bytes`, `${file.sizeBytes}`)
      names.set(file.path, name)
      files.push(file)
    }
    for (const [path, name, most] of [
      [validationOf(digest), "validation.json", mostValidationBytes],
      [signaturesOf(digest), "signatures.json", mostSignaturesBytes]
    ] as const) {
      const file = record.files.find((one) => one.path === path)
      if (file === undefined) continue
      if (file.sizeBytes > most) throw this.invalid(`${path} of at most ${most} bytes`, `${file.sizeBytes}`)
      names.set(path, name)
      files.push(file)
    }
    const known = new Set([path, ...names.keys()])
    const other = record.files.find((file) => file.path.startsWith(`${digest}/`) && !known.has(file.path))
    if (other !== undefined) throw this.invalid(`the files of ${digest}`, other.path)
    return { manifest, files, names }
  }
}
