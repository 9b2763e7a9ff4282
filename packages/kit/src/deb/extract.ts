/**
 * Takes chosen files out of a Debian package.
 *
 * @module
 */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { createReadStream } from "node:fs"
import type { Readable } from "node:stream"
import { createGunzip, createZstdDecompress } from "node:zlib"
import { FormatInvalid, KitError, PrerequisiteMissing } from "../KitError.ts"
import { type ArMember, readArMembers } from "./ar.ts"
import { readTar } from "./tar.ts"
import { Malformed } from "../Malformed.ts"

/** A file to take: the first one whose path matches, kept under `as`. */
export interface Wanted {
  readonly path: RegExp
  readonly as: string
  /** Without it, the package is of no use. */
  readonly required: boolean
  /** Converts its content; unchanged if absent. Throws {@link Malformed} with the problem. */
  readonly unpack?: (content: Buffer) => Buffer
}

/** Files among which can be chosen only once all of them are known. */
export interface Among {
  readonly path: RegExp
  /**
   * The files to keep, by their names in the result. `taken` are the wanted files. Rejects with {@link Malformed} and the
   * problem.
   */
  readonly choose: (
    files: ReadonlyMap<string, Buffer>,
    taken: ReadonlyMap<string, Buffer>
  ) => Promise<ReadonlyMap<string, Buffer>>
}

/** All modules of a kernel take a fifth of it, as they are kept. */
const candidateBytesMax = 512 << 20

/** No file of a kernel package that the kit takes is larger. */
const fileBytesMax = 512 << 20

/** A started decompressor: its output, and a promise that tells why it failed. */
interface Decompressor {
  readonly output: Readable
  readonly stop: () => void
  readonly failed: Promise<never>
}

const contentOf = (path: string, member: ArMember): Readable =>
  createReadStream(path, { start: member.offset, end: member.offset + Math.max(member.sizeBytes, 1) - 1 })

const inProcess = (input: Readable, transform: NodeJS.ReadWriteStream & Readable): Decompressor => {
  const failed = new Promise<never>((_, reject) => {
    input.on("error", reject)
    transform.on("error", reject)
  })
  input.pipe(transform)
  return { output: transform, failed, stop: () => void [input.destroy(), transform.destroy()] }
}

/** Starts a program that decompresses `input`, or reads `path` itself; ends with `undefined` if it is not installed. */
const byProgram = (
  name: string,
  args: ReadonlyArray<string>,
  input: Readable | undefined
): Promise<Decompressor | undefined> =>
  new Promise((resolve) => {
    const child = spawn(name, args, { stdio: ["pipe", "pipe", "ignore"] })
    const failed = new Promise<never>((_, reject) => {
      input?.on("error", reject)
      child.on("close", (code) => {
        if (code !== 0) reject(new Malformed({ message: `${name} ended with ${code}` }))
      })
    })
    // Stopping early breaks the pipe, and that is how it is meant.
    failed.catch(() => {})
    child.stdin.on("error", () => {})
    child.on("error", () => {
      input?.destroy()
      resolve(undefined)
    })
    child.on("spawn", () => {
      if (input === undefined) child.stdin.end()
      else input.pipe(child.stdin)
      resolve({
        output: child.stdout,
        failed,
        stop: () => {
          input?.destroy()
          child.kill("SIGKILL")
        }
      })
    })
  })

const openData = async (path: string): Promise<Decompressor> => {
  const members = await readArMembers(path)
  const data = members.find((member) => member.name.startsWith("data.tar"))
  if (data === undefined) throw new Malformed({ message: "expected a member data.tar, found none" })
  switch (data.name) {
    case "data.tar": {
      const input = contentOf(path, data)
      return { output: input, failed: new Promise(() => {}), stop: () => input.destroy() }
    }
    case "data.tar.gz":
      return inProcess(contentOf(path, data), createGunzip())
    case "data.tar.zst":
      return inProcess(contentOf(path, data), createZstdDecompress())
    case "data.tar.xz": {
      const started =
        (await byProgram("xz", ["-dc", "-T0"], contentOf(path, data))) ??
        (await byProgram("dpkg-deb", ["--fsys-tarfile", path], undefined))
      if (started !== undefined) return started
      const install = "install one with: sudo apt-get install xz-utils (macOS: brew install xz)"
      throw new KitError({ reason: new PrerequisiteMissing({ what: "xz, or dpkg-deb, to unpack packages", install }) })
    }
    default:
      throw new Malformed({ message: `expected data.tar compressed with xz, zstd or gzip, found ${data.name}` })
  }
}

const take = async (
  path: string,
  wanted: ReadonlyArray<Wanted>,
  among: Among | undefined
): Promise<Map<string, Buffer>> => {
  const data = await openData(path)
  const taken = new Map<string, Buffer>()
  const candidates = new Map<string, Buffer>()
  let candidateBytes = 0
  const search = async () => {
    for await (const file of readTar(data.output as AsyncIterable<Buffer>)) {
      const match = wanted.find((item) => !taken.has(item.as) && item.path.test(file.path))
      if (match === undefined && among?.path.test(file.path) === true) {
        candidateBytes += file.sizeBytes
        if (candidateBytes > candidateBytesMax)
          throw new Malformed({ message: `files of ${candidateBytes} bytes and more to choose from` })
        candidates.set(file.path, await file.read())
      }
      if (match === undefined) continue
      if (file.sizeBytes > fileBytesMax) throw new Malformed({ message: `${file.path} has ${file.sizeBytes} bytes` })
      const content = await file.read()
      taken.set(match.as, match.unpack === undefined ? content : match.unpack(content))
      if (taken.size === wanted.length && among === undefined) return
    }
  }
  try {
    await Promise.race([search(), data.failed])
  } finally {
    data.stop()
  }
  const missing = wanted.filter((item) => item.required && !taken.has(item.as))
  if (missing.length > 0)
    throw new Malformed({ message: `expected ${missing.map((item) => item.path.source).join(" and ")}, found none` })
  for (const [name, content] of (await among?.choose(candidates, taken)) ?? []) taken.set(name, content)
  return taken
}

/** The wanted files of the package at `path`, and those chosen, by the names they are kept under. Optional ones may be absent. */
export const extract = (
  path: string,
  wanted: ReadonlyArray<Wanted>,
  among?: Among
): Effect.Effect<ReadonlyMap<string, Buffer>, KitError> =>
  Effect.tryPromise({
    try: () => take(path, wanted, among),
    catch: (cause) => {
      if (cause instanceof KitError) return cause
      const found = cause instanceof Error ? cause.message : String(cause)
      return new KitError({ reason: new FormatInvalid({ source: path, expected: "a Debian package", found }) })
    }
  }).pipe(Effect.withSpan("GuestKit.extract", { attributes: { path } }))
