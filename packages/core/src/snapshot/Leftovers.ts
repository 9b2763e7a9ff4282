/**
 * Names of what a publish leaves beside its target while it is under way, and whether its owner still lives.
 *
 * `<target>.staging-<pid>-<random>` is a snapshot being written; `<target>.replaced-<pid>-<random>` is the old
 * snapshot during a replacement.
 *
 * @module
 */
import { Context } from "effect"

/** A name that a publish left, taken apart. */
export interface Leftover {
  readonly kind: "staging" | "replaced"
  /** Name of the target beside which it stands. */
  readonly target: string
  readonly ownerPid: number
}

const pattern = /^(.+)\.(staging|replaced)-(\d+)-[0-9a-z]+$/

/** Takes a directory name apart; `null` for a name that no publish made. */
export const parseLeftover = (name: string): Leftover | null => {
  const match = pattern.exec(name)
  if (match === null) return null
  const [, target, kind, pid] = match
  if (target === undefined || pid === undefined) return null
  return { kind: kind === "staging" ? "staging" : "replaced", target, ownerPid: Number(pid) }
}

/** Name of a leftover beside `target`. */
export const leftoverPath = (target: string, kind: Leftover["kind"], ownerPid: number, suffix: string): string =>
  `${target}.${kind}-${ownerPid}-${suffix}`

/** Who publishes: the process id in leftovers' names, and how to tell whether another process lives. */
export interface PublisherIdentity {
  readonly pid: number
  readonly isAlive: (pid: number) => boolean
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    // EPERM: the process exists and belongs to someone else.
    return typeof cause === "object" && cause !== null && "code" in cause && cause.code === "EPERM"
  }
}

/** The identity under which a store publishes; this process unless said otherwise. */
export const Publisher = Context.Reference<PublisherIdentity>("@stillpoint/core/snapshot/Publisher", {
  defaultValue: () => ({ pid: process.pid, isAlive })
})
