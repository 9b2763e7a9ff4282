/**
 * The frames that tests of the agent send.
 *
 * @module
 */
import { hostFrame } from "../../../../../scripts/contract/frames.ts"

/** The parts of a new identity; absent ones stay. */
export interface IdentityParts {
  readonly entropy?: Uint8Array
  readonly realtimeNanos?: bigint
  readonly hostname?: string
  readonly machineId?: string
  readonly env?: ReadonlyArray<string>
  readonly thaw?: boolean
}

/** The parts of a command; absent ones are empty. */
export interface ExecParts {
  readonly env?: ReadonlyArray<string>
  readonly cwd?: string
  readonly input?: string
  readonly open?: true
  readonly outputBytes?: bigint
  readonly user?: string
  /** Columns and rows. */
  readonly terminal?: readonly [columns: number, rows: number]
}

/** Frames from the host. */
export const hostFrames = {
  go: hostFrame("Go"),
  exec: (id: number, argv: ReadonlyArray<string>, { input, open, terminal, ...parts }: ExecParts = {}) =>
    hostFrame("Exec", {
      id,
      argv,
      stdin: input ?? "",
      closeStdin: open !== true,
      outputBytes: 2n ** 32n,
      columns: terminal?.[0] ?? 0,
      rows: terminal?.[1] ?? 0,
      ...parts
    }),
  execWindow: (id: number, bytes: bigint) => hostFrame("ExecWindow", { id, bytes }),
  execResize: (id: number, columns: number, rows: number) => hostFrame("ExecResize", { id, columns, rows }),
  execStdin: (id: number, data: string, close: boolean) => hostFrame("ExecStdin", { id, data, close }),
  execKill: (id: number, signal: number) => hostFrame("ExecKill", { id, signal }),
  freeze: (token: number) => hostFrame("Freeze", { token }),
  thaw: (token: number) => hostFrame("Thaw", { token }),
  applyIdentity: (token: number, parts: IdentityParts = {}) =>
    hostFrame("ApplyIdentity", { token, entropy: Buffer.alloc(32, token), ...parts }),
  powerOff: hostFrame("PowerOff"),
  startWorkload: (token: number, settings: ReadonlyArray<string>) => hostFrame("StartWorkload", { token, settings })
}
