/**
 * A guest under Debian's `qemu-system-riscv64`, talked to frame by frame: the agent on a machine that is not ours.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { spawn, spawnSync } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type GuestFrame, takeFrames } from "../../../../../scripts/contract/frames.ts"

/** Why guests cannot be run here; empty when they can. */
export const qemuMissing: string =
  spawnSync("qemu-system-riscv64", ["--version"]).status === 0 ? "" : "qemu-system-riscv64 is not installed"

/** A running guest. */
export interface QemuGuest {
  /** Sends bytes to the agent, whole frames or not. */
  readonly send: (...bytes: ReadonlyArray<Uint8Array>) => void
  /** The next frames up to the first that is wanted, heartbeats left out unless wanted. */
  readonly until: (
    wanted: GuestFrame["name"] | ((frame: GuestFrame) => boolean)
  ) => Effect.Effect<ReadonlyArray<GuestFrame>>
  /** The guest's console output so far. */
  readonly console: () => string
  /** Ends when the machine has stopped by itself. */
  readonly stopped: Effect.Effect<void>
}

const listen = (path: string): Promise<{ readonly connected: Promise<Socket>; readonly close: () => void }> =>
  new Promise((resolve) => {
    const server = createServer()
    const connected = new Promise<Socket>((found) => server.once("connection", found))
    server.listen(path, () => resolve({ connected, close: () => void server.close() }))
  })

const machineArguments = [
  ["-M", "virt", "-m", "256", "-nographic", "-no-reboot"],
  // Without the kernel's tests of its ciphers and of its jitter generator: an eighth of what these guests execute.
  ["-append", "console=ttyS0 quiet panic=-1 cryptomgr.notests initcall_blacklist=jent_mod_init"]
]

/** A disk of the guest: a file, and the serial number that the guest sees. */
export interface QemuDisk {
  readonly path: string
  readonly serial: string
  readonly isReadOnly?: boolean
}

const diskArguments = ({ isReadOnly, path, serial }: QemuDisk): ReadonlyArray<string> => [
  "-drive",
  `file=${path},if=none,id=${serial},format=raw,readonly=${isReadOnly === true ? "on" : "off"}`,
  "-device",
  `virtio-blk-pci,drive=${serial},serial=${serial}`
]

const start = async (kernelPath: string, initramfs: Uint8Array, disks: ReadonlyArray<QemuDisk>) => {
  const folder = await mkdtemp(join(tmpdir(), "stillpoint-qemu-"))
  const [socketPath, initramfsPath] = [join(folder, "port"), join(folder, "initramfs")]
  await writeFile(initramfsPath, initramfs)
  const server = await listen(socketPath)
  const child = spawn(
    "qemu-system-riscv64",
    [
      ...machineArguments,
      ["-kernel", kernelPath, "-initrd", initramfsPath],
      // The machine has one serial port of its own; the second is the control port, ttyS1.
      ["-chardev", `socket,id=control,path=${socketPath}`, "-device", "pci-serial,chardev=control"],
      ...disks.map(diskArguments)
    ].flat(),
    { stdio: ["ignore", "pipe", "inherit"] }
  )
  let printed = ""
  child.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString("latin1")))
  const stopped = new Promise<void>((resolve) => child.once("close", () => resolve()))
  const socket = await server.connected
  return { folder, server, child, socket, stopped, printed: () => printed }
}

/** Boots a guest that stops with the scope. */
export const qemuGuest = (
  kernelPath: string,
  initramfs: Uint8Array,
  disks: ReadonlyArray<QemuDisk> = []
): Effect.Effect<QemuGuest, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => start(kernelPath, initramfs, disks)),
    ({ child, socket, server, folder, stopped }) =>
      Effect.promise(async () => {
        child.kill("SIGKILL")
        socket.destroy()
        server.close()
        await stopped
        await rm(folder, { recursive: true, force: true })
      })
  ).pipe(
    Effect.map((running) => {
      const waiting: Array<GuestFrame> = []
      let rest: Buffer = Buffer.alloc(0)
      let wake = () => {}
      running.socket.on("data", (chunk: Buffer) => {
        const [frames, left] = takeFrames(Buffer.concat([rest, chunk]))
        rest = left
        waiting.push(...frames)
        wake()
      })
      running.socket.on("error", () => {})
      const next = Effect.callback<GuestFrame>((resume) => {
        const take = () => {
          const first = waiting.shift()
          if (first === undefined) wake = take
          else {
            wake = () => {}
            resume(Effect.succeed(first))
          }
        }
        take()
      })
      const until: QemuGuest["until"] = Effect.fnUntraced(function* (wanted) {
        const matches = typeof wanted === "string" ? (found: GuestFrame) => found.name === wanted : wanted
        const frames: Array<GuestFrame> = []
        for (;;) {
          const found = yield* next
          if (matches(found) || found.name !== "HeartbeatTick") frames.push(found)
          if (matches(found)) return frames
        }
      })
      return {
        send: (...bytes) => void running.socket.write(Buffer.concat(bytes)),
        until,
        console: running.printed,
        stopped: Effect.promise(() => running.stopped)
      }
    })
  )
