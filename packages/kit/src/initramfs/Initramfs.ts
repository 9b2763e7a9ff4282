/**
 * Builds a guest's initial RAM file system: the agent, busybox, the configuration, and the user's files.
 *
 * ```text
 * /init                     the agent
 * /stillpoint/agent.conf    its configuration
 * /stillpoint/modules/      kernel modules that the configuration names, and the transport of the agent's channel
 * /bin                      busybox and its links, stillpoint-emit; a program that the user adds comes before busybox's
 * /etc                      passwd, group, hosts
 * ```
 *
 * The archive is not compressed: unpacking it costs the guest less than decompressing would.
 *
 * @module
 */
import { describeValue } from "@stillpoint/core"
import { Effect, Predicate, Schema } from "effect"
import { posix } from "node:path"
import { applets } from "./applets.ts"
import { type CpioEntry, writeCpio } from "./cpio.ts"
import {
  configProblems,
  encodeAgentConf,
  GuestConfig,
  type GuestConfigInput,
  hostAnswers,
  nameProblem
} from "./GuestConfig.ts"
import { ConfigInvalid, GuestPathRefused, HostFileUnreadable, InitramfsError, TooLarge } from "./InitramfsError.ts"
import { readTree } from "./hostTree.ts"
import type { ModuleInfo } from "../modules/moduleInfo.ts"
import { moduleOrder } from "../modules/moduleOrder.ts"
import { programNames, withoutPrograms } from "./ownPrograms.ts"
import { readHostFile } from "./readHostFile.ts"

/** The programs that every guest has. */
export interface GuestPrograms {
  /** The agent, a static executable for the guest's architecture. */
  readonly agent: Uint8Array
  /** A static busybox. */
  readonly busybox: Uint8Array
  /** Kernel modules by name. */
  readonly modules: ReadonlyMap<string, KernelModule>
  /** Names of modules that are built into the kernel: asking for one is no mistake, and loads nothing. */
  readonly builtInModules?: ReadonlySet<string>
}

/** A kernel module: its file, uncompressed, and its dependencies. */
export interface KernelModule {
  readonly content: Uint8Array
  readonly info: ModuleInfo
}

/** The agent announces the workload's arguments in one frame of the control protocol. */
const argumentsBytesMax = 65_000
/** Maximum bytes of configuration that the agent reads. */
const agentConfBytesMax = 131_071
/** No guest of the embedded engine could unpack more. */
const archiveBytesMax = 1 << 30

/** Mounted over before the workload runs: what lies there could never be seen. */
const mountPoints = ["/proc", "/sys", "/dev", "/run/stillpoint"]

const folders = [
  "/bin",
  "/dev",
  "/etc",
  "/proc",
  "/root",
  "/run",
  "/sbin",
  "/stillpoint",
  "/sys",
  "/tmp",
  "/usr/bin",
  "/var"
]

const accounts: Readonly<Record<string, string>> = {
  "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
  "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
  "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n"
}

/** The path of busybox if the user brings programs of the same names. */
const forgetfulBusybox = "/stillpoint/busybox"

type Node = Omit<CpioEntry, "path">

const none = new Uint8Array()
const utf8 = new TextEncoder()
const directory: Node = { kind: "directory", mode: 0o755, content: none, device: [0, 0] }
const file = (content: Uint8Array, mode: number): Node => ({ kind: "file", mode, content, device: [0, 0] })
const link = (target: string): Node => ({ kind: "symlink", mode: 0o777, content: utf8.encode(target), device: [0, 0] })

const refuse = (path: string, why: string) => new InitramfsError({ reason: new GuestPathRefused({ path, why }) })
const tooLarge = (what: string, limitBytes: number, foundBytes: number) =>
  new InitramfsError({ reason: new TooLarge({ what, limitBytes, foundBytes }) })

/** A root in the making: paths and their nodes. */
class Root {
  private readonly nodes = new Map<string, Node>()

  /** Puts what every guest has; a user's file may take its place unless it is `fixed`. */
  readonly fixed = new Set<string>()
  /** The user's paths. */
  private readonly own = new Set<string>()
  /** The folder of busybox and its links. */
  private programs = "/bin"

  put(path: string, node: Node): void {
    this.nodes.set(path, node)
  }

  /** Adds a node of the user's, or returns the problem. */
  add(path: string, node: Node): string | undefined {
    if (this.fixed.has(path)) return "the agent needs its own file there"
    const hidden = mountPoints.find((point) => path === point || path.startsWith(`${point}/`))
    if (hidden !== undefined) return `a file system is mounted over ${hidden}`
    const known = this.nodes.get(path)
    if (node.kind === "directory" && known?.kind === "directory") {
      // The folder of a tree has an owner and a mode to keep; a plain folder exists already.
      if (node.owner !== undefined) this.nodes.set(path, node)
      return undefined
    }
    if (known?.kind === "directory" && !(node.kind === "symlink" && this.giveWay(path, node)))
      return "there is a directory"
    if (node.kind === "directory" && known !== undefined) return "there is a file"
    this.nodes.set(path, node)
    this.own.add(path)
    return undefined
  }

  /**
   * Moves the standard files in the folder at `path` to the target of the user's link, as `/bin` links to `/usr/bin` in most
   * systems. Returns whether it could: a folder that is needed elsewhere, or has the user's files, stays.
   */
  private giveWay(path: string, link: Node): boolean {
    const target = posix.resolve(posix.dirname(path), Buffer.from(link.content).toString())
    const inside = (at: string, folder: string) => at === folder || at.startsWith(`${folder}/`)
    const isNeeded = [...mountPoints, "/stillpoint"].some((point) => inside(point, path) || inside(target, point))
    const moving = [...this.nodes].filter(([at]) => inside(at, path))
    if (isNeeded || inside(target, path) || moving.some(([at]) => this.own.has(at))) return false
    for (const [at, node] of moving) {
      const moved = target + at.slice(path.length)
      this.nodes.delete(at)
      if (!this.nodes.has(moved)) this.nodes.set(moved, node)
      if (this.fixed.delete(at)) this.fixed.add(moved)
    }
    if (inside(this.programs, path)) this.programs = target + this.programs.slice(path.length)
    return true
  }

  /**
   * Lets the user's programs be found where busybox has one of the same name. What runs other programs
   * then is a busybox that has forgotten those names; the whole one stays, by its name and theirs.
   */
  preferOwnPrograms(busybox: Uint8Array): void {
    const isProgram = (at: string) => {
      const node = this.nodes.get(this.resolve(at))
      // A link out of this root leads to a program that appears later: on a volume, or created by a command.
      if (node === undefined) return true
      return node.kind === "file" && (node.mode & 0o111) !== 0 && node.content !== busybox
    }
    const names = programNames([...this.own].filter(isProgram))
    const forgetful = withoutPrograms(busybox, names)
    if (forgetful === busybox) return
    this.nodes.set(forgetfulBusybox, file(forgetful, 0o755))
    for (const name of applets) {
      const at = `${this.programs}/${name}`
      if (!this.own.has(at) && !names.has(name)) this.nodes.set(at, link(forgetfulBusybox))
    }
  }

  /** The target of links, including those of folders, as far as it is in this root. */
  private resolve(path: string): string {
    let at = path
    for (let links = 0; links < 40; links++) {
      const followed = this.followFirst(at)
      if (followed === undefined) return at
      at = followed
    }
    return at
  }

  /** A path without its first link; `undefined` where none is in it. */
  private followFirst(path: string): string | undefined {
    for (let end = path.indexOf("/", 1); ; end = path.indexOf("/", end + 1)) {
      const above = end < 0 ? path : path.slice(0, end)
      const node = this.nodes.get(above)
      if (node?.kind === "symlink") {
        const target = Buffer.from(node.content).toString()
        return posix.resolve(posix.dirname(above), target, path.slice(above.length + 1))
      }
      if (end < 0) return undefined
    }
  }

  /** The entries in an order in which they can be unpacked; a path whose parent is no directory is refused. */
  entries(): ReadonlyArray<CpioEntry> | InitramfsError {
    // Parents that are added on the way are visited too, and need nothing more.
    for (const path of this.nodes.keys()) {
      for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
        const parent = path.slice(0, end)
        const known = this.nodes.get(parent)
        if (known === undefined) this.nodes.set(parent, directory)
        else if (known.kind !== "directory") return refuse(path, `${parent} is not a directory`)
      }
    }
    // A kernel silently leaves out files that it cannot name. The contents of a folder are not reported again.
    const problems = [...this.nodes.keys()].flatMap((path) => {
      const problem = nameProblem(path)
      if (problem === undefined || nameProblem(posix.dirname(path)) !== undefined) return []
      return [`${JSON.stringify(path)}: ${problem}`]
    })
    if (problems.length > 0) {
      return new InitramfsError({ reason: new ConfigInvalid({ problems: problems.sort().join("\n") }) })
    }
    // A kernel leaves out files that do not fit and continues: with the agent last, an incomplete root has no first process,
    // and the guest ends with a panic instead of running with a part of its files.
    return [...this.nodes]
      .sort(([a], [b]) => Number(a === "/init") - Number(b === "/init") || (a < b ? -1 : 1))
      .map(([path, node]) => Object.assign({ path: path === "/" ? "." : path.slice(1) }, node))
  }
}

const hostFile = (path: string): Effect.Effect<Uint8Array, InitramfsError> =>
  Effect.tryPromise({
    try: () => readHostFile(path, archiveBytesMax),
    catch: (cause) => {
      if (cause instanceof InitramfsError) return cause
      const detail = cause instanceof Error ? cause.message : String(cause)
      return new InitramfsError({ reason: new HostFileUnreadable({ path, detail }) })
    }
  })

const standardRoot = (programs: GuestPrograms, hasBusybox: boolean, hasNetwork: boolean): Root => {
  const root = new Root()
  for (const path of folders) root.put(path, directory)
  // The kernel opens it for process 1 before anything is mounted.
  root.put("/dev/console", { kind: "characterDevice", mode: 0o600, content: none, device: [5, 1] })
  root.put("/init", file(programs.agent, 0o755))
  if (hasBusybox) {
    root.put("/bin/busybox", file(programs.busybox, 0o755))
    for (const name of applets) root.put(`/bin/${name}`, link("busybox"))
  }
  root.put("/bin/stillpoint-emit", link("/init"))
  for (const [path, text] of Object.entries(accounts)) root.put(path, file(utf8.encode(text), 0o644))
  if (hasNetwork) root.put("/etc/resolv.conf", file(utf8.encode(hostAnswers), 0o644))
  for (const path of ["/init", "/bin/stillpoint-emit", "/stillpoint", "/stillpoint/agent.conf"]) root.fixed.add(path)
  return root
}

const modulePath = (name: string): string => `/stillpoint/modules/${name}.ko`

/** The module of the agent's channel. */
const channelModule = "virtio_mmio"

/** The modules of a network interface. */
const networkModules = ["virtio_mmio", "virtio_net"]

/** Puts the kit's modules and their dependencies into the root. Returns the guest paths of all, in order. */
const addModules = Effect.fnUntraced(function* (root: Root, programs: GuestPrograms, config: GuestConfig) {
  const paths: Array<string> = []
  const infos = new Map([...programs.modules].map(([name, { info }]) => [name, info] as const))
  const builtIn = programs.builtInModules ?? new Set()
  for (const name of [...config.modules, ...(config.network ? networkModules : [])]) {
    if (name.startsWith("/")) {
      if (config.files[name] === undefined) return yield* refuse(name, "this module is not among the files")
      paths.push(name)
      continue
    }
    const { missing, order } = moduleOrder([name], infos, builtIn)
    if (missing.length > 0) {
      const known = [...programs.modules.keys()].join(", ")
      return yield* refuse(missing.join(", "), `the kit has no such kernel module, only ${known || "none"}`)
    }
    for (const each of order) {
      const path = modulePath(each)
      root.put(path, file(programs.modules.get(each)?.content ?? none, 0o644))
      paths.push(path)
    }
  }
  // Loaded by the agent itself, once there is much to move, where nothing else is missing for its channel.
  const { order } = moduleOrder([channelModule], infos, builtIn)
  const content = order.length === 1 && builtIn.has("virtio_console") && programs.modules.get(channelModule)?.content
  if (content) root.put(modulePath(channelModule), file(content, 0o644))
  return [...new Set(paths)]
})

/** Puts a folder of the host at `path`. */
const addTree = Effect.fnUntraced(function* (
  root: Root,
  path: string,
  { owner, tree }: { readonly tree: string; readonly owner?: { readonly uid: number; readonly gid: number } }
) {
  const at = path === "/" ? "" : path
  const isTaken = (below: string) => !mountPoints.some((point) => `${at}/${below}`.startsWith(`${point}/`))
  for (const { path: below, ...node } of yield* readTree(tree, isTaken, archiveBytesMax)) {
    const guestPath = below === "" ? path : `${at}/${below}`
    if (guestPath === "/") {
      const { mode } = node
      const whose = owner === undefined ? node.owner : ([owner.uid, owner.gid] as const)
      root.put("/", { ...directory, mode, ...(whose === undefined ? {} : { owner: whose }) })
      continue
    }
    if (node.kind === "directory" && mountPoints.includes(guestPath)) continue
    // Names of one file are one within a tree, not across trees.
    const same = node.sameFile === undefined ? {} : { sameFile: `${path}:${node.sameFile}` }
    const why = root.add(guestPath, {
      ...node,
      ...same,
      ...(owner === undefined ? {} : { owner: [owner.uid, owner.gid] })
    })
    if (why !== undefined) return yield* refuse(guestPath, `${why} (from the tree ${tree})`)
  }
})

const addUserFiles = Effect.fnUntraced(function* (root: Root, config: GuestConfig) {
  for (const path of config.directories) {
    const why = root.add(path, directory)
    if (why !== undefined) return yield* refuse(path, why)
  }
  for (const [path, wanted] of Object.entries(config.files)) {
    if ("tree" in wanted) yield* addTree(root, path, wanted)
  }
  for (const [path, wanted] of Object.entries(config.files)) {
    if ("tree" in wanted) continue
    const content = "from" in wanted ? yield* hostFile(wanted.from) : wanted.content
    const bytes = typeof content === "string" ? utf8.encode(content) : content
    const why = root.add(path, file(bytes, wanted.mode))
    if (why !== undefined) return yield* refuse(path, why)
  }
  for (const [path, target] of Object.entries(config.links)) {
    const why = root.add(path, link(target))
    if (why !== undefined) return yield* refuse(path, why)
  }
})

const decodeConfig = Schema.decodeUnknownEffect(GuestConfig, { errors: "all", onExcessProperty: "error" })

/** A valid guest configuration, or all problems that can be found without the kit. */
export const checkedGuestConfig = (input: GuestConfigInput): Effect.Effect<GuestConfig, InitramfsError> =>
  Effect.mapError(
    decodeConfig(input),
    (error) => new InitramfsError({ reason: new ConfigInvalid({ problems: configProblems(error) }) })
  )

const programsProblem = (found: unknown): string | null =>
  Predicate.hasProperty(found, "agent") &&
  Predicate.hasProperty(found, "busybox") &&
  Predicate.hasProperty(found, "modules") &&
  found.agent instanceof Uint8Array &&
  found.busybox instanceof Uint8Array &&
  found.modules instanceof Map
    ? null
    : `expected the programs of a guest, { agent, busybox, modules } as GuestKit reads them, found ${describeValue(found)}`

/**
 * Builds the archive. The same input gives the same bytes.
 *
 * @example
 * ```ts
 * import { buildInitramfs } from "@stillpoint/kit"
 * import { Effect } from "effect"
 *
 * const programs = { agent: new Uint8Array(), busybox: new Uint8Array(), modules: new Map() }
 * const archive = buildInitramfs(programs, { workload: { argv: ["/bin/sh", "-c", "echo hello"] } })
 * console.log((await Effect.runPromise(archive)).length > 1000) // true
 * ```
 */
export const buildInitramfs = Effect.fn("Initramfs.build")(function* (
  programs: GuestPrograms,
  input: GuestConfigInput
): Effect.fn.Return<Uint8Array, InitramfsError> {
  const programProblem = programsProblem(programs)
  if (programProblem !== null) {
    return yield* new InitramfsError({ reason: new ConfigInvalid({ problems: programProblem }) })
  }
  const config = yield* checkedGuestConfig(input)
  const argumentsBytes = (config.workload?.argv ?? []).reduce((sum, item) => sum + 4 + Buffer.byteLength(item), 0)
  if (argumentsBytes > argumentsBytesMax) {
    return yield* tooLarge("the workload's arguments", argumentsBytesMax, argumentsBytes)
  }
  const root = standardRoot(programs, config.busybox, config.network)
  const modules = yield* addModules(root, programs, config)
  yield* addUserFiles(root, config)
  if (config.busybox) root.preferOwnPrograms(programs.busybox)
  const conf = utf8.encode(encodeAgentConf(config, modules))
  if (conf.length > agentConfBytesMax) {
    return yield* tooLarge("the workload's arguments and environment", agentConfBytesMax, conf.length)
  }
  root.put("/stillpoint/agent.conf", file(conf, 0o644))
  const entries = root.entries()
  if (entries instanceof InitramfsError) return yield* entries
  const total = entries.reduce((sum, entry) => sum + entry.content.length, 0)
  if (total > archiveBytesMax) return yield* tooLarge("the guest's files", archiveBytesMax, total)
  return writeCpio(entries)
})
