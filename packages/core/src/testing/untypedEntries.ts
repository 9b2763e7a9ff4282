/**
 * The untyped calls of this package, and the values that their arguments resemble.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Predicate, type Scope, Stream } from "effect"
import * as fc from "fast-check"
import { Subject } from "rxjs"
import type { AgentPort } from "../agent/AgentPort.ts"
import { makeAgent } from "../agent/makeAgent.ts"
import { bootSpecProblems } from "../bootSpecProblems.ts"
import type { DurableFiles } from "../files/DurableFiles.ts"
import * as Gate from "../gate/Gate.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import type { GuestFiles } from "../guestFiles/GuestFiles.ts"
import { Journal } from "../journal/Journal.ts"
import * as Pipeline from "../pipeline/Pipeline.ts"
import { refuseProblems } from "../pipeline/runStages.ts"
import { makeClonePool } from "../pool/ClonePool.ts"
import { keyProblems } from "../snapshot/signing.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { kindTrigger } from "./kindTrigger.ts"
import { MemoryFiles } from "./MemoryFiles.ts"
import { ScriptedVmm } from "./ScriptedVmm.ts"
import { nearly, rubbish } from "./untypedCalls.ts"
import { type Machine, Vmm } from "../Vmm.ts"

export const host = () =>
  Layer.provideMerge(
    Layer.mergeAll(ScriptedVmm.layer(), SnapshotStore.layer, Journal.layerMemory),
    new MemoryFiles().layer
  )

export const spec = { kernelPath: "/kernel" }
export const capture = { policy: kindTrigger("ListenerBound"), target: "/s/one" }

const captureOptions = nearly(capture, [
  "name",
  "replace",
  "warmUp",
  "freeze",
  "validate",
  "gate",
  "prefetch",
  "tuning",
  "watchLimit",
  "observe",
  "recordGuest"
])
const specs = nearly(spec, [
  "initramfs",
  "initramfsPath",
  "memoryMib",
  "seed",
  "commandLine",
  "eventQuotas",
  "origin",
  "disks",
  "network"
])
const gates = nearly({}, [
  "identity",
  "guestTimeout",
  "hostTimeout",
  "clockTolerance",
  "hookTimeout",
  "signal",
  "onState"
])
export const pools = nearly({ snapshot: "/s/good", ready: 1 }, [
  "maximum",
  "acquireTimeout",
  "maxWaiting",
  "concurrency",
  "gate",
  "health",
  "drainTimeout",
  "onAdmission"
])

export type Called = Effect.Effect<unknown, unknown, Vmm | SnapshotStore | Journal | DurableFiles | Scope.Scope>
export type Untyped = (...args: ReadonlyArray<unknown>) => Called

const on =
  (method: "open" | "stage" | "remove" | "sweep"): Untyped =>
  (...args) =>
    Effect.flatMap(SnapshotStore, (store) => (store[method] as unknown as Untyped)(...args))

/** Operations on a machine, at its first listener. */
const ofMachine =
  (ask: (machine: Machine, ...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown, Scope.Scope>): Untyped =>
  (...args) =>
    Effect.gen(function* () {
      const machine = yield* (yield* Vmm).boot(spec)
      yield* machine.run({ kinds: ["ListenerBound"] })
      return yield* ask(machine, ...(args as unknown as ReadonlyArray<never>))
    })

const identities = nearly({
  entropy: new Uint8Array(32),
  realtimeNanos: 1n,
  hostname: "a",
  machineId: "0".repeat(32),
  env: {},
  thaw: false
})
const times = nearly({ within: "1 second" }, ["onSent"])
const commands = nearly({ argv: ["true"] }, [
  "env",
  "cwd",
  "user",
  "stdin",
  "timeoutNanos",
  "outputLimitBytes",
  "terminal"
])
const guestPaths = fc.oneof(rubbish, fc.constant("/etc/hosts"))

/** A client of the agent of a guest in which there is no file. */
const ofFiles =
  (ask: (files: GuestFiles, ...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown>): Untyped =>
  (...args) => {
    const events = new Subject<GuestEvent>()
    let asked = 0
    const port: AgentPort = {
      tell: (request) =>
        Effect.sync(() => {
          if (request._tag === "Exec") asked = request.id
        }),
      type: () => Effect.void,
      nextToken: () => Effect.succeed(7),
      nowNanos: Effect.succeed(0),
      // A restored machine: its agent is ready.
      nextSeq: () => 1,
      eventsFrom: () => events,
      eventsSoFar: Effect.succeed([]),
      advance: () =>
        Effect.sync(() => {
          const [at, data] = [{ id: asked, seq: 1, atNanos: 0 }, new TextEncoder().encode("2 none")]
          events.next({ _tag: "ExecStarted", pid: 1, ...at })
          events.next({ _tag: "ExecOutput", stream: "stderr", data, ...at })
          events.next({ _tag: "ExecExited", code: 1, signal: null, ...at })
          return { reason: "event" as const, seq: 1, atNanos: 0 }
        })
    }
    return ask(makeAgent(port).files, ...(args as unknown as ReadonlyArray<never>))
  }

const folder = mkdtempSync(join(tmpdir(), "stillpoint-untyped-"))
process.on("exit", () => rmSync(folder, { recursive: true, force: true }))

/** Every file is made in a folder of this test. */
const inFolder = (options: unknown): unknown =>
  Predicate.hasProperty(options, "path") && typeof options.path === "string"
    ? { ...options, path: join(folder, "a/b/c", options.path) }
    : options

export const paths = fc.oneof(rubbish, fc.constant("/s/good"))

export const entries: Readonly<Record<string, readonly [Untyped, ...ReadonlyArray<fc.Arbitrary<unknown>>]>> = {
  bootSpecProblems: [(spec) => Effect.suspend(() => refuseProblems("boot", bootSpecProblems("boot", spec))), specs],
  keyProblems: [
    (keys) => Effect.suspend(() => refuseProblems("keys", keyProblems(keys))),
    nearly({}, ["signingKey", "requiredKeys", "encryptionKey"])
  ],
  "Pipeline.run": [Pipeline.run as unknown as Untyped, specs, captureOptions],
  "Pipeline.sideBySide": [
    Pipeline.sideBySide as unknown as Untyped,
    specs,
    fc.oneof(rubbish, fc.array(captureOptions, { maxLength: 2 })),
    nearly({}, ["observe", "recordGuest"])
  ],
  "Pipeline.repeat": [
    (...args) =>
      Stream.runDrain(
        (Pipeline.repeat as unknown as (...args: ReadonlyArray<unknown>) => Stream.Stream<unknown>)(...args)
      ),
    specs,
    nearly({ ...capture, target: (index: number) => `/s/${index}` }, [
      "deltas",
      "replace",
      "warmUp",
      "tuning",
      "watchLimit"
    ])
  ],
  "Gate.restore": [Gate.restore as unknown as Untyped, paths, gates],
  "Gate.admit": [
    (...args) =>
      Effect.flatMap(
        Effect.flatMap(Vmm, (vmm) => vmm.boot(spec)),
        (machine) => (Gate.admit as unknown as Untyped)(machine, ...args)
      ),
    fc.oneof(rubbish, fc.boolean()),
    gates
  ],
  "Gate.fork": [
    (...args) =>
      Effect.flatMap(
        Effect.flatMap(Vmm, (vmm) => vmm.boot(spec)),
        (machine) => (Gate.fork as unknown as Untyped)(machine, ...args)
      ),
    fc.oneof(rubbish, fc.boolean()),
    gates
  ],
  makeClonePool: [makeClonePool as unknown as Untyped, pools],
  "agent.freeze": [ofMachine(({ agent }, time) => agent.freeze(time)), times],
  "agent.thaw": [ofMachine(({ agent }, time) => agent.thaw(time)), times],
  "agent.identify": [
    ofMachine(({ agent }, ...args) => agent.identify(...(args as unknown as [never]))),
    identities,
    times
  ],
  "agent.requestIdentity": [ofMachine(({ agent }, identity) => agent.requestIdentity(identity)), identities],
  "agent.execute": [ofMachine(({ agent }, command) => agent.execute(command)), commands],
  "agent.spawn": [ofMachine(({ agent }, command) => Effect.asVoid(agent.spawn(command))), commands],
  "agent.startWorkload": [
    ofMachine(({ agent }, ...args) => agent.startWorkload(...(args as unknown as [never]))),
    nearly({ argv: ["true"] }, ["root", "volumes", "env", "hold"]),
    times
  ],
  "agent.requestWorkload": [
    ofMachine(({ agent }, workload) => agent.requestWorkload(workload)),
    nearly({ argv: ["true"] }, ["root", "volumes", "env", "hold"])
  ],
  "agent.powerOff": [ofMachine(({ agent }, time) => agent.powerOff(time)), times],
  "agent.setClock": [ofMachine(({ agent }, nanos) => agent.setClock(nanos)), fc.oneof(rubbish, fc.constant(1n))],
  "agent.type": [
    ofMachine(({ agent }, ...args) => agent.type(...(args as unknown as [never, never]))),
    fc.oneof(rubbish, fc.constant(0)),
    fc.oneof(rubbish, fc.constant(new Uint8Array(3)))
  ],
  "files.read": [
    ofFiles((files, ...args) => files.read(...(args as unknown as [never, never]))),
    guestPaths,
    nearly({}, ["limitBytes"])
  ],
  "files.stream": [
    ofFiles((files, ...args) => Stream.runDrain(files.stream(...(args as unknown as [never, never])))),
    guestPaths,
    nearly({}, ["offset"])
  ],
  "files.write": [
    ofFiles((files, ...args) => files.write(...(args as unknown as [never, never]))),
    guestPaths,
    fc.oneof(rubbish, fc.constant("text")),
    nearly({}, ["mode"])
  ],
  "files.list": [ofFiles((files, path) => files.list(path)), guestPaths],
  "files.stat": [
    ofFiles((files, ...args) => files.stat(...(args as unknown as [never, never]))),
    guestPaths,
    nearly({}, ["follow"])
  ],
  "files.mkdir": [
    ofFiles((files, ...args) => files.mkdir(...(args as unknown as [never, never]))),
    guestPaths,
    nearly({}, ["mode", "parents"])
  ],
  "files.remove": [
    ofFiles((files, ...args) => files.remove(...(args as unknown as [never, never]))),
    guestPaths,
    nearly({}, ["recursive"])
  ],
  "files.rename": [
    ofFiles((files, ...args) => files.rename(...(args as unknown as [never, never]))),
    guestPaths,
    guestPaths
  ],
  "files.chmod": [
    ofFiles((files, ...args) => files.chmod(...(args as unknown as [never, never]))),
    guestPaths,
    fc.oneof(rubbish, fc.constant(0o644))
  ],
  "machine.live": [
    ofMachine((machine, options) => machine.live(options)),
    nearly({}, ["idleTimeout", "clockTolerance"])
  ],
  "Journal.layerSqlite": [
    (options) => Effect.provide(Journal, Journal.layerSqlite(inFolder(options) as never)),
    nearly({ path: "/nowhere/journal" }, ["busyTimeout", "pollInterval", "maxSizeBytes"])
  ],
  "SnapshotStore.open": [on("open"), paths, nearly({}, ["allowUnvalidated", "allowLocked", "digest"])],
  "SnapshotStore.stage": [on("stage"), paths],
  "SnapshotStore.remove": [on("remove"), rubbish],
  "SnapshotStore.sweep": [on("sweep"), paths]
}
