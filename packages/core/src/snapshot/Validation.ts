/**
 * The verdict of a validation, kept with the contents of the capture it speaks about.
 *
 * @module
 */
import { Effect, Result, Schema } from "effect"
import { parseBoundedJson } from "../internal/boundedJson.ts"
import { ManifestEdited, ManifestUnreadable, sealOf, Sha256 } from "./Manifest.ts"

/** A run of touched pages: guest-physical address of the first, and how many follow it without a gap. */
export const PageRange = Schema.Struct({ address: Schema.Natural, pages: Schema.Natural })
export type PageRange = typeof PageRange.Type

/** Pages that a restored machine touched until the probe succeeded. */
export const WorkingSet = Schema.Struct({ pages: Schema.Natural, ranges: Schema.Array(PageRange) })
export type WorkingSet = typeof WorkingSet.Type

/** The record in `validation.json`, bound to one manifest by its digest. */
export const Validation = Schema.Struct({
  format: Schema.Literal("stillpoint-validation"),
  version: Schema.Literal(1),
  manifestDigest: Sha256,
  verdict: Schema.Literals(["passed", "failed"]),
  /** The probe's evidence, or the reason of its failure. */
  detail: Schema.String,
  workingSet: Schema.NullOr(WorkingSet),
  /** Evidence and working set of an encrypted snapshot, encrypted, in base64; `detail` and `workingSet` are then empty in the file. */
  sealed: Schema.optionalKey(Schema.String),
  digest: Sha256
})
export type Validation = typeof Validation.Type

/** Largest validation record that is written or read, bytes. */
export const mostValidationBytes = 64 << 20

const pageBytes = 4096

/** Ranges of ascending pages from their addresses, in any order, duplicates allowed. */
export const workingSetOf = (addresses: Iterable<number>): WorkingSet => {
  const ranges: Array<{ address: number; pages: number }> = []
  let pages = 0
  for (const address of [...new Set(addresses)].toSorted((a, b) => a - b)) {
    pages += 1
    const last = ranges.at(-1)
    if (last !== undefined && last.address + last.pages * pageBytes === address) last.pages += 1
    else ranges.push({ address, pages: 1 })
  }
  return { pages, ranges }
}

/** A sealed verdict about the manifest with the given digest. */
export const makeValidation = (options: {
  readonly manifestDigest: string
  readonly verdict: "passed" | "failed"
  readonly detail: string
  readonly workingSet: WorkingSet | null
  readonly sealed?: string
}): Validation => {
  const { detail, manifestDigest, sealed, verdict, workingSet } = options
  const open = {
    format: "stillpoint-validation" as const,
    version: 1 as const,
    manifestDigest,
    verdict,
    detail,
    workingSet,
    ...(sealed === undefined ? {} : { sealed })
  }
  return { ...open, digest: sealOf(open) }
}

/** Bytes of `validation.json`. */
export const encodeValidation = (validation: Validation): Uint8Array =>
  new TextEncoder().encode(validationText(validation))

const validationText = (record: unknown): string => `${JSON.stringify(record)}\n`

/** Reads the text of a validation record found at `path` and checks its seal. */
export const decodeValidation = Effect.fnUntraced(function* (path: string, text: string) {
  const unreadable = (why: string) => new ManifestUnreadable({ path, why, record: "validation record" })
  const parsed = parseBoundedJson(text)
  if (Result.isFailure(parsed)) return yield* unreadable(parsed.failure)
  const raw = parsed.success
  if (validationText(raw) !== text) {
    return yield* unreadable("its text is not as it was written: it was cut or edited")
  }
  const validation = yield* Schema.decodeUnknownEffect(Validation, { errors: "all" })(raw).pipe(
    Effect.mapError((error) => unreadable(error.message))
  )
  const found = sealOf(validation)
  if (validation.digest !== found) return yield* new ManifestEdited({ path, expected: validation.digest, found })
  return validation
})
