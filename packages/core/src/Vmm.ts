/**
 * The port behind which machines live: the embedded engine, hardware virtualization, or a recorded timeline.
 *
 * @module
 */
import { Context, type Duration, type Effect, type Schema, type Scope } from "effect"
import type { Observable } from "rxjs"
import type { DiskSpec } from "./DiskSpec.ts"
import type { WorkloadSpec } from "./WorkloadSpec.ts"
import type { AgentError, WorkloadStartError } from "./AgentErrors.ts"
import type { GuestActivity } from "./GuestActivity.ts"
import type { GuestEvent, GuestEventKind, GuestNanos } from "./GuestEvent.ts"
import type { Secret } from "./Secret.ts"
import type { GuestFiles } from "./guestFiles/GuestFiles.ts"
import type { GuestPorts, NetworkSpec } from "./GuestPorts.ts"
import type { GuestProcess, SpawnSpec } from "./GuestProcess.ts"
import type { LiveMachine, LiveOptions } from "./LiveMachine.ts"
import type { MachineStop } from "./MachineStop.ts"
import type {
  AttachError,
  BootError,
  CaptureError,
  ExecError,
  ForkError,
  MachineError,
  RestoreError
} from "./MachineErrors.ts"

export type { MachineStop } from "./MachineStop.ts"

/**
 * How much of a kind of event a guest may say. It is counted in guest time, so that the same guest is told the same however fast
 * its host reads: a level rises with every event and falls by `bytesPerSecond` of guest time; what would lift it over `burstBytes`
 * is over the quota.
 */
export interface EventQuota {
  /** Bytes at once: 64 for each event, and the text and bytes that it holds. At most 2^32. */
  readonly burstBytes: number
  /** Bytes in a second of guest time, in the long run. At most 2^32. */
  readonly bytesPerSecond: number
  /**
   * What becomes of more. `drop` (if absent): it is dropped and counted, and `EventsDropped` says so a tenth of a guest second later.
   * `pause`: it is told, and ends the run as an event that was asked for does; whoever runs the guest takes in what there is and
   * goes on, and the quota begins anew. `end`: the guest ends with an `EngineFault`.
   */
  readonly overflow?: "drop" | "pause" | "end"
}

/** What a machine boots. */
export interface BootSpec {
  /** Path of a Linux `Image`, an ELF file or a flat supervisor-mode payload. */
  readonly kernelPath: string
  /** Path of the initial RAM file system; none for a bare payload. */
  readonly initramfsPath?: string
  /** Bytes of the initial RAM file system, instead of a path. */
  readonly initramfs?: Uint8Array
  /** Guest-physical load address of a flat payload. An `Image` or ELF file says its own. */
  readonly loadAddress?: number
  /** Kernel command line. */
  readonly commandLine?: string
  /**
   * Name of the engine: `soft`, or `kvm` for x86-64 payloads where the host has it; `auto`, which is `soft` so far, if
   * absent. Another, and one that this host cannot use, is refused with the list and why.
   */
  readonly engine?: string
  /** Guest memory in MiB; 128 if absent. */
  readonly memoryMib?: number
  /** Seed of every random byte the machine gives its guest; host randomness if `null`; 0 if absent. */
  readonly seed?: number | null
  /** Wall-clock time of the guest's first instruction, milliseconds since 1970. Fixed default: runs are reproducible. */
  readonly epochMillis?: number
  /** Guest time between two samples of dirtied pages, nanoseconds; 0 for none; 10 ms if absent. */
  readonly dirtySampleNanos?: number
  /** The network interface; without it the machine has none, and is the machine that it was without networks. */
  readonly network?: NetworkSpec
  /**
   * How much of some kinds of events the guest may say. The other kinds have quotas too, of many times what a guest says that means
   * no harm: 8 MiB of console lines at once and 1 MiB in every further second, say. What the host causes has none.
   */
  readonly eventQuotas?: { readonly [K in GuestEventKind]?: EventQuota }
  /** Its disks, in the order in which the guest finds them: 24 at most, slots included. */
  readonly disks?: ReadonlyArray<DiskSpec>
  /** Empty slots behind them, for disks that come later: {@link Machine.attachDisk}. None if absent. */
  readonly diskSlots?: number
  /** Where kernel and root came from, for whoever reads the journal or the snapshot's manifest; nothing is decided by it. */
  readonly origin?: { readonly [key: string]: Schema.Json }
}

/** Until when a machine runs; the first that comes true ends the run. Empty: until it ends by itself or is paused. */
export interface MachineUntil {
  /** Stop right after the instruction that caused an event of one of these kinds. */
  readonly kinds?: ReadonlyArray<GuestEventKind>
  /** Stop at the first instruction boundary at or after this guest time. */
  readonly atNanos?: GuestNanos
  /** Stop after this many guest nanoseconds of execution and waiting. */
  readonly budgetNanos?: number
  /** `asFastAsPossible` (default) lets idle time pass at once; `realTime` keeps guest time from running ahead of the host's clock. */
  readonly pace?: "asFastAsPossible" | "realTime"
}

/**
 * A command to execute in the guest.
 *
 * 128 run at once, more wait for their turn. Program, arguments, environment and working directory fit into one frame of 64 KiB.
 * An exec that fails, for whatever reason, or is interrupted, has its command killed with everything in its process group.
 */
export interface ExecSpec {
  readonly argv: ReadonlyArray<string>
  /** Added to the environment that the guest's commands have, in place of what has the same name there. */
  readonly env?: Readonly<Record<string, Secret<string>>>
  /** Working directory; `/` if absent. */
  readonly cwd?: string
  /** Whom it runs as: `user` or `user:group`, each a name of the guest's `/etc/passwd` and `/etc/group` or a number; `0` if absent. */
  readonly user?: string
  /** Standard input, of any size: it is sent as fast as the command reads. Ends where this ends; empty if absent. */
  readonly stdin?: Secret<Uint8Array | string>
  /** Guest time after which the command is killed and the exec fails with `TimedOut`; 60 s if absent. */
  readonly timeoutNanos?: number
  /** Most bytes of output, both streams together; with more the command is killed and the exec fails with `TooMuchOutput`. 64 MiB if absent. */
  readonly outputLimitBytes?: number
}

/** What a command did. */
export interface ExecResult {
  readonly code: number | null
  readonly signal: number | null
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
}

/** A new identity for a restored machine. Absent parts are drawn by the gate, or left as they are where so said. */
export interface IdentitySpec {
  /** At least 32 bytes for the kernel's random source. */
  readonly entropy: Uint8Array
  /** Wall-clock time, nanoseconds since 1970; `null` leaves the clock. */
  readonly realtimeNanos: bigint | null
  readonly hostname: string | null
  /** 32 lower-case hexadecimal digits. */
  readonly machineId: string | null
  readonly env: Readonly<Record<string, Secret<string>>>
  /** Thaw a frozen workload once everything else is applied. */
  readonly thaw: boolean
  /** Guest time that the image's identity hook may take; as the guest's configuration says if absent. */
  readonly hookTimeoutNanos?: number
  /** Number of the signal that the workload is sent once it goes on; as the guest's configuration says if absent. */
  readonly signal?: number
}

/** What a restored or forked machine's devices begin anew from. */
export interface Renewal {
  /** Seed of what its random sources give from now on, at least 32 bytes. */
  readonly entropySeed: Uint8Array
  /** 16 bytes that no other machine has. */
  readonly generationId: Uint8Array
  /** What its hardware clock shows, nanoseconds since 1970. */
  readonly realtimeNanos: bigint
}

/** What a capture holds: all of memory, if nothing else is said. */
export interface CaptureKind {
  /**
   * Identity of an earlier capture: only what may differ from it is written. One of this machine, of a fork of it, of the machine
   * that it was forked from before it left, or the one that it was restored from.
   */
  readonly parent?: string
}

/** What the files to restore from must be. */
export interface RestoreChain {
  /** The identity that the capture must have; any if absent. */
  readonly identity?: string
  /** Directories of what a delta was taken against: its parent, that one's parent and so on, to a full capture. */
  readonly parents?: ReadonlyArray<string>
  /** By the names of disks: where the files that they read stand now, if not where they stood at the capture. */
  readonly diskSources?: Readonly<Record<string, string>>
}

/** One file that a capture wrote. */
export interface CapturedFile {
  readonly name: string
  readonly sizeBytes: number
  /** Bytes that it occupies on the disk; fewer than its size where it is sparse. */
  readonly storedBytes: number
  /** Name of the file of this capture that holds the digests of its chunks, if those are checked when first touched; else `null`. */
  readonly chunkTable: string | null
  /** Guest-physical address of its first byte; `null` for what is not memory. */
  readonly guestAddress: number | null
}

/** Files that one capture wrote, and what it cost. */
export interface CapturedFiles {
  /** Names the captured state: what deltas to it are taken against, and restores can insist on. */
  readonly identity: string
  /** Identity of the capture that this one is a delta to; `null` for a full one. */
  readonly parent: string | null
  readonly atNanos: GuestNanos
  /** `seq` of the last event before the capture; -1 for none. */
  readonly seq: number
  /** Host time during which the guest could not run, in nanoseconds. */
  readonly pauseNanos: number
  readonly files: ReadonlyArray<CapturedFile>
  readonly engine: string
  readonly memoryMib: number
}

/** For how long an answer is waited for. */
export interface AnswerTime {
  /** Guest time within which the agent must answer; 5 s if absent. */
  readonly within?: Duration.Input
}

/**
 * What the host can ask of a guest's agent.
 *
 * `freeze`, `thaw`, `identify`, `execute`, `startWorkload` and `powerOff` let the guest go on until the agent has answered, refused, or its time is
 * up; while somebody else runs the guest, they wait for the events of that run. What begins with `request` only sends, for whoever
 * watches the guest already.
 */
export interface Agent {
  /** Freezes the workload, syncs and drains; the guest time of the answer. */
  readonly freeze: (time?: AnswerTime) => Effect.Effect<GuestNanos, AgentError | MachineError>
  /** Lets a frozen workload go on; the guest time of the answer. */
  readonly thaw: (time?: AnswerTime) => Effect.Effect<GuestNanos, AgentError | MachineError>
  /** Gives the guest a new identity; the guest time of the acknowledgement, and the token that it carries. */
  readonly identify: (
    identity: IdentitySpec,
    time?: AnswerTime & {
      /** Told the token when the request is on its way. */
      readonly onSent?: (token: number) => Effect.Effect<void>
    }
  ) => Effect.Effect<{ readonly atNanos: GuestNanos; readonly token: number }, AgentError | MachineError>
  /** Executes a command and waits for its end. See {@link ExecSpec} for the limits. */
  readonly execute: (spec: ExecSpec) => Effect.Effect<ExecResult, ExecError | MachineError>
  /** Starts a command: {@link GuestProcess}. */
  readonly spawn: (spec: SpawnSpec) => Effect.Effect<GuestProcess, ExecError | MachineError, Scope.Scope>
  /** The guest's files. */
  readonly files: GuestFiles
  /** Lets a workload go that is held at pre-exec. Does not run the guest. */
  readonly go: Effect.Effect<void, MachineError>
  /** Sets the guest's wall clock and its hardware clock, nanoseconds since 1970, before whatever it is asked next. Does not run the guest. */
  readonly setClock: (realtimeNanos: bigint) => Effect.Effect<void, MachineError>
  /**
   * Gives a guest that was booted without a workload its root and its workload, and lets it go on to `WorkloadPreExec`; the guest
   * time of that. What keeps the workload from being started is `WorkloadStartError`, and the guest is as before. 30 s if
   * nothing is said about the time.
   */
  readonly startWorkload: (
    spec: WorkloadSpec,
    time?: AnswerTime
  ) => Effect.Effect<GuestNanos, AgentError | MachineError | WorkloadStartError>
  /** Switches the guest off: the workload is stopped as it was said to be, files are synced, output has left. */
  readonly powerOff: (time?: AnswerTime) => Effect.Effect<MachineStop, AgentError | MachineError>
  /** Types on a serial port, as fast as the guest reads: it is let go on where the port is full. */
  readonly type: (port: number, data: Uint8Array) => Effect.Effect<void, MachineError>
  /** Asks for a freeze; returns the token that `AgentFrozen` will carry. Does not run the guest. */
  readonly requestFreeze: Effect.Effect<number, MachineError>
  /** Asks for a thaw; returns the token that `AgentThawed` will carry. Does not run the guest. */
  readonly requestThaw: Effect.Effect<number, MachineError>
  /** Gives the guest its workload, for whoever watches for `WorkloadPreExec`; returns the token that a refusal carries. Does not run the guest. */
  readonly requestWorkload: (spec: WorkloadSpec) => Effect.Effect<number, MachineError>
  /** Gives the guest a new identity; returns the token that `IdentityApplied` will carry. Does not run the guest. */
  readonly requestIdentity: (identity: IdentitySpec) => Effect.Effect<number, MachineError>
}

/**
 * One running or paused guest. Nothing executes until {@link Machine.run} is called; between runs the guest stands still.
 *
 * Closed by its scope; every operation on a closed machine fails with a typed error.
 */
export interface Machine {
  readonly id: string
  /** Name of the engine: `soft`, `kvm`, `replay`. */
  readonly engine: string
  readonly memoryMib: number
  /** Whether equal inputs give equal runs: policies then decide in lockstep. */
  readonly isDeterministic: boolean
  /** What the guest was in the middle of when the machine was booted, restored or forked: before the first event of its own log. */
  readonly beginning: GuestActivity
  /** What the guest is in the middle of now, as it stands. */
  readonly activity: Effect.Effect<GuestActivity, MachineError>
  /** Guest time at the last stop or batch. */
  readonly nowNanos: Effect.Effect<GuestNanos>
  /** Every event from the machine's first (seq 0 of this machine's own log) on, then live; completes when the machine ends. */
  readonly events$: Observable<GuestEvent>
  /** Events from `seq` on, then live. */
  readonly eventsFrom: (seq: number) => Observable<GuestEvent>
  /** The events so far, from `seq` on, as an array of at most `most`. Fails with `EventsLost` where the log no longer holds them. */
  readonly eventsSoFar: (seq?: number, most?: number) => Effect.Effect<ReadonlyArray<GuestEvent>, MachineError>
  /** Runs the guest; interruption pauses it. One run at a time. All events up to the stop have been emitted when it returns. */
  readonly run: (until: MachineUntil) => Effect.Effect<MachineStop, MachineError>
  /** Ends a run in progress on another fiber. */
  readonly pause: Effect.Effect<void, MachineError>
  /**
   * Has the machine live until the scope ends: it runs in the background, its time follows the host's, and it takes no processor time
   * while its guest waits. {@link LiveMachine} says what else can be done with it meanwhile. Fails with `AlreadyRunning` while
   * somebody runs it, and with `InvalidRun` for options that cannot be.
   *
   * @example
   * ```ts
   * import type { Machine } from "@stillpoint/core"
   * import { Effect } from "effect"
   *
   * export const program = (machine: Machine) => Effect.scoped(Effect.gen(function*() {
   *   const live = yield* machine.live({ idleTimeout: "30 seconds" })
   *   yield* machine.exec({ argv: ["true"] })
   *   yield* live.pause
   *   return (yield* live.state).status // "paused"
   * }))
   * ```
   */
  readonly live: (options?: LiveOptions) => Effect.Effect<LiveMachine, MachineError, Scope.Scope>
  /** The agent in the guest: freezes and thaws the workload, gives the guest another identity, executes commands. */
  readonly agent: Agent
  /** Lets a workload that is held at pre-exec go: {@link Agent.go}. Does not run the guest. */
  readonly go: Effect.Effect<void, MachineError>
  /**
   * Sends bytes to a serial port; recorded as `HostInput`. Does not run the guest, unless the port takes no more: then the guest is
   * let go on until it has read enough. `InputFull`: it read nothing in 10 s of its time.
   */
  readonly sendSerial: (port: number, data: Uint8Array) => Effect.Effect<void, MachineError>
  /**
   * Runs the guest until the command has ended: {@link Agent.execute}. Other events keep flowing. A guest that boots is let go on
   * until its agent is ready, for 60 s of its time at most.
   */
  readonly exec: (spec: ExecSpec) => Effect.Effect<ExecResult, ExecError | MachineError>
  /**
   * Starts a command and hands it out while it runs: output and input as streams of any length, signals, a terminal. It is killed
   * with the scope, and with everything in its process group. See {@link GuestProcess} for who runs the guest meanwhile.
   */
  readonly spawn: (spec: SpawnSpec) => Effect.Effect<GuestProcess, ExecError | MachineError, Scope.Scope>
  /** The guest's files. */
  readonly files: GuestFiles
  /** Ports that lead into the guest, and whom the guest may reach. */
  readonly ports: GuestPorts
  /**
   * Makes the devices another machine's than those that it was restored or forked with: new randomness, another generation for its
   * kernel to see, the right time on its hardware clock. Does not run the guest.
   */
  readonly renew: (renewal: Renewal) => Effect.Effect<void, MachineError>
  /**
   * Puts a disk into an empty slot of those that the machine was booted with (`BootSpec.diskSlots`): the one of that number, from 0,
   * or the first. Does not run the guest: its kernel sees the disk when it goes on. A disk stays for as long as the machine lives.
   * Recorded as `DiskAttached`.
   */
  readonly attachDisk: (disk: DiskSpec, slot?: number) => Effect.Effect<void, AttachError>
  /** Writes memory and machine state into an existing empty directory, flushed. The guest may run on meanwhile. */
  readonly capture: (directory: string, kind?: CaptureKind) => Effect.Effect<CapturedFiles, CaptureError>
  /**
   * An independent machine in the same state that shares memory copy-on-write. It is the same machine once more: on the deterministic
   * engine it goes on as this one would, down to the bytes of its random source, which is what explorers and laws need. Only with
   * `seed: null` its devices draw anew. Where both are to be used by somebody, `Gate.fork` makes one of its own.
   */
  readonly fork: Effect.Effect<Machine, ForkError, Scope.Scope>
  /** Digest of the whole machine state: registers, memory, devices, clock. Lower-case hexadecimal. */
  readonly digest: Effect.Effect<string, MachineError>
  /** Bytes of host memory that this machine alone holds. */
  readonly ownBytes: Effect.Effect<number, MachineError>
  /**
   * Guest-physical addresses of the pages touched since the machine was restored or forked, or since the last take: they are
   * counted anew from here.
   */
  readonly takeTouchedPages: Effect.Effect<Float64Array, MachineError>
}

/** Makes machines. */
export class Vmm extends Context.Service<
  Vmm,
  {
    /** A machine standing before its first instruction. */
    readonly boot: (spec: BootSpec) => Effect.Effect<Machine, BootError, Scope.Scope>
    /** A machine standing where the snapshot files in `directory` were captured. Ungated: use the gate, not this. */
    readonly restore: (directory: string, chain?: RestoreChain) => Effect.Effect<Machine, RestoreError, Scope.Scope>
    /** Names what makes these machines: of equal names equal specifications are equal machines. Absent where nobody knows. */
    readonly build?: string
  }
>()("@stillpoint/core/Vmm") {}
