/**
 * The configuration of a guest: the agent's settings and the files of its root.
 *
 * @module
 */
import {
  agentSetting,
  EnvironmentName,
  Hostname,
  PlainText,
  rootProblem,
  SignalNumber,
  workloadSettings,
  workloadSpecSchema,
  formatSchemaIssue
} from "@stillpoint/core"
import { Effect, Schema } from "effect"
import { trailer } from "./cpio.ts"

/** A file system of Linux has no longer names. */
const nameBytesMax = 255
/** Linux takes no longer paths. */
const pathBytesMax = 4095

/** Why a guest cannot have a file of that name, although the path is well formed; `undefined` if it can. */
export const nameProblem = (path: string): string | undefined => {
  const pathBytes = Buffer.byteLength(path)
  if (pathBytes > pathBytesMax) return `expected a path of at most ${pathBytesMax} bytes, found ${pathBytes}`
  if (!path.isWellFormed()) return `expected a name in Unicode, found a lone surrogate in ${JSON.stringify(path)}`
  const names = path.slice(1).split("/")
  const nameBytes = Math.max(...names.map((name) => Buffer.byteLength(name)))
  if (nameBytes > nameBytesMax) return `expected names of at most ${nameBytesMax} bytes, found one of ${nameBytes}`
  return names[0] === trailer ? `expected another name, found /${trailer}, which ends an archive` : undefined
}

/** A path in the guest: absolute, without empty, `.` or `..` parts, and with names that a file can have there. */
export const isGuestPath = (path: string): boolean =>
  path.startsWith("/") &&
  path.length > 1 &&
  Buffer.byteLength(path) <= 1024 &&
  !path.includes("\0") &&
  path
    .slice(1)
    .split("/")
    .every((part) => part !== "" && part !== "." && part !== "..") &&
  nameProblem(path) === undefined

const guestPathProblem = (path: string): string | undefined => {
  if (isGuestPath(path)) return undefined
  return nameProblem(path) ?? "expected an absolute guest path without empty, . or .. parts, of at most 1024 bytes"
}

export const GuestPath = Schema.String.check(Schema.makeFilter(guestPathProblem))

const GuestPathOrRoot = Schema.String.check(
  Schema.makeFilter((path: string) => (path === "/" ? undefined : guestPathProblem(path)))
)

/** The target of a link: any text that a link can hold. */
const LinkTarget = PlainText.check(
  Schema.makeFilter((target: string) => {
    if (!target.isWellFormed()) return "expected a target in Unicode, found a lone surrogate"
    const bytes = Buffer.byteLength(target)
    return bytes >= 1 && bytes <= pathBytesMax
      ? undefined
      : `expected a target of 1 to ${pathBytesMax} bytes, found ${bytes}`
  })
)

const { fields } = workloadSpecSchema

const Mode = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0o7777 }))

const defaultTo = <S extends Schema.Top>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

/** The program that the guest exists to run. */
export const Workload = Schema.Struct({
  /** The program and its arguments. A program without a slash is looked up in the `PATH` of `env`. */
  argv: Schema.NonEmptyArray(PlainText),
  /** Added to `PATH`, `HOME` and `TERM`. */
  env: defaultTo(Schema.Record(EnvironmentName, PlainText), {}),
  cwd: defaultTo(Schema.Union([GuestPath, Schema.Literal("/")]), "/"),
  /** As `WorkloadSpec` of `@stillpoint/core` has them: whom it runs as, and how it is stopped. */
  user: fields.user,
  groups: fields.groups,
  stopSignal: fields.stopSignal,
  stopNanos: fields.stopNanos
})

const Id = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff_fffe }))

/**
 * A file of the guest's root: its content, or a file of the host to read it from; or a folder of the host with everything in it.
 * A `tree` keeps owners, modes, links, devices and hard links, unless `owner` sets one owner for everything; times and extended
 * attributes are not kept, and files below `/proc`, `/sys` and `/dev` are left out, since file systems are mounted there. A file
 * or link with its own entry replaces one in a tree. If a link replaces a folder that every guest has, as `/bin` for `/usr/bin`,
 * the files of that folder go to the link's target.
 */
export const GuestFile = Schema.Union([
  Schema.Struct({ content: Schema.Union([Schema.String, Schema.Uint8Array]), mode: defaultTo(Mode, 0o644) }),
  Schema.Struct({ from: Schema.NonEmptyString, mode: defaultTo(Mode, 0o644) }),
  Schema.Struct({ tree: Schema.NonEmptyString, owner: Schema.optionalKey(Schema.Struct({ uid: Id, gid: Id })) })
])

const GuestFiles = Schema.Record(GuestPathOrRoot, GuestFile).check(
  Schema.makeFilter((files) => files["/"] === undefined || "tree" in files["/"] || "a tree at /, which is a folder")
)

/**
 * A guest's configuration. Everything has a default except the workload; without one, the agent only serves
 * the host.
 *
 * @example
 * ```ts
 * import { GuestConfig } from "@stillpoint/kit"
 * import { Schema } from "effect"
 *
 * const config = Schema.decodeUnknownSync(GuestConfig)({
 *   workload: { argv: ["/srv/app"], env: { PORT: "8080" } },
 *   hold: "untilGo",
 *   files: { "/srv/app": { content: "#!/bin/sh\nexec httpd -f -p $PORT\n", mode: 0o755 } }
 * })
 * console.log(config.heartbeatMillis, config.hostname) // 100 stillpoint
 * ```
 */
export const GuestConfig = Schema.Struct({
  workload: Schema.optionalKey(Workload),
  /** `timed`: the workload starts `holdNanos` after pre-exec, or when the host releases it; `untilGo`: only when the host releases it. */
  hold: defaultTo(Schema.Literals(["timed", "untilGo"]), "timed"),
  /** Guest nanoseconds. */
  holdNanos: defaultTo(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9_000_000_000_000 })), 100_000_000),
  /** Guest milliseconds between heartbeats; 0: none. */
  heartbeatMillis: defaultTo(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 86_400_000 })), 100),
  hostname: defaultTo(Hostname, "stillpoint"),
  /** How listeners are detected: at the system call, by scanning every 20 ms, or not at all. */
  listeners: defaultTo(Schema.Literals(["seccomp", "scan", "off"]), "seccomp"),
  /**
   * A program in the image, with its arguments, that takes part in a new identity. It runs after the names, the clock and the kernel's
   * random source were renewed and before the workload continues, with `STILLPOINT_GENERATION`, `STILLPOINT_HOSTNAME`,
   * `STILLPOINT_MACHINE_ID`, `STILLPOINT_BOOT_ID` and `STILLPOINT_ENTROPY` in its environment. If it exits with anything but 0, or
   * too late, the gate fails.
   */
  identityHook: defaultTo(Schema.Array(PlainText), []),
  /** Time limit of the hook in guest nanoseconds, unless the gate sets another; it must be less than the gate waits for the guest. */
  identityHookNanos: defaultTo(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9_000_000_000_000 })),
    3_000_000_000
  ),
  /** Number of the signal that a running workload receives after a new identity, such as 1 for `SIGHUP`; 0 for none. */
  identitySignal: defaultTo(SignalNumber, 0),
  /** The disks that the guest has its root and its volumes on: see `WorkloadSpec` of `@stillpoint/core`. */
  root: fields.root,
  folders: fields.folders,
  volumes: fields.volumes,
  resolvConf: fields.resolvConf,
  hosts: fields.hosts,
  /** Leaves all capabilities to the workload, and with them access to the control port. */
  privileged: defaultTo(Schema.Boolean, false),
  /** Also prints `heartbeat counter=N` and `workload-pre-exec` on the console. */
  consoleMarkers: defaultTo(Schema.Boolean, false),
  /** The agent's serial line to the host. */
  controlPort: defaultTo(GuestPath, "/dev/ttyS1"),
  /**
   * Kernel modules to load, in order: names from the kit (`virtio_mmio`, `virtio-rng`, `virtio_blk`, `virtio_net`, `erofs`, `overlay`,
   * `ext4`), whose dependencies are loaded first, or guest paths of your own modules.
   */
  modules: defaultTo(Schema.Array(Schema.NonEmptyString), []),
  /**
   * Whether the kernel gets a network driver and the agent sets up the interface; the machine needs `network` for it. The name
   * server is 10.0.2.3, the host's end, unless `resolvConf` or your own `/etc/resolv.conf` names another.
   */
  network: defaultTo(Schema.Boolean, false),
  /**
   * Whether the root contains busybox; a workload in an image's root has only the image's programs. A program in `files` takes
   * precedence over busybox's of the same name, wherever it is. Busybox's shell searches `PATH` only for names that it does not
   * have itself, so it must know from the start which of its names are taken: for a program that appears later, on a volume or
   * created by a command, add a link, `links: { "/usr/local/bin/tar": "/tools/tar" }`, or execute it by its path.
   */
  busybox: defaultTo(Schema.Boolean, true),
  /** By guest path; `/` takes a tree only. */
  files: defaultTo(GuestFiles, {}),
  /** Symbolic links: path to target. */
  links: defaultTo(Schema.Record(GuestPath, LinkTarget), {}),
  directories: defaultTo(Schema.Array(GuestPath), [])
}).check(Schema.makeFilter(rootProblem))
/** A configuration with every default filled in. */
export type GuestConfig = typeof GuestConfig.Type
/** A configuration as a caller writes it. */
export type GuestConfigInput = typeof GuestConfig.Encoded

/** All that is wrong with a configuration, a line each and where it is. */
export const configProblems = (error: Schema.SchemaError): string =>
  formatSchemaIssue(error.issue)
    .issues.map(({ message, path = [] }) => {
      const [field, key] = path.map(String)
      // A key that is no path is to a schema only one too many.
      const isKey = path.length === 2 && (field === "files" || field === "links") && key !== undefined && key !== "/"
      const said = (isKey ? guestPathProblem(key) : undefined) ?? message
      const where = path.map((part) => `[${JSON.stringify(part)}]`).join("")
      return where === "" ? said : `${said}\n  at ${where}`
    })
    .join("\n")

/** Content of the file that says whom a guest asks for names, where the host's end answers. */
export const hostAnswers = "nameserver 10.0.2.3\n"

/** The text of the agent's configuration file. `modulePaths` are the guest paths of the configuration's modules. */
export const encodeAgentConf = (config: GuestConfig, modulePaths: ReadonlyArray<string>): string => {
  const { folders, hosts, root, volumes, workload } = config
  // The files of the guest's own root do not count in the root of an image.
  const resolvConf = config.resolvConf ?? (config.network && root !== undefined ? hostAnswers : undefined)
  const settings = workloadSettings({
    env: {},
    cwd: "/",
    ...workload,
    // Without one, the agent just serves the host.
    argv: (workload?.argv ?? []) as unknown as readonly [string, ...ReadonlyArray<string>],
    hold: config.hold,
    holdNanos: config.holdNanos,
    hostname: config.hostname,
    listeners: config.listeners,
    identityHook: config.identityHook,
    identityHookNanos: config.identityHookNanos,
    identitySignal: config.identitySignal,
    ...(root === undefined ? {} : { root }),
    ...(folders === undefined ? {} : { folders }),
    ...(volumes === undefined ? {} : { volumes }),
    ...(resolvConf === undefined ? {} : { resolvConf }),
    ...(hosts === undefined ? {} : { hosts })
  })
  const lines = [
    ...settings,
    ...modulePaths.map((path) => agentSetting("module", path)),
    agentSetting("heartbeatMillis", String(config.heartbeatMillis)),
    agentSetting("port", config.controlPort),
    agentSetting("privileged", config.privileged ? "1" : "0"),
    agentSetting("consoleMarkers", config.consoleMarkers ? "1" : "0")
  ]
  return lines.map((line) => `${line}\n`).join("")
}
