/**
 * Snapshots that a store has opened, so that the next clone of one does not read and digest its files again.
 *
 * @module
 */
import { dirname, join, resolve } from "node:path"
import { Effect } from "effect"
import type { DurableFilesShape } from "../files/DurableFiles.ts"
import { type Manifest, manifestFileName, validationFileName } from "./Manifest.ts"
import { signaturesFileName } from "./Signature.ts"
import type { Snapshot } from "./Snapshot.ts"
import { contentsOf } from "./verifySnapshot.ts"

/** More than the step of any file system's clock: a file that changed so long ago shows a further change. */
const settledMillis = 100

/** Maximum number of snapshots that are remembered. */
const mostRemembered = 4096

/** One snapshot of a chain. */
export interface Link {
  readonly directory: string
  readonly manifest: Manifest
}

interface Remembered {
  readonly snapshot: Snapshot
  readonly followed: ReadonlyArray<string>
  readonly read: ReadonlyArray<string>
  readonly inspected: ReadonlyArray<string>
  readonly stamp: string
}

/** Everything that opening a snapshot has read, or found absent. */
const readOf = (links: ReadonlyArray<Link>) =>
  links.flatMap(({ directory, manifest }) => {
    const contents = contentsOf(directory, manifest)
    const whole = manifest.files.filter(({ verification }) => verification.kind === "whole").map(({ name }) => name)
    const names = [...whole, validationFileName, signaturesFileName]
    return [directory, join(directory, manifestFileName), contents, ...names.map((name) => join(contents, name))]
  })

/** What it has only inspected: files whose content is checked when it is touched. A new link to an object changes its times. */
const inspectedOf = (links: ReadonlyArray<Link>) =>
  links.flatMap(({ directory, manifest }) =>
    manifest.files
      .filter(({ verification }) => verification.kind === "byChunk")
      .map(({ name }) => join(contentsOf(directory, manifest), name))
  )

/**
 * Remembers opened snapshots by their paths.
 *
 * What is remembered counts only while nothing that was looked at has changed: not the links of its paths, nor any of its files or its
 * ancestors', by inode and size, and by times if they were read. Files that changed just before they were read are not remembered,
 * because their next change could have the same time.
 */
export const makeOpenedBefore = (files: DurableFilesShape) => {
  const remembered = new Map<string, Remembered>()
  const stamp = files.stamp ?? (() => Effect.succeed(null))

  /** The snapshot at a path, if it was opened before and stands unchanged; `null` otherwise. */
  const recall = (path: string): Effect.Effect<Snapshot | null> =>
    Effect.suspend(() => {
      const known = remembered.get(resolve(path))
      return known === undefined
        ? Effect.succeed(null)
        : Effect.map(stamp(known.followed, known.read, known.inspected), (now) =>
            now?.text === known.stamp ? { ...known.snapshot } : null
          )
    })

  /** Remembers a snapshot that was opened at a path from `beganMillis` on, on the clock of `performance`. */
  const remember = (
    path: string,
    snapshot: Snapshot,
    links: ReadonlyArray<Link>,
    beganMillis: number
  ): Effect.Effect<void> =>
    Effect.suspend(() => {
      const key = resolve(path)
      const parents = links.flatMap(({ directory, manifest: { parent } }) =>
        parent === null ? [] : [resolve(dirname(directory), parent.directory)]
      )
      const followed = [key, ...parents]
      const [read, inspected] = [readOf(links), inspectedOf(links)]
      return Effect.map(stamp(followed, read, inspected), (found) => {
        remembered.delete(key)
        if (found === null || found.ageMillis - (performance.now() - beganMillis) < settledMillis) return
        const [oldest] = remembered.keys()
        if (remembered.size >= mostRemembered && oldest !== undefined) remembered.delete(oldest)
        remembered.set(key, { snapshot, followed, read, inspected, stamp: found.text })
      })
    })

  return { recall, remember }
}

type OpenedBefore = ReturnType<typeof makeOpenedBefore>

const ofFiles = new WeakMap<DurableFilesShape, OpenedBefore>()

/** What all stores on these files remember together that require no signatures: who makes a store for each clone gains by it, too. */
export const openedBeforeOn = (files: DurableFilesShape): OpenedBefore => {
  const known = ofFiles.get(files) ?? makeOpenedBefore(files)
  ofFiles.set(files, known)
  return known
}
