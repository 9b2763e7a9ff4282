/**
 * Checks requests to a machine before they reach the core, since a caller may not use types.
 *
 * @module
 */
import {
  CaptureError,
  type CaptureKind,
  describeValue,
  type EncryptionKey,
  MachineError,
  type Renewal,
  RestoreError,
  type RestoreChain
} from "@stillpoint/core"
import { Effect, Redacted, Schema } from "effect"

const strictly = { errors: "all", onExcessProperty: "error" } as const

const path = Schema.NonEmptyString.check(
  Schema.makeFilter((text: string) => !text.includes("\0") || "a path without zero bytes")
)

const isPath = Schema.is(path)

const decodeKind = Schema.decodeUnknownEffect(
  Schema.Struct({
    parent: Schema.optionalKey(Schema.String),
    shared: Schema.optionalKey(path),
    encryptionKey: Schema.optionalKey(Schema.Unknown)
  }),
  strictly
)

/** Bytes of a key. */
const mostKeyBytes = 32

const isKey = (value: unknown): value is EncryptionKey => {
  const bytes: unknown = Redacted.isRedacted(value) ? Redacted.value(value) : undefined
  return bytes instanceof Uint8Array && bytes.byteLength === mostKeyBytes
}

/** The bytes of a key that was checked; `null` for none. */
export const keyBytes = (key: EncryptionKey | undefined): Uint8Array | null =>
  key === undefined ? null : Redacted.value(key)

/** Nothing of the value is told: it may be a secret of another form. */
const keyExpected = (name: string): string => `${name}.encryptionKey: expected 32 bytes, Redacted, found something else`

/** The directory and the kind of a capture. */
export const checkedCapture = (
  directory: string,
  kind: CaptureKind = {}
): Effect.Effect<readonly [directory: string, kind: CaptureKind], CaptureError> => {
  if (!isPath(directory)) {
    const message = `capture: expected the path of an empty directory, found ${describeValue(directory)}`
    return Effect.fail(new CaptureError({ reason: { _tag: "DirectoryUnusable", message } }))
  }
  const shared: unknown = Object(kind)["shared"]
  if (shared !== undefined && !isPath(shared)) {
    const message = `capture.shared: expected the path of a folder of objects, found ${describeValue(shared)}`
    return Effect.fail(new CaptureError({ reason: { _tag: "DirectoryUnusable", message } }))
  }
  const key: unknown = Object(kind)["encryptionKey"]
  if (key !== undefined && !isKey(key)) {
    return Effect.fail(new CaptureError({ reason: { _tag: "KeyWrong", message: keyExpected("capture") } }))
  }
  return decodeKind(kind).pipe(
    Effect.map(({ encryptionKey: _key, ...checked }) => {
      const kind: CaptureKind = key === undefined ? checked : { ...checked, encryptionKey: key }
      return [directory, kind] as const
    }),
    Effect.mapError(
      ({ message }) => new CaptureError({ reason: { _tag: "ParentUnknown", message: `capture: ${message}` } })
    )
  )
}

const renewal = Schema.Struct({
  entropySeed: Schema.Uint8Array,
  generationId: Schema.Uint8Array,
  realtimeNanos: Schema.BigInt.check(Schema.isGreaterThanOrEqualToBigInt(0n), Schema.isLessThanBigInt(2n ** 63n))
})

const decodeRenewal = Schema.decodeUnknownEffect(renewal, strictly)

/** The seeds of the devices; the core checks the lengths. */
export const checkedRenewal = (given: Renewal): Effect.Effect<Renewal, MachineError> =>
  Effect.mapError(
    decodeRenewal(given),
    ({ message }) => new MachineError({ reason: { _tag: "RenewalInvalid", message: `renewal: ${message}` } })
  )

type Refusal = "KeyWrong" | "SnapshotMissing" | "IdMismatch" | "ParentMissing" | "DiskUnknown"

/** The parts of a restore; an invalid part has the same reason as one that is not found. */
const chainParts: ReadonlyArray<readonly [keyof RestoreChain, Refusal, Schema.Constraint]> = [
  ["identity", "IdMismatch", Schema.String],
  ["parents", "ParentMissing", Schema.Array(path)],
  ["diskSources", "DiskUnknown", Schema.Record(Schema.String, path)]
]

const refuse = (_tag: Refusal, message: string) => new RestoreError({ reason: { _tag, message } })

/** The source of a restored machine. */
export const checkedRestore = (
  directory: string,
  chain: RestoreChain = {}
): Effect.Effect<readonly [directory: string, chain: RestoreChain], RestoreError> =>
  Effect.suspend(() => {
    if (!isPath(directory)) {
      return refuse("SnapshotMissing", `restore: expected the path of a directory, found ${describeValue(directory)}`)
    }
    const given: unknown = chain
    if (typeof given !== "object" || given === null) {
      return refuse(
        "SnapshotMissing",
        `restore: expected { identity, parents, diskSources }, found ${describeValue(given)}`
      )
    }
    const key: unknown = Reflect.get(given, "encryptionKey")
    if (key !== undefined && !isKey(key)) return refuse("KeyWrong", keyExpected("restore"))
    const wrong = chainParts.filter(([name, , schema]) => {
      const value: unknown = Reflect.get(given, name)
      return value !== undefined && !Schema.is(schema)(value)
    })
    const [first] = wrong
    if (first === undefined) return Effect.succeed([directory, chain] as const)
    const found = wrong.map(([name]) => `${name}: ${describeValue(Reflect.get(given, name))}`)
    return refuse(
      first[1],
      `restore: expected an identity that is a text, and paths as parents and diskSources; found ${found.join(", ")}`
    )
  })
