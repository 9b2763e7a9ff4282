/**
 * The verbs of the command line, one a file.
 *
 * @module
 */
import { Command } from "effect/cli"
import { bakeCommand } from "./verbs/bake.ts"
import { cpCommand } from "./verbs/cp.ts"
import { doctorCommand } from "./verbs/doctor.ts"
import { execCommand } from "./verbs/exec.ts"
import { explainCommand } from "./verbs/explain.ts"
import { exportCommand } from "./verbs/export.ts"
import { forkCommand } from "./verbs/fork.ts"
import { importCommand } from "./verbs/import.ts"
import { inspectCommand } from "./verbs/inspect.ts"
import { lsCommand } from "./verbs/ls.ts"
import { pruneCommand } from "./verbs/prune.ts"
import { pullCommand } from "./verbs/pull.ts"
import { pushCommand } from "./verbs/push.ts"
import { recordCommand } from "./verbs/record.ts"
import { replayCommand } from "./verbs/replay.ts"
import { reportCommand } from "./verbs/report.ts"
import { rmCommand } from "./verbs/rm.ts"
import { runCommand } from "./verbs/run.ts"
import { serveCommand } from "./verbs/serve.ts"
import { signCommand } from "./verbs/sign.ts"
import { tagCommand } from "./verbs/tag.ts"
import { untagCommand } from "./verbs/untag.ts"
import { upCommand } from "./verbs/up.ts"
import { verifyCommand } from "./verbs/verify.ts"

/** The whole command line. */
export const stillpoint = Command.make("stillpoint").pipe(
  Command.withDescription(
    "Boot an image, capture it at the right moment, and clone it.\n" +
      "Exit status: 0 success, 1 failure, 2 invalid usage, 3 no such snapshot, 4 name taken or snapshot in use, 5 required signature missing or wrong encryption key, 129 terminal closed, 130 interrupted, 141 output closed, 143 terminated; " +
      "run, exec and fork exit with the status of the command: 127 if the guest has no such program, 126 if it cannot be executed, and 125 if stillpoint itself failed, also if there is no such snapshot."
  ),
  Command.withSubcommands([
    doctorCommand,
    runCommand,
    upCommand,
    bakeCommand,
    execCommand,
    forkCommand,
    cpCommand,
    serveCommand,
    lsCommand,
    inspectCommand,
    explainCommand,
    recordCommand,
    replayCommand,
    verifyCommand,
    signCommand,
    reportCommand,
    exportCommand,
    importCommand,
    pushCommand,
    pullCommand,
    tagCommand,
    untagCommand,
    rmCommand,
    pruneCommand
  ])
)
