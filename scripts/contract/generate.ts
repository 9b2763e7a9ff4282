/**
 * Writes the contract in every language. `--check`: changes nothing, fails if a file is stale.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { cHeader } from "./c.ts"
import { contradictions } from "./names.ts"
import { rustArbitrary } from "./rust/arbitrary.ts"
import { rustCodec } from "./rust/bridge.ts"
import { rustEvents } from "./rust/events.ts"
import { rustFrames } from "./rust/frames.ts"
import { bridgeDecoder, coreContract } from "./typescript.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const crates = "packages/native/crates"

/** The generated files and their paths. */
const files: Readonly<Record<string, () => string>> = {
  [`${crates}/vmm/src/event/contract.rs`]: rustEvents,
  [`${crates}/vmm/src/control/contract.rs`]: rustFrames,
  [`${crates}/vmm/src/control/decode/tests/arbitrary.rs`]: rustArbitrary,
  [`${crates}/host/src/event_codec/contract.rs`]: rustCodec,
  "packages/native/agent/src/contract.h": cHeader,
  "packages/core/src/contract/contract.ts": coreContract,
  "packages/native/src/binding/decodeEvent.ts": bridgeDecoder
}

const run = (command: string, args: ReadonlyArray<string>): void => {
  const { error, status, stderr } = spawnSync(command, args, { cwd: root, encoding: "utf8" })
  if (error !== undefined || status !== 0) {
    process.stderr.write(`${command}: ${error?.message ?? stderr}\n`)
    process.exit(1)
  }
}

const format = (path: string): void => {
  if (path.endsWith(".rs")) run("rustfmt", ["--edition", "2024", "--config-path", join(root, "rustfmt.toml"), path])
  else if (path.endsWith(".ts"))
    run(join(root, "node_modules/.bin/oxfmt"), ["--config", join(root, ".oxfmtrc.json"), path])
}

const problems = contradictions()
if (problems.length > 0) {
  process.stderr.write(`${problems.join("\n")}\n`)
  process.exit(1)
}

const isCheck = process.argv.includes("--check")
const stale: Array<string> = []
// Beside the sources, where the formatters find their settings.
const scratch = join(root, "scripts/contract/.fresh")
mkdirSync(scratch, { recursive: true })
try {
  for (const [path, make] of Object.entries(files)) {
    const fresh = join(scratch, basename(path))
    writeFileSync(fresh, make())
    format(fresh)
    const text = readFileSync(fresh, "utf8")
    const target = join(root, path)
    if (existsSync(target) && readFileSync(target, "utf8") === text) continue
    stale.push(path)
    if (isCheck) continue
    mkdirSync(join(target, ".."), { recursive: true })
    writeFileSync(target, text)
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
if (isCheck && stale.length > 0) {
  process.stderr.write(`stale: ${stale.join(", ")}\nrun make generate and commit them\n`)
  process.exit(1)
}
