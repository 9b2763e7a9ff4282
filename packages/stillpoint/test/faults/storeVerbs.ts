/**
 * Operations on a store, each as one process does it, on a store with content; and the state that is then found.
 *
 * @module
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { open } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  compactSnapshot,
  DurableFiles,
  Journal,
  Pipeline,
  type SnapshotKeys,
  Snapshots,
  SnapshotStore,
  type Vmm
} from "@stillpoint/core"
import { keepSample, kindTrigger, ScriptedVmm } from "@stillpoint/core/testing"
import { type ArtifactPiece, Artifacts, ImageError } from "@stillpoint/images"
import { Effect, Layer, Stream } from "effect"
import { exportSnapshot, importSnapshot, pullSnapshot, pushSnapshot } from "stillpoint"
import { clearPulls } from "../../src/registry/clearPulls.ts"
import { pruneKeptImages } from "../../src/sandbox/keptImages.ts"
import { keepLineage } from "../keepLineage.ts"

type Services = Snapshots | SnapshotStore | DurableFiles | Artifacts | Vmm | Journal

/** A registry in a folder, for all processes: what is fetched is written as by the one that is spoken with. */
const registryIn = (folder: string): Layer.Layer<Artifacts> => {
  const at = (name: string): string => join(folder, name.replaceAll(/[^a-z0-9]/g, "-"))
  const failed = (cause: unknown) => new ImageError({ reason: { _tag: "CacheUnusable", message: String(cause) } })
  const digest = `sha256:${"0".repeat(63)}1`
  const read = ({ places: [place], size }: ArtifactPiece): Uint8Array =>
    readFileSync(place?.file ?? "").subarray(place?.offset, (place?.offset ?? 0) + size)
  const write = async (piece: ArtifactPiece): Promise<void> => {
    const bytes = readFileSync(at(piece.digest))
    for (const { file, offset } of piece.places) {
      const handle = await open(file, "r+")
      try {
        for (let done = 0; done < bytes.length;) {
          done += (await handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten
        }
      } finally {
        await handle.close()
      }
    }
  }
  return Layer.succeed(Artifacts, {
    push: (reference, { manifest, pieces }) =>
      Effect.try({
        try: () => {
          for (const piece of pieces) writeFileSync(at(piece.digest), read(piece))
          writeFileSync(at(reference), manifest)
          return { digest, sent: pieces.length, sentBytes: 0 }
        },
        catch: failed
      }),
    manifest: (reference) => Effect.try({ try: () => ({ digest, bytes: readFileSync(at(reference)) }), catch: failed }),
    fetch: (_reference, pieces) =>
      Effect.tryPromise({
        try: async () => {
          for (const piece of pieces) await write(piece)
        },
        catch: failed
      }),
    // No fault is injected into a lazy pull here.
    arrive: () => Effect.fail(failed("no lazy pull"))
  })
}

/** The start of every verb: a folder with a store, a chain of snapshots beside it, and arriving content. */
export interface Prepared {
  readonly base: string
  readonly template: string
  readonly archive: string
  readonly artifacts: Layer.Layer<Artifacts>
  /** The keys of the stores. */
  readonly keys: Pick<SnapshotKeys, "encryptionKey">
}

const reference = "docker://registry.test/web:v1"

/** A folder in memory where there is one: what is tried is what is asked of the disk, and not how fast it is. */
export const newFolder = (): string =>
  mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "stillpoint-faults-"))

/** Does something as a process that has seen nothing before. */
export const inFolder = <A, E>(
  folder: string,
  { artifacts, keys }: Pick<Prepared, "artifacts" | "keys">,
  work: Effect.Effect<A, E, Services>
): Promise<A> =>
  Effect.runPromise(
    Effect.provide(
      work,
      Layer.provideMerge(
        Layer.mergeAll(
          Snapshots.layerHost({ home: join(folder, "home"), ...keys }),
          SnapshotStore.layerKeyed(keys),
          artifacts,
          ScriptedVmm.layer(),
          Journal.layerMemory
        ),
        DurableFiles.layer
      ),
      { local: true }
    )
  )

const kept = (label: string, name: string, options: { readonly parent?: string; readonly replace?: boolean } = {}) =>
  keepSample(label, name, { ...options, verdict: "passed" })

/** Three snapshots of one guest, each against the one before. */
const chain = (folder: string) =>
  Pipeline.repeat(
    { kernelPath: "/kernel" },
    { policy: kindTrigger("HeartbeatTick", 3), target: (index) => join(folder, `beat-${index}`), deltas: true }
  ).pipe(Stream.runCollect, Effect.scoped)

const keyIn = (base: string): string => join(base, "encryption.key")

/** The prepared content of a folder, for any process. */
export const preparedIn = (base: string): Prepared => ({
  base,
  template: join(base, "template"),
  archive: join(base, "archive.tar"),
  artifacts: registryIn(join(base, "registry")),
  keys: existsSync(keyIn(base)) ? { encryptionKey: readFileSync(keyIn(base)) } : {}
})

/** Makes what verbs begin with, once; encrypted if a key is given. */
export const prepare = async (base: string, encryptionKey: Uint8Array | null): Promise<Prepared> => {
  if (encryptionKey !== null) writeFileSync(keyIn(base), encryptionKey, { mode: 0o600 })
  const prepared = preparedIn(base)
  const { archive, template } = prepared
  const elsewhere = join(base, "elsewhere")
  mkdirSync(join(base, "registry"))
  for (const folder of [elsewhere, template]) mkdirSync(join(folder, "home"), { recursive: true, mode: 0o700 })
  await inFolder(
    elsewhere,
    prepared,
    Effect.gen(function* () {
      yield* keepLineage
      yield* exportSnapshot("web", archive)
      yield* pushSnapshot("web", reference)
    })
  )
  await inFolder(
    template,
    prepared,
    Effect.gen(function* () {
      yield* kept("old", "old")
      yield* kept("new", "new", { parent: "old" })
      yield* kept("spare", "spare")
      yield* chain(join(template, "chain"))
    })
  )
  // The leftovers of a killed pull.
  const pull = join(template, "home", "pulls", "f".repeat(64))
  mkdirSync(pull, { recursive: true, mode: 0o700 })
  writeFileSync(join(pull, "record.json"), "{}", { mode: 0o600 })
  writeFileSync(`${pull}.lock`, "", { mode: 0o600 })
  return prepared
}

/** One process's work on the store of a folder. */
export type Verb = (folder: string, prepared: Prepared) => Effect.Effect<unknown, unknown, Services>

const of = Snapshots

/** The verbs, by name. Done twice, each is done or says that it was. */
export const verbs: Readonly<Record<string, Verb>> = {
  publish: () => kept("more", "new", { replace: true }),
  tag: () => of.use(({ tag }) => tag("old", "spare", { replace: true })),
  untag: () => of.use(({ untag }) => untag("old")),
  remove: () => of.use(({ remove }) => remove("spare")),
  prune: () =>
    Effect.gen(function* () {
      const { clear, home, remove } = yield* Snapshots
      yield* remove("new")
      yield* clear
      yield* clearPulls(home)
      yield* pruneKeptImages({ dryRun: false })
    }),
  compact: (folder) =>
    compactSnapshot(join(folder, "chain", "beat-2"), join(folder, "chain", "whole"), { replace: true }),
  import: (_folder, { archive }) => importSnapshot(archive, "came", { replace: true }),
  pull: () => pullSnapshot(reference, "came", { replace: true })
}

/** A folder as every verb finds it. */
export const copyOf = ({ template }: Prepared): string => {
  const folder = newFolder()
  // With the links between a store's files.
  execFileSync("cp", ["-a", `${template}/.`, folder])
  return folder
}

/** The content of a folder once its store has been opened again. */
export interface Standing {
  /** Names and snapshots, and what those were taken against. */
  readonly snapshots: ReadonlyArray<string>
  /** Everything else. */
  readonly left: ReadonlyArray<string>
}

/** Opens the store of a folder as the next process does, and returns its content; throws if something cannot be opened. */
export const standingIn = (folder: string, prepared: Prepared): Promise<Standing> =>
  inFolder(
    folder,
    prepared,
    Effect.gen(function* () {
      const snapshots = yield* Snapshots
      const store = yield* SnapshotStore
      // Making a snapshot clears leftovers, and so does pruning.
      yield* Effect.scoped(snapshots.draft)
      yield* clearPulls(snapshots.home)
      yield* Effect.ignore(snapshots.untag("no-such-name"))
      const all = yield* snapshots.list
      const labels = new Map(all.map(({ digest, manifest }) => [digest, manifest?.runId ?? "damaged"]))
      const said: Array<string> = []
      for (const { digest, names, parent, problem } of all) {
        if (problem !== null) throw new Error(problem)
        const snapshot = yield* snapshots.get(digest, { allowUnvalidated: true })
        yield* store.timeline(snapshot)
        const label = labels.get(digest)
        const memory = readFileSync(join(snapshot.layers[0] ?? "", "memory.bin"), "utf8")
        if (memory !== `memory ${label}`) throw new Error(`memory of ${label}: ${memory}`)
        said.push(`${label}<${parent === null ? "" : labels.get(parent)} ${names.join(" ")}`)
      }
      const beside = join(folder, "chain")
      yield* store.sweep(beside)
      for (const name of readdirSync(beside)) {
        const found = yield* store.open(join(beside, name), { allowUnvalidated: true })
        said.push(`${name}: ${found.parents.length}`)
      }
      const inside = (path: string) => (existsSync(path) ? readdirSync(path) : [])
      const digests = all.map(({ digest }) => digest)
      const left = [
        ...inside(snapshots.home).filter(
          (name) => !/^(names\.json|(store|arrivals)\.lock|snapshots|pulls|images)$/.test(name)
        ),
        ...inside(join(snapshots.home, "snapshots")).filter((name) => name !== "objects" && !digests.includes(name)),
        // Every object there is one of a snapshot.
        ...inside(join(snapshots.home, "snapshots", "objects")).filter(
          (name) => statSync(join(snapshots.home, "snapshots", "objects", name)).nlink === 1
        ),
        ...inside(join(snapshots.home, "pulls")),
        ...inside(join(snapshots.home, "images")),
        ...inside(folder).filter((name) => name !== "home" && name !== "chain")
      ]
      for (const directory of [
        ...digests.map((one) => join(snapshots.home, "snapshots", one)),
        ...readdirSync(beside).map((one) => join(beside, one))
      ]) {
        left.push(
          ...readdirSync(directory).filter(
            (name) => !/^(manifest\.json|publish\.lock|contents-[0-9a-f]{32})$/.test(name)
          )
        )
        if (readdirSync(directory).filter((name) => name.startsWith("contents-")).length !== 1)
          left.push(`${directory}: contents`)
      }
      return { snapshots: said.toSorted(), left }
    })
  )
