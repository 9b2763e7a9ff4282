/**
 * The specification of a workload: its root, and the program to run.
 *
 * @module
 */
import { posix } from "node:path"
import { Effect, Redacted, Schema } from "effect"
import { EnvironmentName, Hostname, PlainText, SignalNumber } from "./IdentityParts.ts"
import { MachineError } from "./MachineErrors.ts"
import { isRecord } from "./optionProblems.ts"
import type { Secret } from "./Secret.ts"

const absolute = PlainText.check(
  Schema.makeFilter((path: string) => path.startsWith("/"), { expected: "an absolute path in the guest" })
)
/** A serial number as virtio-blk has them, or a node. */
const device = PlainText.check(Schema.isPattern(/^(\/dev\/[a-z0-9]{1,32}|[!-.0-~]{1,20})$/))
const isPlainText = Schema.is(PlainText)
const fileSystem = Schema.String.check(Schema.isPattern(/^[a-z0-9_]{1,32}$/))
const nanos = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9_000_000_000_000 }))
const bytes = Schema.Int.check(Schema.isBetween({ minimum: 1 << 16, maximum: 2 ** 42 }))

const root = Schema.Struct({
  /** Serial number of the block device that holds the image, or its path in `/dev`. */
  device,
  /** Its file system; `erofs` if absent. */
  type: Schema.optionalKey(fileSystem),
  /** Whether only volumes can be written; `false` if absent. */
  readOnly: Schema.optionalKey(Schema.Boolean),
  /**
   * The place for writes over the image: memory (half of the free memory if absent), or a disk. An empty disk is formatted.
   */
  scratch: Schema.optionalKey(Schema.Union([Schema.Struct({ bytes }), Schema.Struct({ device })]))
})

const volume = Schema.Struct({
  device,
  /** The mount point; the folder is created if the root lacks it. */
  path: absolute.check(Schema.makeFilter((path: string) => path.length > 1, { expected: "a path below /" })),
  /** Its file system; `ext4` if absent, and an empty disk is formatted then. */
  type: Schema.optionalKey(fileSystem),
  readOnly: Schema.optionalKey(Schema.Boolean)
})

const overTheRoot = ["/proc", "/sys", "/dev", "/run/stillpoint"]

/** A contradiction between the root, the volumes and the files of a guest; `undefined` if there is none. */
export const rootProblem = (spec: {
  readonly root?: typeof root.Encoded
  readonly folders?: ReadonlyArray<string>
  readonly volumes?: ReadonlyArray<typeof volume.Encoded>
  readonly resolvConf?: string
  readonly hosts?: string
}): string | undefined => {
  const { folders = [], hosts, resolvConf, volumes = [] } = spec
  const problems: Array<string> = []
  if (spec.root === undefined) {
    const alone = {
      folders: folders.length > 0,
      volumes: volumes.length > 0,
      resolvConf: resolvConf !== undefined,
      hosts: hosts !== undefined
    }
    for (const [name, isSaid] of Object.entries(alone)) {
      if (isSaid)
        problems.push(`${name}: expected a root beside it, since the agent mounts and writes nothing without one`)
    }
  }
  const paths = volumes.map((each) => posix.normalize(`${each.path}/`).slice(0, -1))
  for (const [index, path] of paths.entries()) {
    if (path === "") problems.push(`volumes[${index}].path: expected a path below /, found ${volumes[index]?.path}`)
    const first = paths.indexOf(path)
    if (first !== index)
      problems.push(`volumes[${index}].path: expected a unique path, found that of volumes[${first}], ${path}`)
    const over = overTheRoot.find((folder) => path === folder || path.startsWith(`${folder}/`))
    if (over !== undefined)
      problems.push(
        `volumes[${index}].path: expected a path outside ${over}, which the agent mounts over it, found ${path}`
      )
    const below = paths.findIndex((other, later) => later > index && path.startsWith(`${other}/`))
    if (below !== -1) {
      problems.push(
        `volumes[${index}].path: expected it behind volumes[${below}], which is mounted over it, found ${path} before ${paths[below]}`
      )
    }
  }
  return problems.length === 0 ? undefined : problems.join("; ")
}

const isRootRight = Schema.makeFilter(rootProblem)

/** As {@link WorkloadSpec}. */
export const workloadSpecSchema = Schema.Struct({
  argv: Schema.NonEmptyArray(PlainText),
  env: Schema.optionalKey(Schema.Record(EnvironmentName, PlainText)),
  cwd: Schema.optionalKey(absolute),
  user: Schema.optionalKey(PlainText),
  groups: Schema.optionalKey(Schema.Array(PlainText)),
  hold: Schema.optionalKey(Schema.Literals(["timed", "untilGo"])),
  holdNanos: Schema.optionalKey(nanos),
  hostname: Schema.optionalKey(Hostname),
  listeners: Schema.optionalKey(Schema.Literals(["seccomp", "scan", "off"])),
  root: Schema.optionalKey(root),
  /** Folders that the root is to have; missing ones are made, before volumes are mounted. */
  folders: Schema.optionalKey(Schema.Array(absolute)),
  volumes: Schema.optionalKey(Schema.Array(volume)),
  resolvConf: Schema.optionalKey(PlainText),
  hosts: Schema.optionalKey(PlainText),
  stopSignal: Schema.optionalKey(SignalNumber),
  stopNanos: Schema.optionalKey(nanos),
  identityHook: Schema.optionalKey(Schema.Array(PlainText)),
  identityHookNanos: Schema.optionalKey(nanos),
  identitySignal: Schema.optionalKey(SignalNumber)
}).check(isRootRight)

/**
 * The root and the workload of a guest that has none yet. All of it, encoded, fits into one frame of 64 KiB.
 *
 * `argv` is looked up in the `PATH` of `env`. `user` is `NAME` or `NUMBER`, optionally followed by `:GROUP`; names are those of
 * the root's `/etc/passwd` and `/etc/group`, `groups` are supplementary ones. Without `user` it is uid 0. `hold` and
 * `holdNanos` default to those of the boot. `stopSignal` is the signal for the workload when the agent switches the guest off,
 * and `stopNanos` the time that it then has; 0 and 4 s if absent. `resolvConf` and `hosts` are the files' contents.
 */
export type WorkloadSpec = typeof workloadSpecSchema.Encoded

/** The specification of a start; values of the environment may be secret, and the request is then recorded as withheld. */
export interface StartSpec extends Omit<WorkloadSpec, "env"> {
  readonly env?: Readonly<Record<string, Secret<string>>>
}

const decode = Schema.decodeUnknownEffect(workloadSpecSchema, { errors: "all", onExcessProperty: "error" })

/** `key=value` in the form of the agent's configuration, with line breaks escaped. */
export const agentSetting = (key: string, value: string): string =>
  `${key}=${value.replaceAll("%", "%25").replaceAll("\n", "%0A")}`

const numbers = ["holdNanos", "stopSignal", "stopNanos", "identityHookNanos", "identitySignal"] as const
const texts = ["cwd", "user", "hold", "hostname", "listeners", "resolvConf", "hosts"] as const

/** The settings that say it to the agent, in an order that depends on nothing but their names. */
export const workloadSettings = (spec: WorkloadSpec): ReadonlyArray<string> => {
  const env = Object.entries(spec.env ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  const { root } = spec
  const scratch = root?.scratch
  const settings: ReadonlyArray<readonly [key: string, value: string | undefined]> = [
    ...spec.argv.map((item) => ["argv", item] as const),
    ...env.map(([name, value]) => ["env", `${name}=${value}`] as const),
    ...(spec.groups ?? []).map((item) => ["group", item] as const),
    ...(spec.identityHook ?? []).map((item) => ["identityHook", item] as const),
    ...(spec.folders ?? []).map((item) => ["folder", item] as const),
    ...(spec.volumes ?? []).map(
      (each) =>
        [
          "volume",
          `${each.readOnly === true ? "ro" : "rw"} ${each.type ?? "ext4"} ${each.device} ${each.path}`
        ] as const
    ),
    ["root", root?.device],
    ["rootType", root?.type],
    ["rootReadOnly", root?.readOnly === true ? "1" : undefined],
    ["scratch", scratch !== undefined && "device" in scratch ? scratch.device : undefined],
    ["scratchBytes", scratch !== undefined && "bytes" in scratch ? String(scratch.bytes) : undefined],
    ...texts.map((key) => [key, spec[key]] as const),
    ...numbers.map((key) => [key, spec[key] === undefined ? undefined : String(spec[key])] as const)
  ]
  return settings.flatMap(([key, value]) => (value === undefined ? [] : [agentSetting(key, value)]))
}

/** The same, checked: every problem at once. */
export const checkedWorkloadSettings = (
  spec: StartSpec
): Effect.Effect<{ readonly settings: ReadonlyArray<string>; readonly isSecret: boolean }, MachineError> =>
  Effect.suspend(() => {
    const secrets = Object.entries(isRecord(spec) && isRecord(spec.env) ? spec.env : {}).filter(([, value]) =>
      Redacted.isRedacted(value)
    )
    // Problems state the requirement only, so no message contains a secret.
    const shown =
      secrets.length === 0
        ? spec
        : { ...spec, env: { ...spec.env, ...Object.fromEntries(secrets.map(([name]) => [name, ""])) } }
    const unfit = secrets.filter(
      ([, value]) => !isPlainText(Redacted.isRedacted(value) ? Redacted.value(value) : value)
    )
    const ofSecrets = unfit.map(([name]) => `env.${name}: expected a secret text without zero bytes`)
    const invalid = (problems: ReadonlyArray<string>) =>
      new MachineError({ reason: { _tag: "InvalidWorkload", message: `workload: ${problems.join("; ")}` } })
    return decode(shown).pipe(
      Effect.mapError((problem) => invalid([problem.message, ...ofSecrets])),
      Effect.flatMap((plain) => {
        const env = {
          ...plain.env,
          ...Object.fromEntries(
            secrets.map(([name, value]) => [name, Redacted.isRedacted(value) ? Redacted.value(value) : value])
          )
        }
        const settings = workloadSettings({ ...plain, ...(secrets.length === 0 ? {} : { env }) } as WorkloadSpec)
        return ofSecrets.length === 0
          ? Effect.succeed({ settings, isSecret: secrets.length > 0 })
          : Effect.fail(invalid(ofSecrets))
      })
    )
  })
