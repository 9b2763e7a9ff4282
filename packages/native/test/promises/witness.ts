/** Guests whose workload bears witness of what happens to it; its source is `witness.c`. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Journal, Pipeline, SnapshotStore } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import type { Machine } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect, Layer } from "effect"
import { folder, layer as machines } from "../guests.ts"

/** The compiler that also builds the agent. */
const compiler = "riscv64-linux-gnu-gcc"

/** Whether the cross compiler is here; tests that need it are skipped otherwise. */
export const hasCompiler = (() => {
  try {
    execFileSync(compiler, ["--version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})()

/** Compiles a file of this folder. */
export const compile = (source: string, output: string, ...flags: ReadonlyArray<string>): void => {
  execFileSync(compiler, [...flags, "-o", output, fileURLToPath(new URL(source, import.meta.url))])
}

/** Machines, the guest kit, a store on the disk, and a journal that goes with the test. */
export const layer = Layer.mergeAll(machines, SnapshotStore.layerHost, Journal.layerMemory)

/** The specification that boots Linux with the witness as its workload. */
export const witnessed = Effect.gen(function* () {
  const kit = yield* GuestKit
  const { kernelPath } = yield* kit.files
  const directory = mkdtempSync(join(tmpdir(), "stillpoint-witness-"))
  const program = join(directory, "witness")
  const initramfs = yield* Effect.sync(() => compile("./witness.c", program, "-static", "-Os", "-s")).pipe(
    Effect.andThen(
      kit.initramfs({
        workload: { argv: ["/witness", "serve"] },
        files: { "/witness": { from: program, mode: 0o755 } }
      })
    ),
    Effect.ensuring(Effect.sync(() => rmSync(directory, { recursive: true, force: true })))
  )
  return { kernelPath, initramfs }
})

/** Boots the witness and publishes a snapshot of the moment of that event. */
const captureAt = Effect.fn("captureAt")(function* (kind: "WorkloadPreExec" | "ListenerBound") {
  const target = join(yield* folder, kind)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const { value } = yield* Pipeline.run(yield* witnessed, { policy: kindTrigger(kind), target })
      return value.snapshot
    })
  )
})

/** A snapshot of the moment at which the witness listens, counting meanwhile. */
export const captureWitness = captureAt("ListenerBound")

/** A snapshot of the moment before the witness's first instruction. */
export const captureHeld = captureAt("WorkloadPreExec")

/** The witness's answer. */
export interface Testimony {
  readonly count: number
  readonly wakes: number
  readonly mostExpirations: number
  readonly longestNanos: number
  readonly realtimeNanos: bigint
  readonly monotonicNanos: number
  readonly boottimeNanos: number
  readonly random: string
  readonly hostname: string
  readonly uuid: string
  readonly machineId: string
  /** Guest time between which the command ran: from its start to its end. */
  readonly betweenNanos: readonly [number, number]
}

/** Asks the witness in a guest. */
export const ask = Effect.fn("ask")(function* (machine: Machine) {
  const first = (yield* machine.eventsSoFar()).at(-1)?.seq ?? 0
  const { code, stdout } = yield* machine.exec({ argv: ["/witness", "tell"] })
  if (code !== 0) return yield* Effect.die(new Error(`the witness ended with ${code}`))
  const said = new Map(
    new TextDecoder()
      .decode(stdout)
      .trim()
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)] as const)
  )
  const text = (name: string): string => said.get(name) ?? ""
  const events = yield* machine.eventsSoFar(first)
  const at = (kind: string): number => events.find((event) => event._tag === kind)?.atNanos ?? Number.NaN
  return {
    count: Number(text("count")),
    wakes: Number(text("wakes")),
    mostExpirations: Number(text("mostExpirations")),
    longestNanos: Number(text("longestNanos")),
    realtimeNanos: BigInt(text("realtime")),
    monotonicNanos: Number(text("monotonic")),
    boottimeNanos: Number(text("boottime")),
    random: text("random"),
    hostname: text("hostname"),
    uuid: text("uuid"),
    machineId: text("machineId"),
    betweenNanos: [at("ExecStarted"), at("ExecExited")]
  } satisfies Testimony
})

/** Threads of this process by name, as the kernel sees them. */
export const threads = (): number => readdirSync("/proc/self/task").length
