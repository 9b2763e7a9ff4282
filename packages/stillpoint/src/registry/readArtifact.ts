/**
 * Reads and checks a registry's answers, none of which is trusted.
 *
 * @module
 */
import { Result, Schema } from "effect"
import { RecordReading } from "../transfer/RecordReading.ts"
import { mostRecordBytes } from "../transfer/transferRecord.ts"
import { ArtifactManifest, artifactType } from "./artifactManifest.ts"

/** Reads the parts of one artifact; throws a named error for a part that is wrong. */
export class ArtifactReading extends RecordReading {
  /** The place of the record, from the artifact's manifest. */
  config(bytes: Uint8Array): { readonly digest: string; readonly size: number } {
    const found = this.json(bytes)
    const decoded = Schema.decodeUnknownResult(ArtifactManifest)(found)
    if (Result.isFailure(decoded)) {
      const kind = Schema.decodeUnknownResult(Schema.Struct({ artifactType: Schema.String }))(found)
      const what = Result.isFailure(kind) ? "an image, or something else" : kind.success.artifactType
      throw this.invalid(`an artifact of ${artifactType}`, what === artifactType ? decoded.failure.message : what)
    }
    const { digest, size } = decoded.success.config
    if (size > mostRecordBytes) throw this.invalid(`a record of at most ${mostRecordBytes} bytes`, `${size} bytes`)
    return { digest: digest.replace("sha256:", ""), size }
  }
}
