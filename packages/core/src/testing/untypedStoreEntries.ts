/**
 * The untyped calls about snapshots, their names, and serving clones of them.
 *
 * @module
 */
import { Effect } from "effect"
import * as fc from "fast-check"
import { parseName, parseReference } from "../names/Reference.ts"
import { Snapshots } from "../names/Snapshots.ts"
import { explainRun } from "../run/explainRun.ts"
import { runHistory } from "../run/runHistory.ts"
import { loadRun, readRun } from "../run/runStream.ts"
import { serve } from "../serve/serve.ts"
import { compactSnapshot } from "../snapshot/compact.ts"
import { prefetch, workingSetParts } from "../snapshot/prefetch.ts"
import { readVerifyingKey, SigningKey } from "../snapshot/Signature.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { nearly, rubbish } from "./untypedCalls.ts"
import { type Called, paths, pools, type Untyped } from "./untypedEntries.ts"

const texts = fc.oneof(rubbish, fc.constantFrom("web", "web:v1", "sha256:00000000"))
const tagging = nearly({}, ["replace", "expecting"])

type Method = "get" | "inspect" | "keep" | "tag" | "untag" | "remove" | "verify"

/** A store in which one snapshot is called `web`. */
const ofStore =
  (method: Method): Untyped =>
  (...args) =>
    Effect.gen(function* () {
      const snapshots = yield* Snapshots
      const call = snapshots[method] as unknown as Untyped
      return yield* call(...args)
    }).pipe(Effect.provide(Snapshots.layer({ home: "/home" }))) as Called

const opened =
  (read: unknown): Untyped =>
  (snapshot) =>
    Effect.gen(function* () {
      const real = yield* SnapshotStore.use((store) => store.open("/s/good"))
      return yield* (read as Untyped)(snapshot === "right" ? real : snapshot)
    }) as Called

export const storeEntries: Readonly<Record<string, readonly [Untyped, ...ReadonlyArray<fc.Arbitrary<unknown>>]>> = {
  "Snapshots.get": [ofStore("get"), texts, nearly({}, ["allowUnvalidated", "allowLocked", "digest"])],
  "Snapshots.inspect": [ofStore("inspect"), texts],
  "Snapshots.keep": [ofStore("keep"), paths, texts, tagging],
  "Snapshots.tag": [ofStore("tag"), texts, texts, tagging],
  "Snapshots.untag": [ofStore("untag"), texts],
  "Snapshots.remove": [ofStore("remove"), texts],
  "Snapshots.verify": [ofStore("verify"), texts, nearly({}, ["diskSources"])],
  "Snapshots.layer": [
    (options) => Effect.provide(Snapshots, Snapshots.layer(options as never)) as Called,
    nearly({}, ["home"])
  ],
  compactSnapshot: [compactSnapshot as unknown as Untyped, paths, paths, nearly({}, ["replace"])],
  prefetch: [opened(prefetch), fc.oneof(rubbish, fc.constant("right"), paths)],
  workingSetParts: [opened(workingSetParts), fc.oneof(rubbish, fc.constant("right"), paths)],
  serve: [
    serve as unknown as Untyped,
    nearly({ pool: { snapshot: "/s/good", ready: 1 }, port: 80 }, [
      "host",
      "hostPort",
      "per",
      "servesPerClone",
      "maxOpen",
      "idleTimeout",
      "onServed"
    ])
  ],
  "serve of a pool": [(pool) => (serve as unknown as Untyped)({ pool, port: 80 }), pools],
  "SnapshotStore.layerKeyed": [
    (keys) => Effect.provide(SnapshotStore, SnapshotStore.layerKeyed(keys as never)) as Called,
    nearly({}, ["signingKey", "requiredKeys", "encryptionKey"])
  ],
  "SigningKey.read": [SigningKey.read as unknown as Untyped, texts],
  readVerifyingKey: [readVerifyingKey as unknown as Untyped, texts],
  parseName: [(text) => Effect.fromResult(parseName(text as never)), texts],
  parseReference: [(text) => Effect.fromResult(parseReference(text as never)), texts],
  readRun: [readRun as unknown as Untyped, texts],
  loadRun: [loadRun as unknown as Untyped, texts],
  runHistory: [runHistory as unknown as Untyped, texts],
  explainRun: [explainRun as unknown as Untyped, texts]
}
