/** Journals in files, as tests make, read and leave them. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { bundled } from "../../../scripts/testing/bundled.ts"
import type { JournalError } from "../src/journal/JournalErrors.ts"
import type { JournalShape } from "../src/journal/JournalShape.ts"
import { makeSqliteJournal } from "../src/journal/sqliteJournal.ts"

const killed = await bundled(fileURLToPath(new URL("../src/testing/appendUntilKilled.ts", import.meta.url)))

/** A folder of its own, until the scope closes. */
export const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-journals-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/** Works with the journal at a path, which is closed after it. */
export const use = <A>(path: string, work: (journal: JournalShape) => Effect.Effect<A, JournalError>) =>
  Effect.scoped(Effect.flatMap(makeSqliteJournal({ path }), work))

/** How many events the journal at a path has. */
export const countIn = (path: string) =>
  Effect.map(
    use(path, (journal) => journal.readAll()),
    ({ length }) => length
  )

/** Has another process append to the journal until it is killed; the last version that it said was acknowledged. */
export const appendedUntilKilled = (path: string) =>
  Effect.promise(async () => {
    const child = spawn(process.execPath, ["--no-warnings", killed, "s"], { stdio: "pipe" })
    let said = ""
    child.stdout.on("data", (chunk) => (said += String(chunk)))
    await once(child.stdout, "data")
    child.stdin.write(path)
    await once(child.stdout, "data")
    child.kill("SIGKILL")
    await once(child, "close")
    return Number(said.split("\n").at(-2))
  })
