/**
 * Files that are long: each answers which two things it is, by being two files, or stands here with why it is one thing.
 *
 * @module
 */

/** Lines from which on a file answers. */
export const mostLines = 400

/** Lines up to which a file on the list has no business there: one that is nearly long need not leave it and come back. */
export const fewestListedLines = 350

/** Long files that are one thing, and why. */
export const oneThing: Readonly<Record<string, string>> = {
  "packages/core/src/serve/serve.test.ts":
    "What clients of served clones get: each test is one kind of client, and all need the same scripted pool.",
  "packages/core/src/testing/ScriptedVmm.ts":
    "One implementation of the port of machines: its operations share the state of one scripted guest.",
  "packages/core/src/testing/snapshotStoreLaws.ts":
    "The laws of one port: a store is held to all of them, and they are counted as one suite.",
  "packages/native/agent/src/exec.c":
    "The life of a command of the host's, from its start to its exit: every function is a step of one automaton.",
  "packages/native/agent/src/file_service.c":
    "One program that serves one request on files, below one root that no path leaves: each verb is a function.",
  "packages/native/agent/test/check.c":
    "The list of promises of the parts without input or output: one program, a promise a function.",
  "packages/native/agent/test/fuzz.c":
    "One fuzzed program: the stand-ins are what lies behind the reader of frames, and are of no use elsewhere.",
  "packages/native/crates/binding/src/machine.rs":
    "One class of the addon: a method for each line of its interface, none of which decides anything.",
  "packages/native/crates/host/src/hosted.rs":
    "One machine of a host with its log and its network: each operation is handed to the session and answered.",
  "packages/native/crates/host/src/session.rs":
    "The hand-over of one machine between threads: its states and steps are one automaton under one lock.",
  "packages/native/crates/host/tests/live.rs":
    "What a life promises, on one machine that types and listens; the fixtures are those of every test.",
  "packages/native/crates/net/src/link.rs":
    "One link between a guest's stack and the host's sockets: a step moves everything that can be moved.",
  "packages/native/crates/net/tests/traffic.rs":
    "What goes through one link, in the order of a connection's life, with one guest at its other end.",
  "packages/native/crates/soft/src/block/cache.rs":
    "The cache of blocks: what it knows by address, by page and by view is entered and dropped together.",
  "packages/native/crates/soft/src/engine.rs":
    "The loop of an engine and the port that it is reached by: what a slice leaves behind is what the port tells.",
  "packages/native/crates/soft/src/float/exact.rs":
    "Arithmetic by integers: every operation ends in one rounding, which it shares with no other module.",
  "packages/native/crates/soft/src/float/tests.rs":
    "The arithmetic against an independent one, and the rules that only RISC-V has, over the same operands.",
  "packages/native/crates/soft/src/jit/tests.rs":
    "The stage on which both tiers are compared, and the programs that once told them apart; more stand beside it.",
  "packages/native/crates/soft/tests/invariance.rs":
    "One generator of guests and one machine for them: what must not matter is one law, and each test a way to try it.",
  "packages/native/crates/vmm/src/devices/virtio/block/tests.rs":
    "A driver of disks and what it is promised: the driver is the bench of every test.",
  "packages/native/crates/vmm/src/devices/virtio/mmio/tests/delayed.rs":
    "A device that answers later and its drivers, lawful and hostile: one device, made for these tests.",
  "packages/native/crates/vmm/src/snapshot/tests.rs":
    "What a snapshot gives back and what is refused, on one small machine that the tests below it use, too.",
  "packages/native/crates/vmm/src/snapshot/tests/disks.rs":
    "What disks are promised when their machine is captured, forked and restored: the model of a disk serves every test.",
  "packages/native/test/reasons.test.ts":
    "Every reason of every error is reached by its name: the last test counts what those before it have reached.",
  "packages/triggers/src/deciding/livePolicy.test.ts":
    "What a policy does live is what it does in a replay: one law, tried on what has told them apart.",
  "packages/triggers/src/testing/equations.test.ts":
    "The equations of the algebra: they hold of one generated family of policies on one of timelines.",
  "scripts/contract/contract.ts":
    "The contract: one table, from which everything else about events, frames and reasons is written."
}

/** A file, by its path from the repository's root. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

/** What a tool wrote says so in its first lines. */
const isGenerated = (text: string): boolean => /^.*\bGenerated by `make generate`/m.test(text.slice(0, 200))

const linesOf = (text: string): number => text.split("\n").length - (text.endsWith("\n") ? 1 : 0)

/** What is wrong with the lengths of files, one sentence each. */
export const lengthProblems = (
  files: ReadonlyArray<SourceFile>,
  listed: Readonly<Record<string, string>>
): ReadonlyArray<string> => {
  const written = new Map(files.filter(({ text }) => !isGenerated(text)).map(({ path, text }) => [path, linesOf(text)]))
  const unlisted = [...written]
    .filter(([path, lines]) => lines > mostLines && listed[path] === undefined)
    .map(
      ([path, lines]) =>
        `${path} has ${lines} lines, more than ${mostLines}: which two things is it? ` +
        "Make them two files, or say in scripts/check/longFiles.ts why it is one"
    )
  const short = Object.keys(listed)
    .filter((path) => (written.get(path) ?? 0) <= fewestListedLines)
    .map(
      (path) =>
        `scripts/check/longFiles.ts lists ${path}, which has no more than ${fewestListedLines} lines: take it out`
    )
  const unsaid = Object.entries(listed)
    .filter(([, why]) => !/^[A-Z].{20,}\.$/s.test(why))
    .map(([path, why]) => `scripts/check/longFiles.ts: why is ${path} one thing? Expected a sentence, found "${why}"`)
  return [...unlisted, ...short, ...unsaid]
}
