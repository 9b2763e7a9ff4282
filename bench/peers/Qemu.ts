/**
 * Debian's `qemu-system-riscv64` as a peer: the same kernel, initial RAM file system, command line and memory, with the
 * agent's control port on a socket.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { createServer, type Server, type Socket } from "node:net"
import { join } from "node:path"
import { type GuestFrame, hostFrame, takeFrames } from "../../scripts/contract/frames.ts"

export interface QemuSpec {
  readonly kernelPath: string
  readonly initramfsPath: string
  readonly commandLine: string
  readonly memoryMib: number
  /** Folder for sockets; short, since a socket's path is. */
  readonly directory: string
  /** A qcow2 disk that `savevm` writes to. */
  readonly diskPath?: string
  /** Name of a state on the disk to begin with. */
  readonly loadState?: string
  /** A network in user space, with ports of the host's loopback that lead to the guest's. */
  readonly forward?: ReadonlyArray<{ readonly hostPort: number; readonly port: number }>
}

/** Frames that never come from a peer whose agent works: waiting for anything else would not end. */
const refusals: ReadonlySet<string> = new Set(["ExecFailed", "AgentRejected"] satisfies ReadonlyArray<
  GuestFrame["name"]
>)

/** Bytes of output that a command may say: more than any here does. */
const outputBytes = 1n << 20n

const listen = (path: string): Promise<{ readonly server: Server; readonly socket: Promise<Socket> }> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    const socket = new Promise<Socket>((connected) => server.once("connection", connected))
    server.once("error", reject)
    server.listen(path, () => resolve({ server, socket }))
  })

interface Waiting {
  readonly name: GuestFrame["name"]
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

let count = 0

/** A guest under QEMU. */
export class Qemu {
  readonly #child: ChildProcess
  readonly #control: Socket
  readonly #monitor: Socket
  readonly #servers: ReadonlyArray<Server>
  #bytes = Buffer.alloc(0)
  readonly #frames: Array<GuestFrame> = []
  #waiting: Waiting | undefined
  #monitorText = ""
  #monitorWaiting: (() => void) | undefined

  private constructor(child: ChildProcess, control: Socket, monitor: Socket, servers: ReadonlyArray<Server>) {
    this.#child = child
    this.#control = control
    this.#monitor = monitor
    this.#servers = servers
    control.on("data", (data: Buffer) => this.#take(data))
    child.once("exit", (code) => this.#fail(new Error(`qemu-system-riscv64 ended: ${code}`)))
    monitor.on("data", (data: Buffer) => {
      this.#monitorText += data.toString("utf8")
      this.#monitorWaiting?.()
    })
  }

  /** Starts it; time counts from this call. */
  static async start(spec: QemuSpec): Promise<Qemu> {
    const number = count++
    const paths = ["c", "m"].map((name) => join(spec.directory, `${name}${number}`))
    const [control, monitor] = await Promise.all([listen(paths[0] ?? ""), listen(paths[1] ?? "")])
    const disk = spec.diskPath === undefined ? [] : ["-drive", `if=none,format=qcow2,file=${spec.diskPath}`]
    const load = spec.loadState === undefined ? [] : ["-loadvm", spec.loadState]
    const { forward } = spec
    const ports = forward?.map(({ hostPort, port }) => `,hostfwd=tcp:127.0.0.1:${hostPort}-:${port}`)
    const user = ports && `user,id=net${ports.join("")}`
    const network = user === undefined ? [] : ["-netdev", user, "-device", "virtio-net-device,netdev=net"]
    const machine = [
      "-machine",
      "virt",
      "-m",
      `${spec.memoryMib}M`,
      "-display",
      "none",
      "-serial",
      "null",
      "-no-reboot"
    ]
    const kernel = ["-kernel", spec.kernelPath, "-initrd", spec.initramfsPath, "-append", spec.commandLine]
    const port = ["-chardev", `socket,id=control,path=${paths[0]}`, "-device", "pci-serial,chardev=control"]
    const prompt = ["-chardev", `socket,id=monitor,path=${paths[1]}`, "-mon", "chardev=monitor,mode=readline"]
    const child = spawn(
      "qemu-system-riscv64",
      [...machine, ...kernel, ...port, ...prompt, ...disk, ...network, ...load],
      {
        stdio: ["ignore", "ignore", "inherit"]
      }
    )
    const ended = new Promise<never>((_, reject) => {
      child.once("error", reject)
      child.once("exit", (code) => reject(new Error(`qemu-system-riscv64 ended: ${code}`)))
    })
    ended.catch(() => {})
    const sockets = await Promise.race([Promise.all([control.socket, monitor.socket]), ended])
    return new Qemu(child, sockets[0], sockets[1], [control.server, monitor.server])
  }

  /** Resolves at the next frame of that name; rejects if the agent refuses a request, or QEMU ends. */
  next(name: GuestFrame["name"]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = { name, resolve, reject }
      this.#look()
    })
  }

  /** Has the agent execute a command, with nothing to read. */
  exec(id: number, argv: ReadonlyArray<string>): void {
    this.#control.write(hostFrame("Exec", { id, argv, closeStdin: true, outputBytes }))
  }

  /** Executes a command of QEMU's monitor; resolves when its prompt is back. */
  async monitor(command: string): Promise<string> {
    await this.#prompt()
    this.#monitorText = ""
    this.#monitor.write(`${command}\n`)
    await this.#prompt()
    return this.#monitorText
  }

  #prompt(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!this.#monitorText.endsWith("(qemu) ")) return
        this.#monitorWaiting = undefined
        resolve()
      }
      this.#monitorWaiting = look
      look()
    })
  }

  /** Resident bytes of the process. */
  get pid(): number {
    return this.#child.pid ?? 0
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve))
    this.#child.kill("SIGKILL")
    await ended
    this.#control.destroy()
    this.#monitor.destroy()
    for (const server of this.#servers) server.close()
  }

  #take(data: Buffer): void {
    try {
      const [frames, rest] = takeFrames(Buffer.concat([this.#bytes, data]))
      this.#bytes = Buffer.from(rest)
      this.#frames.push(...frames)
    } catch (cause) {
      this.#fail(new Error("the agent says what the contract does not know", { cause }))
    }
    this.#look()
  }

  #look(): void {
    while (this.#waiting !== undefined) {
      const said = this.#frames.shift()
      if (said === undefined) return
      const { name, resolve } = this.#waiting
      if (refusals.has(said.name)) {
        this.#fail(new Error(`expected ${name} of the agent, found ${said.name}: ${said.fields.join(", ")}`))
      } else if (said.name === name) {
        this.#waiting = undefined
        resolve()
      }
    }
  }

  #fail(error: Error): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.reject(error)
  }
}
