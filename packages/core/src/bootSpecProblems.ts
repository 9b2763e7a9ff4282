/**
 * Checks a boot specification before anything is read or allocated, the same for every engine.
 *
 * @module
 */
import { Schema } from "effect"
import { guestEventKinds } from "./contract/contract.ts"
import { diskProblem, diskSpecSchema, mostDisks } from "./DiskSpec.ts"
import { isJson, isList, isRecord, isText, kindProblems, schemaProblems } from "./optionProblems.ts"

/** The largest number of MiB whose last byte the guest platform can address. */
const mostMemoryMib = 16 * 1024

/** Maximum bytes of a quota, at once or in a second. */
const mostQuotaBytes = 2 ** 32

const path = Schema.NonEmptyString.check(
  Schema.makeFilter((text: string) => !text.includes("\0") || "expected a path without zero bytes")
)

const quotaBytes = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: mostQuotaBytes }))

const eventQuota = Schema.Struct({
  burstBytes: quotaBytes,
  bytesPerSecond: quotaBytes,
  overflow: Schema.optionalKey(Schema.Literals(["drop", "pause", "end"]))
})

/** Its parts, each for itself. */
const parts = Schema.Struct({
  kernelPath: path,
  initramfsPath: Schema.optionalKey(path),
  initramfs: Schema.optionalKey(Schema.Uint8Array),
  loadAddress: Schema.optionalKey(Schema.Natural),
  commandLine: Schema.optionalKey(
    Schema.String.check(
      Schema.makeFilter(
        (line: string) => !/[\0\n]/.test(line) || "expected a command line on one line, without zero bytes"
      ),
      Schema.isMaxLength(2047)
    )
  ),
  engine: Schema.optionalKey(Schema.NonEmptyString),
  memoryMib: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: mostMemoryMib }))),
  seed: Schema.optionalKey(Schema.NullOr(Schema.Natural)),
  epochMillis: Schema.optionalKey(Schema.Natural),
  dirtySampleNanos: Schema.optionalKey(Schema.Natural),
  network: Schema.optionalKey(
    Schema.Struct({ mtu: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 576, maximum: 65_535 }))) })
  ),
  eventQuotas: Schema.optionalKey(
    Schema.Struct(Object.fromEntries(guestEventKinds.map((kind) => [kind, Schema.optionalKey(eventQuota)])))
  ),
  disks: Schema.optionalKey(Schema.Array(diskSpecSchema).check(Schema.isMaxLength(mostDisks))),
  diskSlots: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: mostDisks }))),
  origin: Schema.optionalKey(
    Schema.Unknown.check(
      Schema.makeFilter(
        (found: unknown) => (isRecord(found) && isJson(found)) || "expected a record of what JSON can say"
      )
    )
  )
})

/** Reports two disks with the same name; `undefined` if there are none. */
const diskNamesProblem = (names: ReadonlyArray<string>): string | undefined => {
  const twice = [...new Set(names.filter((each, index) => names.indexOf(each) !== index))]
  return twice.length === 0
    ? undefined
    : `expected a name for each disk, found several disks called ${twice.map((each) => JSON.stringify(each)).join(", ")}`
}

/** Problems between several disks, or several parts of one; reported together with problems of the parts. */
const disksProblems = (name: string, disks: unknown): ReadonlyArray<string> => {
  if (!isList(disks)) return []
  const records = Array.from(disks).map((disk) => (isRecord(disk) ? disk : {}))
  const names = diskNamesProblem(records.map((disk) => disk["name"]).filter(isText))
  return [
    ...records.flatMap((disk, index) => {
      const problem = "access" in disk ? diskProblem(disk as never) : undefined
      return problem === undefined ? [] : [`${name}.${index}: ${problem}`]
    }),
    ...(names === undefined ? [] : [`${name}: ${names}`])
  ]
}

/**
 * All problems of a boot specification that can be found without reading a file; empty if there are none.
 *
 * @example
 * ```ts
 * import { bootSpecProblems } from "@stillpoint/core"
 *
 * console.log(bootSpecProblems("boot", { kernelPath: "/kernel", memoryMib: 0 })) // [ 'boot.memoryMib: expected a value between 1 and 16384, found 0' ]
 * ```
 */
export const bootSpecProblems = (name: string, spec: unknown): ReadonlyArray<string> => {
  if (!isRecord(spec)) return kindProblems(name, spec, "a boot specification, { kernelPath }", isRecord)
  const isTwofold = spec["initramfs"] !== undefined && spec["initramfsPath"] !== undefined
  const problems = [
    ...schemaProblems(name, parts, spec),
    ...disksProblems(`${name}.disks`, spec["disks"]),
    ...(isTwofold ? [`${name}.initramfs: expected it or initramfsPath, found both`] : [])
  ]
  return [...new Set(problems)]
}
