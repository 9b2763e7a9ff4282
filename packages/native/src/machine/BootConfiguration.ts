/**
 * What a machine may be asked to boot, checked before anything is read or allocated.
 *
 * @module
 */
import { BootError, type BootSpec, diskSpecsSchema, guestEventKinds, mostDisks } from "@stillpoint/core"
import { Effect, Schema } from "effect"

const pathLike = Schema.NonEmptyString.check(
  Schema.makeFilter((path: string) => !path.includes("\0") || "a path without zero bytes")
)

/** The largest number of MiB whose last byte the guest platform can address. */
const largestMemoryMib = 16 * 1024

/** Most bytes that a quota can have, at once or in a second. */
const largestQuotaBytes = 2 ** 32

const quotaBytes = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: largestQuotaBytes }))

const eventQuota = Schema.Struct({
  burstBytes: quotaBytes,
  bytesPerSecond: quotaBytes,
  overflow: Schema.optionalKey(Schema.Literals(["drop", "pause", "end"]))
})

const configuration = Schema.Struct({
  kernelPath: pathLike,
  initramfsPath: Schema.optionalKey(pathLike),
  initramfs: Schema.optionalKey(Schema.Uint8Array),
  loadAddress: Schema.optionalKey(Schema.Natural),
  commandLine: Schema.optionalKey(
    Schema.String.check(
      Schema.makeFilter((line: string) => !/[\0\n]/.test(line) || "a command line on one line, without zero bytes"),
      Schema.isMaxLength(2047)
    )
  ),
  engine: Schema.optionalKey(Schema.NonEmptyString),
  memoryMib: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: largestMemoryMib }))),
  seed: Schema.optionalKey(Schema.NullOr(Schema.Natural)),
  epochMillis: Schema.optionalKey(Schema.Natural),
  dirtySampleNanos: Schema.optionalKey(Schema.Natural),
  network: Schema.optionalKey(
    Schema.Struct({ mtu: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 576, maximum: 65_535 }))) })
  ),
  eventQuotas: Schema.optionalKey(
    Schema.Struct(Object.fromEntries(guestEventKinds.map((kind) => [kind, Schema.optionalKey(eventQuota)])))
  ),
  disks: Schema.optionalKey(diskSpecsSchema),
  diskSlots: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: mostDisks }))),
  origin: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json))
}).check(
  Schema.makeFilter((spec: { readonly initramfsPath?: string; readonly initramfs?: Uint8Array }) =>
    spec.initramfs === undefined || spec.initramfsPath === undefined
      ? true
      : "either initramfs or initramfsPath, not both"
  )
)

const decode = Schema.decodeUnknownEffect(configuration, { errors: "all", onExcessProperty: "error" })

/** Refuses what cannot be booted, with all problems at once and where each is. */
export const checkBootSpec = (spec: BootSpec): Effect.Effect<BootSpec, BootError> =>
  decode(spec).pipe(
    Effect.mapError(
      (problem) => new BootError({ reason: { _tag: "InvalidConfiguration", message: `boot: ${problem.message}` } })
    )
  )
