/**
 * The port behind which machines live: the embedded engine, hardware virtualization, or a recorded timeline.
 *
 * @module
 */
import { Context, type Effect, type Schema, type Scope } from "effect"
import type { Observable } from "rxjs"
import type { GuestEvent, GuestEventKind, GuestNanos } from "./GuestEvent.ts"
import type { BootError, CaptureError, ExecError, ForkError, MachineError, RestoreError } from "./MachineErrors.ts"

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
  /** Name of the engine: `soft`; `auto`, the best that the host can use, if absent. Another is refused with the list. */
  readonly engine?: string
  /** Guest memory in MiB; 128 if absent. */
  readonly memoryMib?: number
  /** Seed of every random byte the machine gives its guest; host randomness if `null`; 0 if absent. */
  readonly seed?: number | null
  /** Wall-clock time of the guest's first instruction, milliseconds since 1970. Fixed default: runs are reproducible. */
  readonly epochMillis?: number
  /** Guest time between two samples of dirtied pages, nanoseconds; 0 for none; 10 ms if absent. */
  readonly dirtySampleNanos?: number
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
 * Why a run ended. The guest stands between two instructions.
 *
 * `idle`: it waits for an interrupt that only host input can bring. `horizon`: guest time reached 2^53 - 1.
 */
export interface MachineStop {
  readonly reason: "event" | "time" | "budget" | "idle" | "halted" | "reset" | "fault" | "paused" | "horizon"
  /** The event that ended the run, when `reason` is `event`. */
  readonly seq: number | null
  readonly atNanos: GuestNanos
}

/** A command to execute in the guest. */
export interface ExecSpec {
  readonly argv: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly stdin?: Uint8Array | string
  /** Guest time after which the command is killed and the exec fails; 60 s if absent. */
  readonly timeoutNanos?: number
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
  readonly env: Readonly<Record<string, string>>
  /** Thaw a frozen workload once everything else is applied. */
  readonly thaw: boolean
  /** Guest time that the image's identity hook may take; as the guest's configuration says if absent. */
  readonly hookTimeoutNanos?: number
  /** Number of the signal that the workload is sent once it goes on; as the guest's configuration says if absent. */
  readonly signal?: number
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
  readonly files: ReadonlyArray<{
    readonly name: string
    readonly sizeBytes: number
    readonly storedBytes: number
  }>
  readonly engine: string
  readonly memoryMib: number
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
  /** Guest time at the last stop or batch. */
  readonly nowNanos: Effect.Effect<GuestNanos>
  /** Every event from the machine's first (seq 0 of this machine's own log) on, then live; completes when the machine ends. */
  readonly events$: Observable<GuestEvent>
  /** Events from `seq` on, then live. */
  readonly eventsFrom: (seq: number) => Observable<GuestEvent>
  /** The events so far, from `seq` on, as an array. Fails with `EventsLost` where the log no longer holds them. */
  readonly eventsSoFar: (seq?: number) => Effect.Effect<ReadonlyArray<GuestEvent>, MachineError>
  /** Runs the guest; interruption pauses it. One run at a time. All events up to the stop have been emitted when it returns. */
  readonly run: (until: MachineUntil) => Effect.Effect<MachineStop, MachineError>
  /** Ends a run in progress on another fiber. */
  readonly pause: Effect.Effect<void, MachineError>
  /** Lets a workload that is held at pre-exec go. */
  readonly go: Effect.Effect<void, MachineError>
  /** Sends bytes to a serial port; recorded as `HostInput`. */
  readonly sendSerial: (port: number, data: Uint8Array) => Effect.Effect<void, MachineError>
  /** Runs the guest until the command has ended. Other events keep flowing. */
  readonly exec: (spec: ExecSpec) => Effect.Effect<ExecResult, ExecError | MachineError>
  /** Asks the agent to freeze the workload; returns the token that `AgentQuiesced` will carry. Does not run the guest. */
  readonly requestQuiesce: Effect.Effect<number, MachineError>
  /** Asks the agent to thaw; returns the token that `AgentThawed` will carry. Does not run the guest. */
  readonly requestThaw: Effect.Effect<number, MachineError>
  /** Gives the agent a new identity; returns the token that `IdentityApplied` will carry. Does not run the guest. */
  readonly requestIdentity: (identity: IdentitySpec) => Effect.Effect<number, MachineError>
  /** Writes memory and machine state into an existing empty directory, flushed. The guest may run on meanwhile. */
  readonly capture: (directory: string, kind?: CaptureKind) => Effect.Effect<CapturedFiles, CaptureError>
  /** An independent machine in the same state that shares memory copy-on-write. */
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
  }
>()("@stillpoint/core/Vmm") {}
