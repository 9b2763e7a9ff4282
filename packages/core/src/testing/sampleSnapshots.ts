/**
 * Small snapshots to publish, open and damage.
 *
 * @module
 */
import { randomBytes } from "node:crypto"
import { keyIdOf } from "../encryption.ts"
import { join } from "node:path"
import { Effect } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import { type ManifestDraft, sha256 } from "../snapshot/Manifest.ts"
import { type PublishOptions, type Snapshot, SnapshotStore } from "../snapshot/SnapshotStore.ts"
import type { CapturedFiles, CaptureKind } from "../Vmm.ts"
import { scriptedMemoryAddress } from "./scriptedMemory.ts"

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** A manifest draft whose run id is `runId`. */
export const sampleDraft = (runId: string, validation: "none" | "required" = "none"): ManifestDraft => ({
  engine: "scripted",
  runId,
  memoryMib: 1,
  configuration: { kernelPath: "/kernel" },
  policy: { trigger: "onPreExec" },
  provenance: null,
  capture: { atNanos: 300, seq: 3, pauseNanos: 10, isWorkloadFrozen: false, hasAgent: true },
  validation
})

/** Name of the object that all sample captures have. */
export const sampleObject = sha256("object")

/**
 * Writes the files of a capture named after `label` into a directory, as a machine would; with a folder of shared objects, the object is
 * linked from there.
 */
export const sampleCapture = (
  directory: string,
  label: string,
  parent: string | null = null,
  { encryptionKey, shared }: Pick<CaptureKind, "shared" | "encryptionKey"> = {}
) =>
  Effect.gen(function* () {
    const files = yield* DurableFiles
    const isChunks = (name: string) => name === "memory.bin" || name === sampleObject
    const linked =
      shared === undefined
        ? false
        : yield* files.link(join(shared, sampleObject), join(directory, sampleObject)).pipe(
            Effect.as(true),
            Effect.orElseSucceed(() => false)
          )
    const contents = [
      [sampleObject, text("object")],
      ["memory.bin", text(`memory ${label}`)],
      ["memory.digests", text(`digests ${label}`)],
      ["machine.bin", text(`machine ${label}`)]
    ] as const
    for (const [name, bytes] of contents) {
      if (linked && name === sampleObject) continue
      yield* files.write(join(directory, name), bytes)
      yield* files.flush(join(directory, name))
    }
    const captured: CapturedFiles = {
      identity: label,
      parent,
      atNanos: 300,
      seq: 3,
      pauseNanos: 10,
      engine: "scripted",
      memoryMib: 1,
      encryption:
        encryptionKey === undefined ? null : { keyId: keyIdOf(encryptionKey), salt: randomBytes(32).toString("hex") },
      files: contents.map(([name, bytes]) => ({
        name,
        sizeBytes: bytes.length,
        storedBytes: bytes.length,
        chunkTable: isChunks(name) ? "memory.digests" : null,
        guestAddress: name === "memory.bin" ? scriptedMemoryAddress : null
      }))
    }
    return captured
  })

/** Publishes a small snapshot at `target`, whose run id and files carry `label`. */
export const publishSample = (
  target: string,
  label: string,
  options: PublishOptions & {
    readonly validation?: "none" | "required"
    readonly policy?: ManifestDraft["policy"]
    /** A verdict to publish with it. */
    readonly verdict?: "passed" | "failed"
    /** The parent of its capture. */
    readonly parent?: Snapshot
    /** The parent that it is published with; `parent` if absent. */
    readonly publishedWith?: Snapshot
    /** Whether its machine does not encrypt what it is asked to encrypt. */
    readonly ignoresKey?: boolean
  } = {}
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { parent, publishedWith = parent, verdict } = options
      const store = yield* SnapshotStore
      const staging = yield* store.stage(target)
      const kind = options.ignoresKey === true ? {} : staging.kind
      const captured = yield* sampleCapture(staging.directory, label, parent?.manifest.identity, kind)
      return yield* store.publish(
        staging,
        {
          draft: {
            ...sampleDraft(label, options.validation),
            ...(options.policy === undefined ? {} : { policy: options.policy })
          },
          captured,
          timeline: text(`{"timeline":"${label}"}\n`),
          ...(publishedWith === undefined ? {} : { parent: publishedWith }),
          ...(verdict === undefined ? {} : { verdict: { verdict, detail: label, workingSet: null } })
        },
        options
      )
    })
  )
