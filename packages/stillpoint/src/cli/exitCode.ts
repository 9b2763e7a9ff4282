/**
 * Exit codes of the command line.
 *
 * ```text
 *   0  done
 *   1  failure: the message says what to do
 *   2  invalid usage: an unknown verb or option, a policy with an error, a malformed name
 *   3  no snapshot with that name or digest, here or in the registry
 *   4  conflict in the store: the name is taken or was moved in the meantime, or other snapshots need this one
 *   5  not signed by a required key, or not encrypted with the given key
 * 125  run, exec, fork: stillpoint itself failed, also if there is no such snapshot, or if the command succeeded with a part of its input, the rest of which could not be read
 * 126  run, exec, fork: the guest's program cannot be executed; 127: it does not exist; any other status is the command's own (128 + n: killed by signal n)
 * 130  interrupted (Ctrl-C; the wizard also by Esc, Ctrl-D or the end of its input), 143 terminated (SIGTERM), 129 its terminal was closed (SIGHUP), 141 its output was closed (SIGPIPE)
 * ```
 *
 * @module
 */

/** Statuses by the tags of errors and of their reasons; 1 for all others. */
const statuses: Readonly<Record<string, number>> = {
  ShowHelp: 2,
  MomentInvalid: 2,
  OptionsInvalid: 2,
  ImageUnknown: 2,
  ReferenceInvalid: 2,
  ArgumentInvalid: 2,
  PolicyFileInvalid: 2,
  InvalidConfiguration: 2,
  MemorySizeInvalid: 2,
  MemoryTooSmall: 2,
  PipelineRefused: 2,
  SnapshotUnknown: 3,
  ArtifactUnknown: 3,
  DigestAmbiguous: 3,
  NameTaken: 4,
  NameMoved: 4,
  SnapshotNeeded: 4,
  SnapshotNotSigned: 5,
  KeyMissing: 5,
  KeyWrong: 5,
  NotEncrypted: 5,
  FileForged: 5
}

/** Ends a command with the exit code that its program gave. */
export class Ended {
  readonly _tag = "Ended"
  readonly status: number
  constructor(status: number) {
    this.status = status
  }
}

const tagOf = (value: unknown): string =>
  typeof value === "object" && value !== null && "_tag" in value ? String(value._tag) : ""

/** The cause of an error: errors of operations have a reason, refusals a cause. */
const within = (error: unknown): unknown =>
  typeof error !== "object" || error === null
    ? undefined
    : "reason" in error
      ? error.reason
      : "cause" in error
        ? error.cause
        : undefined

/** The exit status of an error. */
export const exitCodeOf = (error: unknown): number => {
  for (let part = error; part !== undefined; part = within(part)) {
    const status = statuses[tagOf(part)]
    if (status !== undefined) return status
  }
  return 1
}
