/**
 * From an image and a moment to a snapshot with a name.
 *
 * @module
 */
import { statfs } from "node:fs/promises"
import {
  bootSpecJson,
  cacheRepository,
  type ExecSpec,
  explain,
  type Firing,
  Pipeline,
  type Snapshot,
  sha256,
  Snapshots,
  SnapshotStore,
  type TagOptions
} from "@stillpoint/core"
import type { Policy } from "@stillpoint/triggers"
import { Effect } from "effect"
import { explainSnapshot } from "./explainSnapshot.ts"
import { type ImageOptions, imageSpec, withoutReason } from "./imageSpec.ts"
import { checkedBake, isFree } from "./checkedOptions.ts"
import type { Moment } from "./readMoment.ts"
import { BakeNotValid, StoreFull } from "./SandboxError.ts"

/** Options of a bake. */
export interface BakeOptions extends ImageOptions {
  /** When to capture; `listener & calm 20ms` if absent. */
  readonly captureAt?: Moment
  /** Name for the snapshot, `NAME` or `NAME:TAG`; none if absent. */
  readonly name?: string
  /** Take the name from the snapshot that has it. */
  readonly replace?: boolean
  /**
   * A command, by `sh` if it is one text, that must exit with code 0 in a clone before the snapshot is stored. The pages that the
   * clone touched are recorded as the snapshot's working set.
   */
  readonly validate?: string | ReadonlyArray<string>
}

/** A command as users write it: a text is run by `sh`. */
export const commandOf = (command: ReadonlyArray<string> | string | ExecSpec): ExecSpec =>
  typeof command === "string"
    ? { argv: ["/bin/sh", "-c", command] }
    : Array.isArray(command)
      ? { argv: command as ReadonlyArray<string> }
      : (command as ExecSpec)

/** The result of a bake. */
export interface Baked {
  /** Digest of the snapshot. */
  readonly snapshot: string
  readonly name: string | null
  /** The moment that decided: `listener`, `pre-exec`, `after`, … */
  readonly cause: string
  readonly guestNanos: number
  /** Host time for which the guest was stopped. */
  readonly pauseMs: number
  readonly storedBytes: number
  readonly engine: string
  /** Why it was captured at that moment and ran on that engine, one sentence a line. */
  readonly why: string
}

const words: Readonly<Record<string, string>> = {
  onPreExec: "pre-exec",
  onListener: "listener",
  afterGuestTime: "after",
  onIdle: "idle",
  onParked: "parked",
  onSerialMatch: "serial",
  onSerialText: "prompt",
  atHeartbeat: "heartbeat",
  onConnection: "connection",
  onRequestServed: "served",
  onCustom: "custom",
  onEvent: "event",
  onDirtyRateBelow: "dirty-below"
}

/** The word of expressions for what decided. */
export const causeOf = ({ trigger }: Pick<Firing, "trigger">): string => {
  const name = /^\w+/.exec(trigger)?.[0] ?? trigger
  return (Object.hasOwn(words, name) ? words[name] : undefined) ?? name
}

type Booted = Effect.Success<ReturnType<typeof imageSpec>>

/** The error for a store whose file system has no room, with what is left of it. */
const storeFull = (home: string) =>
  Effect.promise(() =>
    statfs(home).then(
      ({ bavail, bsize }) => new StoreFull({ home, freeMib: Math.floor((bavail * bsize) / 2 ** 20) }),
      () => new StoreFull({ home, freeMib: null })
    )
  )

/** Boots, captures and keeps; the guest is gone afterwards. */
export const bakeSpec = Effect.fn("bakeSpec")(function* (
  { keep, spec }: Booted,
  policy: Policy,
  {
    name,
    shown,
    validate,
    ...tagging
  }: Pick<BakeOptions, "name" | "replace" | "validate"> &
    TagOptions & {
      /** The name in messages: a name in the cache says nothing to anybody. */
      readonly shown: string | null
    }
) {
  const snapshots = yield* Snapshots
  const { expecting, replace } = tagging
  // Checked before the boot, and again under the lock when the name is set.
  if (name !== undefined && replace !== true && expecting === undefined) yield* isFree(name)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const target = yield* snapshots.draft
      const probe = validate === undefined ? {} : { validate: Pipeline.execProbe(commandOf(validate)) }
      // The draft is gone by the time that its failure is read, so the failure is told of the name.
      const { value } = yield* Pipeline.run(spec, { name: "bake", policy, target, ...probe }).pipe(
        Effect.catchTag("ValidationFailed", ({ detail }) => Effect.fail(new BakeNotValid({ name: shown, detail }))),
        Effect.catchReason("CaptureError", "DiskFull", () => Effect.flatMap(storeFull(snapshots.home), Effect.fail))
      )
      const kept = yield* snapshots.keep(target, name, {
        ...(replace === undefined ? {} : { replace }),
        ...(expecting === undefined ? {} : { expecting })
      })
      yield* keep
      const { firing, pauseNanos, snapshot, storedBytes } = value
      return {
        snapshot: kept.digest,
        name: name ?? null,
        cause: causeOf(firing),
        guestNanos: snapshot.manifest.capture.atNanos,
        pauseMs: pauseNanos / 1e6,
        storedBytes,
        engine: snapshot.manifest.engine,
        why: explainSnapshot(snapshot) ?? explain(firing).text
      } satisfies Baked
    })
  )
})

/** Boots an image, captures it at a moment, and stores the snapshot, under a name if one is given. */
export const bake = Effect.fn("bake")(function* (options: BakeOptions) {
  const policy = yield* checkedBake("bake", options)
  const { name, replace } = options
  if (name !== undefined && replace !== true) yield* isFree(name)
  return yield* bakeSpec(yield* imageSpec(options), policy, { ...options, shown: name ?? null })
})

/** The name under which a snapshot of this very guest, captured by this very policy and validated so, is found again. */
const cacheName = (
  { spec }: Booted,
  policy: Policy,
  validate: BakeOptions["validate"],
  keyId: string | undefined
): string => {
  const validated = validate === undefined ? [] : [commandOf(validate)]
  const key = JSON.stringify([
    bootSpecJson(withoutReason(spec)),
    policy.description,
    ...validated,
    ...(keyId === undefined ? [] : [{ keyId }])
  ])
  return `${cacheRepository}:${sha256(key).slice(0, 32)}`
}

/** Removes a snapshot that lost its name in the cache, unless it has another name or deltas. */
const dropped = Effect.fnUntraced(function* (digest: string) {
  const snapshots = yield* Snapshots
  const { children, names } = yield* snapshots.inspect(digest)
  if (names.length === 0 && children.length === 0) yield* snapshots.remove(digest)
})

/**
 * Bakes into the cache in the place of what could not be opened there. Where another run or process stored one meanwhile, that one
 * is used, and this one is gone with its draft.
 */
const bakedIntoCache = Effect.fnUntraced(function* (
  booted: Booted,
  policy: Policy,
  cached: string,
  validate: BakeOptions["validate"]
) {
  const snapshots = yield* Snapshots
  const before = yield* Effect.option(snapshots.inspect(cached))
  const expecting = before._tag === "Some" ? before.value.digest : null
  const validated = validate === undefined ? {} : { validate }
  const isOurs = yield* bakeSpec(booted, policy, { name: cached, shown: null, expecting, ...validated }).pipe(
    Effect.as(true),
    Effect.catchIf(
      (error) => error._tag === "SnapshotsError" && error.reason._tag === "NameMoved",
      () => Effect.succeed(false)
    )
  )
  if (isOurs && expecting !== null) yield* Effect.ignore(dropped(expecting))
})

/** A snapshot of an image at a moment, taken from the store if it was baked before. */
export const bakedOnce = Effect.fn("bakedOnce")(function* (options: BakeOptions) {
  const policy = yield* checkedBake("sandbox", options)
  const booted = yield* imageSpec(options)
  const snapshots = yield* Snapshots
  const { name, replace, validate } = options
  // Stores with different encryption keys cannot use each other's.
  const { encryptionKeyId } = yield* SnapshotStore
  const cached = cacheName(booted, policy, validate, encryptionKeyId)
  const found = yield* Effect.option(snapshots.get(cached))
  yield* booted.keep
  // A snapshot that cannot be opened any more is baked again.
  if (found._tag === "None") {
    if (name !== undefined && replace !== true) yield* isFree(name)
    yield* bakedIntoCache(booted, policy, cached, validate)
  }
  if (name !== undefined) yield* snapshots.tag(cached, name, replace === undefined ? {} : { replace })
  const snapshot: Snapshot = yield* snapshots.get(cached)
  return { snapshot, wasCached: found._tag === "Some" }
})
