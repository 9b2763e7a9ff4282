/**
 * Debian's `qemu-system-riscv64` as a peer: the same kernel, initial RAM file system, command line and memory, with the
 * agent's control port on a socket.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { createServer, type Server, type Socket } from "node:net"
import { join } from "node:path"

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
}

/** Types of the agent's frames. */
export const frame = {
  agentReady: 0x01,
  listenerBound: 0x04,
  execExited: 0x0d,
  execFailed: 0x0e,
  agentRejected: 0x10
} as const

/** What is never said to a peer that is asked for what its agent knows: waiting for anything else would have no end. */
const refusals: ReadonlySet<number> = new Set([frame.execFailed, frame.agentRejected])

/** Bytes of output that a command may say: more than any here does. */
const outputBytes = 1n << 20n

const listen = (path: string): Promise<{ readonly server: Server; readonly socket: Promise<Socket> }> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    const socket = new Promise<Socket>((connected) => server.once("connection", connected))
    server.once("error", reject)
    server.listen(path, () => resolve({ server, socket }))
  })

let count = 0

/** A guest under QEMU. */
export class Qemu {
  readonly #child: ChildProcess
  readonly #control: Socket
  readonly #monitor: Socket
  readonly #servers: ReadonlyArray<Server>
  #bytes = Buffer.alloc(0)
  #waiting: { readonly type: number; readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined
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
    const child = spawn("qemu-system-riscv64", [...machine, ...kernel, ...port, ...prompt, ...disk, ...load], {
      stdio: ["ignore", "ignore", "inherit"]
    })
    const ended = new Promise<never>((_, reject) => {
      child.once("error", reject)
      child.once("exit", (code) => reject(new Error(`qemu-system-riscv64 ended: ${code}`)))
    })
    ended.catch(() => {})
    const sockets = await Promise.race([Promise.all([control.socket, monitor.socket]), ended])
    return new Qemu(child, sockets[0], sockets[1], [control.server, monitor.server])
  }

  /** Resolves at the next frame of that type; rejects if the agent refuses what it was given, or QEMU ends. */
  next(type: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = { type, resolve, reject }
      this.#take(Buffer.alloc(0))
    })
  }

  /** Has the agent execute a command. */
  exec(id: number, argv: ReadonlyArray<string>): void {
    const text = (value: string) => {
      const bytes = Buffer.from(value)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      return Buffer.concat([length, bytes])
    }
    const u32 = (value: number) => {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32LE(value)
      return bytes
    }
    const window = Buffer.alloc(8)
    window.writeBigUInt64LE(outputBytes)
    const body = Buffer.concat([
      Buffer.from([0x82]),
      u32(id),
      u32(argv.length),
      ...argv.map(text),
      // No environment, working directory and first input; the input ends there.
      u32(0),
      u32(0),
      u32(0),
      Buffer.from([1]),
      window,
      // As the agent, without a terminal, a program and not the agent's own.
      u32(0),
      u32(0),
      Buffer.from([0])
    ])
    this.#control.write(Buffer.concat([u32(body.length), body]))
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
    this.#bytes = Buffer.concat([this.#bytes, data])
    while (this.#bytes.length >= 5) {
      const length = this.#bytes.readUInt32LE(0)
      if (this.#bytes.length < 4 + length) return
      const type = this.#bytes[4]
      if (this.#waiting === undefined) return
      const said = this.#bytes.subarray(5, 4 + length)
      this.#bytes = this.#bytes.subarray(4 + length)
      if (type !== undefined && refusals.has(type)) {
        const expected = this.#waiting.type.toString(16)
        this.#fail(
          new Error(
            `expected the agent's frame 0x${expected}, found its refusal 0x${type.toString(16)}: ${said.toString("hex")}`
          )
        )
      } else if (this.#waiting.type === type) {
        const { resolve } = this.#waiting
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
