/**
 * Checks the files of disks before anything is made, and reports all problems at once.
 *
 * @module
 */
import { stat } from "node:fs/promises"
import { resolve } from "node:path"
import type { DiskSpec } from "@stillpoint/core"
import { Effect } from "effect"
import type * as Addon from "../binding/Addon.ts"

/** The problems of some disks' files: the name of the first, and all of them in words. */
export interface DiskFilesProblem {
  readonly _tag: "DiskUnreadable" | "DiskSizeWrong"
  readonly message: string
}

const problemOf = async (
  { access, sizeBytes, source }: DiskSpec,
  place: string
): Promise<ReadonlyArray<DiskFilesProblem>> => {
  if (source === undefined) return []
  const unreadable = (found: string): ReadonlyArray<DiskFilesProblem> => [
    { _tag: "DiskUnreadable", message: `${place}: expected a file at ${source}, found ${found}` }
  ]
  try {
    const found = await stat(source)
    if (!found.isFile()) return unreadable("something that is not a regular file")
    const isWrong =
      sizeBytes !== undefined && (access === "copy-on-write" ? found.size > sizeBytes : found.size !== sizeBytes)
    if (!isWrong) return []
    const most = access === "copy-on-write" ? "at most " : ""
    const message = `${place}: expected ${most}${sizeBytes} bytes in ${source}, found ${found.size}`
    return [{ _tag: "DiskSizeWrong", message }]
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code !== "ENOENT") return unreadable(code ?? String(cause))
    if (access !== "volume") return unreadable("none")
    return sizeBytes === undefined ? unreadable("none, and no sizeBytes to make it with") : []
  }
}

/** Fails with everything that is wrong with the files of some disks; `placeOf` says where each stands. The core looks again. */
export const checkDiskFiles = <E>(
  disks: ReadonlyArray<DiskSpec>,
  placeOf: (index: number) => string,
  onProblem: (problem: DiskFilesProblem) => E
): Effect.Effect<void, E> =>
  Effect.promise(() => Promise.all(disks.map((disk, index) => problemOf(disk, placeOf(index))))).pipe(
    Effect.flatMap((found) => {
      const problems = found.flat()
      const [first] = problems
      if (first === undefined) return Effect.void
      return Effect.fail(onProblem({ _tag: first._tag, message: problems.map(({ message }) => message).join("\n") }))
    })
  )

/** A disk as it crosses the bridge: its file by the path that a snapshot can find it by. */
export const nativeDisk = ({ access, name, sizeBytes, source }: DiskSpec): Addon.DiskSpec => ({
  name,
  access,
  source: source === undefined ? null : resolve(source),
  sizeBytes: sizeBytes ?? null
})
