#!/usr/bin/env node
/**
 * The guest kit on the command line.
 *
 * ```text
 * stillpoint-kit fetch [--newest-if-gone]
 * stillpoint-kit lock
 * stillpoint-kit initramfs --agent FILE --out FILE [--config FILE] [-- PROGRAM ARGUMENT...]
 * ```
 * Each for guests of `riscv64`, or of what `--platform` names.
 *
 * @module
 */
import { DurableFiles, GuestAgent, guestPlatforms, repeatedName, replaceFile } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { readFile } from "node:fs/promises"
import { parseArgs } from "node:util"
import { Archive } from "./archive/Archive.ts"
import { GuestKit } from "./GuestKit.ts"
import { defaultGuestKitConfig } from "./GuestKitConfig.ts"
import { Malformed } from "./Malformed.ts"
import { FileUnusable, KitError, unusable } from "./KitError.ts"
import type { GuestConfigInput } from "./initramfs/GuestConfig.ts"

const usage = `usage: stillpoint-kit fetch [--newest-if-gone]
       stillpoint-kit lock
       stillpoint-kit initramfs --agent FILE --out FILE [--config FILE] [-- PROGRAM ARGUMENT...]
with --platform ${guestPlatforms.join("|")}: what the guests run on, riscv64 if absent
`

const say = (line: string): void => void process.stderr.write(`${line}\n`)

const mebibytes = (bytes: number): string => (bytes / (1 << 20)).toFixed(1)

/** On a terminal one line that is written over; elsewhere a line for every tenth. */
const progress = () => {
  let last = -1
  return (url: string, done: number, total: number): void => {
    const name = url.slice(url.lastIndexOf("/") + 1)
    const tenth = Math.floor((10 * done) / Math.max(total, 1))
    const text = `guest kit: ${name} ${mebibytes(done)} of ${mebibytes(total)} MiB`
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}${done === total ? "\n" : ""}`)
    else if (tenth !== last) say(text)
    last = tenth
  }
}

const fetchKit = Effect.gen(function* () {
  const files = yield* (yield* GuestKit).files
  say(`guest kit: kernel ${files.kernelVersion}, busybox ${files.busyboxVersion}`)
  process.stdout.write(`${files.kernelPath}\n${files.busyboxPath}\n`)
})

const lockKit = Effect.gen(function* () {
  const lock = yield* (yield* GuestKit).lock
  say(`locked ${lock.kernel.name} ${lock.kernel.version} and ${lock.busybox.name} ${lock.busybox.version}`)
})

const unreadable = (path: string) => (cause: unknown) =>
  new KitError({ reason: new FileUnusable({ path, detail: cause instanceof Error ? cause.message : String(cause) }) })

const writeInitramfs = Effect.fn(function* (out: string, configPath: string | undefined, argv: ReadonlyArray<string>) {
  const read =
    configPath === undefined
      ? Effect.succeed({})
      : Effect.tryPromise({
          try: async () => {
            const text = await readFile(configPath, "utf8")
            const config = JSON.parse(text) as GuestConfigInput
            const repeated = repeatedName(text)
            if (repeated === null) return config
            throw new Malformed({
              message: `expected every name once, found ${JSON.stringify(repeated)} twice in one object`
            })
          },
          catch: unreadable(configPath)
        })
  const config: GuestConfigInput = yield* read
  const [program, ...rest] = argv
  const workload = program === undefined ? {} : { workload: { argv: [program, ...rest] as const } }
  const archive = yield* (yield* GuestKit).initramfs({ ...config, ...workload })
  yield* replaceFile(yield* DurableFiles, out, archive, { readers: "everybody" }).pipe(Effect.mapError(unusable))
  say(`${out}: ${archive.length} bytes`)
})

const command = () => {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      agent: { type: "string" },
      platform: { type: "string" },
      "newest-if-gone": { type: "boolean" },
      out: { type: "string" },
      config: { type: "string" }
    }
  })
  const [name, ...argv] = positionals
  const { agent, config, out } = values
  const platform = guestPlatforms.find((each) => each === (values.platform ?? "riscv64"))
  if (platform === undefined) return undefined
  const isNewestTaken = values["newest-if-gone"] === true
  if (name === "fetch" && argv.length === 0) return { program: fetchKit, agent, isNewestTaken, platform }
  if (name === "lock" && argv.length === 0) return { program: lockKit, agent, isNewestTaken, platform }
  if (name === "initramfs" && out !== undefined && agent !== undefined)
    return { program: writeInitramfs(out, config, argv), agent, isNewestTaken, platform }
  return undefined
}

const parsed = (() => {
  try {
    return command()
  } catch (error) {
    say(error instanceof Error ? error.message : String(error))
    return undefined
  }
})()

if (parsed === undefined) {
  process.stderr.write(usage)
  process.exitCode = 64
} else {
  const config = {
    ...defaultGuestKitConfig(process.env, parsed.platform),
    ...(parsed.isNewestTaken ? { whenGone: "newest" as const } : {}),
    onProgress: progress()
  }
  const agent = GuestAgent.layerFile(parsed.agent ?? "", "name one with --agent")
  const kit = GuestKit.layerNoDeps(config).pipe(
    Layer.provide([Archive.layerOf(parsed.platform), agent]),
    Layer.provideMerge(DurableFiles.layer)
  )
  const stop = new AbortController()
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort())
  await Effect.runPromise(parsed.program.pipe(Effect.provide(kit)), { signal: stop.signal }).catch((error: unknown) => {
    const why = stop.signal.aborted ? "interrupted" : error instanceof Error ? error.message : String(error)
    say(`guest kit: ${why}`)
    process.exitCode = stop.signal.aborted ? 130 : 1
  })
}
