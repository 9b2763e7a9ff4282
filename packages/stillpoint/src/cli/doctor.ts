/**
 * The checks of `doctor`: what works on this host, and what is missing.
 *
 * @module
 */
import { existsSync } from "node:fs"
import { DurableFiles, Snapshots, snapshotsHome } from "@stillpoint/core"
import { Archive, FileUnusable, GuestKit, KitError } from "@stillpoint/kit"
import { type EngineReport, engines, NativeAgent } from "@stillpoint/native"
import { Effect, Layer, Option, Result, Schema } from "effect"
import { dirname } from "node:path"
import { kitLayer, kitLayerOf } from "../sandbox/kitLayer.ts"
import { amd64Obstacle } from "../sandbox/platforms.ts"

/** One check and its result. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  /** The finding; if it is a problem, also the remedy. */
  readonly detail: string
}

/** Something that a capture needs is not here. */
class NotWell extends Schema.TaggedError<NotWell>()("NotWell", { message: Schema.String }) {}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const check = <E>(name: string, work: Effect.Effect<string, E>): Effect.Effect<Check> =>
  Effect.map(Effect.result(work), (found) =>
    Result.isSuccess(found)
      ? { name, ok: true, detail: found.success }
      : { name, ok: false, detail: messageOf(found.failure) }
  )

const node = Effect.suspend(() => {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
  return major > 22 || (major === 22 && minor >= 19)
    ? Effect.succeed(`Node ${process.versions.node}`)
    : Effect.fail(new NotWell({ message: `expected Node 22.19 or later, found ${process.versions.node}` }))
})

const described = ({ board, detail, isUsable, name }: EngineReport) =>
  `${name} (board ${board}) ${isUsable ? "can be used" : "cannot be used"}${detail === null ? "" : isUsable ? `, but ${detail}` : `: ${detail}`}`

const engine = Effect.map(
  engines,
  (all) => `loaded (${process.platform}-${process.arch}); ${all.map(described).join("; ")}`
)

const agent = Effect.suspend(() => {
  const paths = Object.values(NativeAgent.paths)
  const missing = paths.filter((path) => !existsSync(path))
  return missing.length === 0
    ? Effect.succeed(paths.join(", "))
    : Effect.fail(new NotWell({ message: `${missing.join(", ")} missing: in a checkout, make setup builds it` }))
})

const kitOn = <E>(layer: Layer.Layer<GuestKit, E>) =>
  GuestKit.use(({ files }) => files).pipe(
    Effect.map(({ busyboxVersion, kernelVersion }) => `kernel ${kernelVersion}, busybox ${busyboxVersion}`),
    Effect.provide(layer)
  )

/** An archive from which nothing is fetched: what is here of a kit is looked at, and no more. */
const nothingFetched = Layer.effect(
  Archive,
  Effect.map(Archive, ({ config }) => {
    const refused = Effect.fail(
      new KitError({ reason: new FileUnusable({ path: "the archive", detail: "not asked" }) })
    )
    return Archive.of({ config, find: () => refused, fetch: () => refused, fetchPast: () => refused })
  })
).pipe(Layer.provide(Archive.layerOf("amd64")))

/** The kit for guests under KVM: needed, and so fetched, where this host runs them. */
const amd64Kit = Effect.gen(function* () {
  const obstacle = yield* amd64Obstacle
  if (obstacle === null) return yield* kitOn(kitLayerOf("amd64"))
  const here = yield* Effect.option(kitOn(kitLayerOf("amd64", nothingFetched)))
  const found = Option.isSome(here) ? here.value : "not fetched"
  return `${found}; not needed, since guests of linux/amd64 do not run here: ${obstacle}`
})

const store = Effect.gen(function* () {
  const files = yield* DurableFiles
  const home = snapshotsHome()
  let above = home
  while ((yield* files.inspect(above)) === null && above !== dirname(above)) above = dirname(above)
  yield* files.admitsNames(above)
  const { names, snapshots, storedBytes } = yield* Snapshots.use(({ usage }) => usage)
  return `${home}: ${snapshots} snapshots, ${names} names, ${(storedBytes / 2 ** 20).toFixed(1)} MiB`
}).pipe(Effect.provide(Layer.merge(DurableFiles.layer, Snapshots.layerHost())))

/** Looks at everything that a capture needs. The guest kit is fetched if it is not here. */
export const examine: Effect.Effect<ReadonlyArray<Check>> = Effect.all([
  check("node", node),
  check("engine", engine),
  check("agent", agent),
  check("guest kit", kitOn(kitLayer)),
  check("guest kit for amd64", amd64Kit),
  check("store", store)
])
