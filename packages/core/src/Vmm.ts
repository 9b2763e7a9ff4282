/**
 * The port behind which machines live: the embedded engine, hardware virtualization, or a recorded timeline.
 *
 * @module
 */
import type { CapturedFiles, CaptureKind, RestoreChain } from "./CapturedFiles.ts"
import { Context, type Duration, type Effect, type Schema, type Scope } from "effect"
import type { Observable } from "rxjs"
import type { EngineChoice } from "./EngineChoice.ts"
import type { DiskSpec } from "./DiskSpec.ts"
import type { StartSpec } from "./WorkloadSpec.ts"
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
 * How many events of one kind a guest may produce. The quota is counted in guest time, so the result does not depend on how fast the
 * host reads: a level rises with every event and falls by `bytesPerSecond` of guest time; an event that would lift it above
 * `burstBytes` is over the quota.
 */
export interface EventQuota {
  /** Bytes at once: 64 for each event, plus the text and bytes in it. At most 2^32. */
  readonly burstBytes: number
  /** Average bytes in a second of guest time. At most 2^32. */
  readonly bytesPerSecond: number
  /**
   * What happens to an event over the quota. `drop` (the default): it is dropped and counted, and an `EventsDropped` event reports the
   * count a tenth of a guest second later. `pause`: it is delivered and ends the run, as a requested event does; the caller reads the
   * events and runs the guest again, and the quota starts again. `end`: the guest ends with an `EngineFault`.
   */
  readonly overflow?: "drop" | "pause" | "end"
}

/** How to boot a machine. */
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
   * Name of the engine: `soft`, or `kvm` for x86-64 on a host that has it; `auto` if absent: the one that the kernel is for, as its
   * headers say, and `soft` for a payload that says nothing. Unknown engines, and those that this host cannot use, are refused with the
   * list of engines and the reasons.
   */
  readonly engine?: string
  /** Guest memory in MiB; 128 if absent. */
  readonly memoryMib?: number
  /** Seed of every random byte the machine gives its guest; host randomness if `null`; 0 if absent. */
  readonly seed?: number | null
  /** Wall-clock time of the guest's first instruction, milliseconds since 1970. The default is fixed, so runs are reproducible. */
  readonly epochMillis?: number
  /** Guest time between two samples of dirtied pages, nanoseconds; 0 for none; 10 ms if absent. */
  readonly dirtySampleNanos?: number
  /** The network interface; the machine has none if absent. */
  readonly network?: NetworkSpec
  /**
   * Quotas for some kinds of events. Other kinds have default quotas far above what a well-behaved guest produces, such as 8 MiB of
   * console lines at once and 1 MiB in each further second. Events that the host causes have none.
   */
  readonly eventQuotas?: { readonly [K in GuestEventKind]?: EventQuota }
  /** Its disks, in the order in which the guest finds them; at most 24, slots included. */
  readonly disks?: ReadonlyArray<DiskSpec>
  /** Empty slots behind them, for disks that come later: {@link Machine.attachDisk}. None if absent. */
  readonly diskSlots?: number
  /** Where kernel and root came from, recorded in the journal and in the snapshot's manifest. It has no effect on the machine. */
  readonly origin?: { readonly [key: string]: Schema.Json }
}

/** When a run ends: at the first condition that becomes true. If empty, it ends when the guest ends or the machine is paused. */
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
 * At most 128 commands run at once; more wait for their turn. Program, arguments, environment and working directory must fit into one
 * frame of 64 KiB. If an exec fails or is interrupted, its command is killed together with its process group.
 */
export interface ExecSpec {
  readonly argv: ReadonlyArray<string>
  /** Variables added to the usual environment of commands; they replace those of the same name. */
  readonly env?: Readonly<Record<string, Secret<string>>>
  /** Working directory; `/` if absent. */
  readonly cwd?: string
  /** User to run as: `user` or `user:group`, each a number or a name from the guest's `/etc/passwd` and `/etc/group`; `0` if absent. */
  readonly user?: string
  /** Standard input, of any size, sent as fast as the command reads; empty if absent. */
  readonly stdin?: Secret<Uint8Array | string>
  /** Guest time after which the command is killed and the exec fails with `TimedOut`; 60 s if absent. */
  readonly timeoutNanos?: number
  /**
   * Maximum bytes of output, both streams together; beyond it, the command is killed and the exec fails with `TooMuchOutput`. 64
   * MiB if absent.
   */
  readonly outputLimitBytes?: number
}

/** The result of a command. */
export interface ExecResult {
  readonly code: number | null
  readonly signal: number | null
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
}

/** A new identity for a restored machine. */
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
  /** Guest time that the image's identity hook may take; taken from the guest's configuration if absent. */
  readonly hookTimeoutNanos?: number
  /** Number of the signal that the workload receives when it continues, 1 to 64; taken from the guest's configuration if absent. */
  readonly signal?: number
}

/** New values for the devices of a restored or forked machine. */
export interface Renewal {
  /** New seed of its random sources, at least 32 bytes. */
  readonly entropySeed: Uint8Array
  /** 16 bytes that no other machine has. */
  readonly generationId: Uint8Array
  /** Time of its hardware clock, nanoseconds since 1970. */
  readonly realtimeNanos: bigint
}

export type { CapturedFile, CapturedFiles, CaptureKind, RestoreChain } from "./CapturedFiles.ts"

/** How long to wait for an answer. */
export interface AnswerTime {
  /** Guest time within which the agent must answer; 5 s if absent. */
  readonly within?: Duration.Input
}

/**
 * Requests to a guest's agent.
 *
 * `freeze`, `thaw`, `identify`, `execute`, `startWorkload` and `powerOff` run the guest until the agent has answered or refused, or the
 * time is up; if another caller is running the guest, they wait for the events of that run. Methods that begin with `request` only
 * send, for callers that watch the guest already.
 */
export interface Agent {
  /**
   * Freezes the workload, syncs and drains; the guest time of the answer. If it is interrupted or not answered in time, it withdraws
   * itself with a thaw.
   */
  readonly freeze: (time?: AnswerTime) => Effect.Effect<GuestNanos, AgentError | MachineError>
  /** Thaws a frozen workload; the guest time of the answer. */
  readonly thaw: (time?: AnswerTime) => Effect.Effect<GuestNanos, AgentError | MachineError>
  /** Gives the guest a new identity; the guest time of the acknowledgement, and the token that it carries. */
  readonly identify: (
    identity: IdentitySpec,
    time?: AnswerTime & {
      /** Called with the token once the request was sent. */
      readonly onSent?: (token: number) => Effect.Effect<void>
    }
  ) => Effect.Effect<{ readonly atNanos: GuestNanos; readonly token: number }, AgentError | MachineError>
  /** Executes a command and waits for its end. See {@link ExecSpec} for the limits. */
  readonly execute: (spec: ExecSpec) => Effect.Effect<ExecResult, ExecError | MachineError>
  /** Starts a command: {@link GuestProcess}. */
  readonly spawn: (spec: SpawnSpec) => Effect.Effect<GuestProcess, ExecError | MachineError, Scope.Scope>
  /** The guest's files. */
  readonly files: GuestFiles
  /** Releases a workload that is held at pre-exec. Does not run the guest. */
  readonly go: Effect.Effect<void, MachineError>
  /** Sets the guest's wall clock and hardware clock, nanoseconds since 1970, before the next request. Does not run the guest. */
  readonly setClock: (realtimeNanos: bigint) => Effect.Effect<void, MachineError>
  /**
   * Gives a guest that was booted without a workload its root and its workload, and runs it to `WorkloadPreExec`; the guest time of
   * that event. Fails with `WorkloadStartError` if the workload cannot be started; the guest is then unchanged. The default limit is
   * 30 s.
   */
  readonly startWorkload: (
    spec: StartSpec,
    time?: AnswerTime
  ) => Effect.Effect<GuestNanos, AgentError | MachineError | WorkloadStartError>
  /** Switches the guest off: stops the workload with its stop signal, syncs files and flushes output. */
  readonly powerOff: (time?: AnswerTime) => Effect.Effect<MachineStop, AgentError | MachineError>
  /** Types on a serial port, as fast as the guest reads; runs the guest while the port is full. */
  readonly type: (port: number, data: Secret<Uint8Array>) => Effect.Effect<void, MachineError>
  /** Requests a freeze; returns the token that `AgentFrozen` will carry. Does not run the guest. */
  readonly requestFreeze: Effect.Effect<number, MachineError>
  /** Requests a thaw; returns the token that `AgentThawed` will carry. Does not run the guest. */
  readonly requestThaw: Effect.Effect<number, MachineError>
  /** Sends the guest its workload, for callers that watch for `WorkloadPreExec`; returns the token that a refusal would carry. Does not run the guest. */
  readonly requestWorkload: (spec: StartSpec) => Effect.Effect<number, MachineError>
  /** Sends the guest a new identity; returns the token that `IdentityApplied` will carry. Does not run the guest. */
  readonly requestIdentity: (identity: IdentitySpec) => Effect.Effect<number, MachineError>
}

/**
 * One running or paused guest. Nothing executes until {@link Machine.run} is called; between runs the guest is stopped.
 *
 * Its scope closes it; every operation on a closed machine fails with a typed error.
 */
export interface Machine {
  readonly id: string
  /** Name of the engine: `soft`, `kvm`, `replay`. */
  readonly engine: string
  /** Why it is that one; `null` if that was not recorded. A clone has it of the boot that it comes from. */
  readonly engineChoice: EngineChoice | null
  readonly memoryMib: number
  /** Whether equal inputs give equal runs. If so, policies decide in lockstep. */
  readonly isDeterministic: boolean
  /** The guest's activity when the machine was booted, restored or forked, before the first event of its own log. */
  readonly beginning: GuestActivity
  /** The guest's current activity. */
  readonly activity: Effect.Effect<GuestActivity, MachineError>
  /** Guest time at the last stop or batch. */
  readonly nowNanos: Effect.Effect<GuestNanos>
  /** All events of the machine from its first (`seq` 0), then live events; completes when the machine ends. */
  readonly events$: Observable<GuestEvent>
  /** Events from `seq` on, then live events. */
  readonly eventsFrom: (seq: number) => Observable<GuestEvent>
  /** Up to `most` past events from `seq` on, as an array. Fails with `EventsLost` if the log no longer holds them. */
  readonly eventsSoFar: (seq?: number, most?: number) => Effect.Effect<ReadonlyArray<GuestEvent>, MachineError>
  /** Runs the guest; interruption pauses it. One run at a time. All events up to the stop have been emitted when it returns. */
  readonly run: (until: MachineUntil) => Effect.Effect<MachineStop, MachineError>
  /** Ends a run in progress on another fiber. */
  readonly pause: Effect.Effect<void, MachineError>
  /**
   * Runs the machine in the background until the scope ends. Guest time follows the host's clock, and a waiting guest uses no processor
   * time. {@link LiveMachine} says what else you can do with it meanwhile. Fails with `AlreadyRunning` if a run is in progress, and
   * with `InvalidRun` if the options are invalid.
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
  /** The agent in the guest: freezes and thaws the workload, gives the guest a new identity, executes commands. */
  readonly agent: Agent
  /** Releases a workload that is held at pre-exec: {@link Agent.go}. Does not run the guest. */
  readonly go: Effect.Effect<void, MachineError>
  /**
   * Sends bytes to a serial port; recorded as `HostInput`. Runs the guest only while the port is full. Fails with `InputFull` if the
   * guest reads nothing within 10 s of guest time.
   */
  readonly sendSerial: (port: number, data: Secret<Uint8Array>) => Effect.Effect<void, MachineError>
  /**
   * Runs the guest until the command has ended: {@link Agent.execute}. Other events keep flowing. If the guest is still booting, it
   * first runs until its agent is ready, for at most 60 s of guest time.
   */
  readonly exec: (spec: ExecSpec) => Effect.Effect<ExecResult, ExecError | MachineError>
  /**
   * Starts a command and returns while it runs: output and input as streams of any length, signals, a terminal. When the scope ends,
   * the command is killed together with its process group. {@link GuestProcess} says who runs the guest meanwhile.
   */
  readonly spawn: (spec: SpawnSpec) => Effect.Effect<GuestProcess, ExecError | MachineError, Scope.Scope>
  /** The guest's files. */
  readonly files: GuestFiles
  /** Ports that lead into the guest, and rules for the addresses that the guest may reach. */
  readonly ports: GuestPorts
  /**
   * Renews the devices after a restore or a fork: new randomness, a new generation id for the kernel, the right time on the hardware
   * clock. Does not run the guest.
   */
  readonly renew: (renewal: Renewal) => Effect.Effect<void, MachineError>
  /**
   * Attaches a disk to an empty slot of the machine (`BootSpec.diskSlots`): the slot of the given number, counted from 0, or the first
   * empty one. Does not run the guest; its kernel sees the disk when the guest continues. The disk stays until the machine ends.
   * Recorded as `DiskAttached`.
   */
  readonly attachDisk: (disk: DiskSpec, slot?: number) => Effect.Effect<void, AttachError>
  /** Writes memory and machine state into an existing empty directory and flushes them. The guest may run meanwhile. */
  readonly capture: (directory: string, kind?: CaptureKind) => Effect.Effect<CapturedFiles, CaptureError>
  /**
   * An independent machine in the same state, which shares memory copy-on-write. On the deterministic engine it continues exactly as
   * this one would, down to the bytes of its random source, which is what explorers and laws need; only with `seed: null` do its
   * devices draw new randomness. Its wall clock continues from the instant of the fork, and nothing sets it when the fork runs later,
   * not even where it is a fork of a clone whose clock is kept right. To use both machines, call `Gate.fork`, which gives the fork its
   * own identity and the right time.
   */
  readonly fork: Effect.Effect<Machine, ForkError, Scope.Scope>
  /** Digest of the whole machine state: registers, memory, devices, clock. Lower-case hexadecimal. */
  readonly digest: Effect.Effect<string, MachineError>
  /** Bytes of host memory that this machine alone holds. */
  readonly ownBytes: Effect.Effect<number, MachineError>
  /**
   * Guest-physical addresses of the pages touched since the machine was restored or forked, or since the last call. Each call starts
   * the count again.
   */
  readonly takeTouchedPages: Effect.Effect<Float64Array, MachineError>
}

/** Makes machines. */
export class Vmm extends Context.Service<
  Vmm,
  {
    /** A machine stopped before its first instruction. */
    readonly boot: (spec: BootSpec) => Effect.Effect<Machine, BootError, Scope.Scope>
    /** A machine in the state of the snapshot files in `directory`. It has no new identity: use `Gate.restore` instead. */
    readonly restore: (directory: string, chain?: RestoreChain) => Effect.Effect<Machine, RestoreError, Scope.Scope>
    /**
     * Checks every stored byte of a capture, and of its parents in order, against the digests in it. Needs no encryption key. Absent if
     * files cannot be checked without a machine.
     */
    readonly verifyFiles?: (directories: ReadonlyArray<string>) => Effect.Effect<void, RestoreError>
    /** Identifies the implementation: with equal values, equal specifications give equal machines. Absent if unknown. */
    readonly build?: string
  }
>()("@stillpoint/core/Vmm") {}
